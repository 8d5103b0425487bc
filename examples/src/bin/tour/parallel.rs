//! Job: fork and join with real work: all ways to put n queens on a board, a goroutine for each
//! beginning of a board.

use std::thread;
use std::time::{Duration, Instant};

use gusty::runtime;
use gusty_examples::cli::{Outcome, grouped};

use crate::term::{Row, Term, Who, time, times};

/// Queens, and in how many ways they can stand.
const QUEENS: (u32, u64) = if cfg!(debug_assertions) { (10, 724) } else { (13, 73_712) };
/// The rows that fork.
const FORKS: u32 = 2;

pub(crate) fn section(term: &Term) -> Outcome {
    let (queens, ways) = QUEENS;
    let about = format!("{queens} queens, {} solutions, best of 3", grouped(ways));
    term.section(4, "Fork and join", &about);

    let before = runtime::gomaxprocs(1);
    let one = measure(|| goroutines(Board::default()));
    let all = before.max(runtime::num_cpu());
    runtime::gomaxprocs(all);
    let many = measure(|| goroutines(Board::default()));
    runtime::gomaxprocs(before);
    let threads = measure(|| threads(Board::default()));
    let (one, many, threads) = (one?, many?, threads?);

    let row = |who, label: String, took: Duration| {
        let speed = times(one.as_secs_f64(), took.as_secs_f64());
        Row::new(who, label, time(took), took.as_secs_f64()).note(format!("speed {speed}"))
    };
    term.rows(&[
        row(Who::Goroutine, "on 1 P".to_owned(), one),
        row(Who::Goroutine, format!("on {all} Ps"), many),
        row(Who::Thread, "OS threads".to_owned(), threads),
    ]);
    Ok(())
}

/// The best of three, because others use the machine, too.
fn measure(count: impl Fn() -> u64) -> Result<Duration, String> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let ways = count();
        best = best.min(start.elapsed());
        if ways != QUEENS.1 {
            return Err(format!("{ways} solutions instead of {}", QUEENS.1));
        }
    }
    Ok(best)
}

/// The first rows of a board, as bits of what is attacked in the next one.
#[derive(Clone, Copy, Default)]
struct Board {
    row: u32,
    columns: u32,
    left: u32,
    right: u32,
}

impl Board {
    /// The boards with one row more.
    fn next(self) -> impl Iterator<Item = Board> {
        let free = !(self.columns | self.left | self.right) & ((1 << QUEENS.0) - 1);
        (0..QUEENS.0).map(|column| 1 << column).filter(move |queen| free & queen != 0).map(
            move |queen| Board {
                row: self.row + 1,
                columns: self.columns | queen,
                left: (self.left | queen) << 1,
                right: (self.right | queen) >> 1,
            },
        )
    }

    fn count(self) -> u64 {
        if self.row == QUEENS.0 { 1 } else { self.next().map(Board::count).sum() }
    }
}

fn goroutines(board: Board) -> u64 {
    if board.row == FORKS {
        return board.count();
    }
    gusty::scope(|s| {
        let forks: Vec<_> = board.next().map(|next| s.spawn(move || goroutines(next))).collect();
        forks.into_iter().map(|fork| fork.join().unwrap_or(0)).sum()
    })
}

/// The same with threads; where the system has no more, the work is done here.
fn threads(board: Board) -> u64 {
    if board.row == FORKS {
        return board.count();
    }
    thread::scope(|s| {
        let fork = |next| {
            let builder = thread::Builder::new();
            builder.spawn_scoped(s, move || threads(next)).map_err(|_| threads(next))
        };
        let forks: Vec<_> = board.next().map(fork).collect();
        let join = |fork: Result<thread::ScopedJoinHandle<u64>, u64>| {
            fork.map_or_else(|here| here, |fork| fork.join().unwrap_or(0))
        };
        forks.into_iter().map(join).sum()
    })
}
