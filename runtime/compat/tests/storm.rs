//! Job: goroutines that do what programs do, stopped every 100 us: nothing is corrupted, nothing hangs,
//!   no line of output is lost.
//! Not here: what they do (`storm/rounds.rs`); storms over the runtime's own API (`stress`).
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `GUSTY_STORM_SECS` | how long in all; each number of Ps gets its share | 6 |
//! | `GUSTY_STORM_SEED` | repeats the choice of rounds | from the clock |
//!
//! If no round ends within 20 seconds, every goroutine is printed and the process aborts.

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "storm/rounds.rs"]
mod rounds;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use common::Rng;
use rounds::ROUNDS;

const TEST: &str = "everything_under_the_shortest_slice";
const PROCS: [usize; 3] = [1, 2, 8];
/// Set in a process that this test started: how long it storms, in milliseconds.
const CHILD: &str = "GUSTY_STORM_CHILD_MS";
/// No round takes that long unless something is lost.
const STALL: Duration = Duration::from_secs(20);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn everything_under_the_shortest_slice() {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = setting("GUSTY_STORM_SEED").unwrap_or(clock.as_nanos() as u64 % 1_000_000_007);
    if let Some(ms) = setting(CHILD) {
        return storm(seed, Duration::from_millis(ms));
    }
    let ms = setting("GUSTY_STORM_SECS").unwrap_or(6) * 1_000 / PROCS.len() as u64;
    // Not through the macro: it has to be seen even if the process aborts.
    let _ = writeln!(std::io::stderr(), "storm: GUSTY_STORM_SEED={seed} for {ms} ms each");
    for procs in PROCS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, ms.to_string())
            .env("GUSTY_STORM_SEED", seed.to_string())
            .env("GOMAXPROCS", procs.to_string())
            .env("GUSTY_SLICE_US", "100")
            .env_remove("RUST_BACKTRACE")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child process");
        let mut stderr = child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("text");
            text
        });
        let lines = Lines::read(BufReader::new(child.stdout.take().expect("piped")));
        let (status, errors) = (child.wait().expect("a child"), errors.join().unwrap());
        assert!(status.success(), "GUSTY_STORM_SEED={seed}, {procs} Ps: {status:?}\n{errors}");
        let lines =
            lines.unwrap_or_else(|bad| panic!("GUSTY_STORM_SEED={seed}, {procs} Ps: {bad}"));
        let _ = writeln!(std::io::stderr(), "storm: {procs} Ps: {}, {lines} lines", errors.trim());
    }
}

/// What a child printed, checked while it comes.
struct Lines;

impl Lines {
    /// Counts the lines; each goroutine's must be whole and in order, and none may be missing.
    fn read(output: impl BufRead) -> Result<u64, String> {
        let (mut next, mut count, mut total) = (Vec::new(), 0, None);
        for line in output.lines() {
            let line = line.map_err(|error| error.to_string())?;
            if let Some(number) = line.strip_prefix("storm-total ") {
                total = number.parse::<u64>().ok();
            } else if line.starts_with("storm ") {
                let mut words = line.split(' ').skip(1).map(str::parse::<usize>);
                let (Some(Ok(who)), Some(Ok(number))) = (words.next(), words.next()) else {
                    return Err(format!("not whole: {line}"));
                };
                if line != rounds::line(who, number) {
                    return Err(format!("not whole: {line}"));
                }
                next.resize(next.len().max(who + 1), 0);
                if next[who] != number {
                    return Err(format!("{} is missing before: {line}", next[who]));
                }
                next[who] += 1;
                count += 1;
            } else if line.contains("storm ") {
                return Err(format!("not whole: {line}"));
            }
        }
        match total {
            Some(total) if total == count => Ok(count),
            _ => Err(format!("{count} lines of {total:?}")),
        }
    }
}

/// In the child.
fn storm(seed: u64, time: Duration) {
    println!(); // after what the harness has begun to print
    gusty::runtime::features(); // started, it puts no hook of its own before this one
    std::panic::set_hook(Box::new(|info| {
        let ours = info.payload().downcast_ref::<rounds::Expected>().is_some();
        if !ours {
            let _ = writeln!(std::io::stderr(), "{info}");
        }
    }));
    let end = Instant::now() + time;
    let beats = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn(watchdog(beats.clone(), over.clone()));
    let shared = Arc::new(rounds::Shared::new());
    let start = |who: usize| {
        let (beats, shared) = (beats.clone(), shared.clone());
        gusty::spawn(move || {
            let mut rng = Rng(seed + 1_000 * who as u64);
            let mut mine = rounds::Mine::new(who);
            while Instant::now() < end {
                let round = ROUNDS[rng.below(ROUNDS.len())];
                round(&mut rng, &mut mine, &shared);
                beats.fetch_add(1, Ordering::Relaxed);
            }
            mine.lines() as u64
        })
    };
    let count = 2 * gusty::runtime::gomaxprocs(0) + 8;
    let workers: Vec<_> = (0..count).map(start).collect();
    let lines: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    shared.check();
    over.store(true, Ordering::SeqCst);
    watch.thread().unpark();
    watch.join().unwrap();
    println!("storm-total {lines}");
    let _ = write!(
        std::io::stderr(),
        "{} rounds, {} preemptions",
        beats.load(Ordering::Relaxed),
        gusty::runtime::metrics().preemptions
    );
}

fn watchdog(beats: Arc<AtomicU64>, over: Arc<AtomicBool>) -> impl FnOnce() {
    move || {
        let (mut seen, mut since) = (0, Instant::now());
        while !over.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(500));
            let now = beats.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > STALL {
                let _ = writeln!(std::io::stderr(), "stalled\n{}", gusty::runtime::dump());
                std::process::abort();
            }
        }
    }
}
