//! Job: how late those wake who sleep.

use std::thread;
use std::time::{Duration, Instant};

use gusty_examples::cli::{Outcome, grouped};

use crate::term::{Row, Term, Who, time};
use crate::{scaled, scattered};

const SLEEPERS: usize = scaled(10_000);
/// The longest sleep, in microseconds; they are random.
const LONGEST: u64 = 500_000;

pub(crate) fn section(term: &Term) -> Outcome {
    let about = format!("{} sleep for 0 to {} ms", grouped(SLEEPERS as u64), LONGEST / 1000);
    term.section(5, "Sleeping", &about);
    let goroutines = goroutines()?;
    let (threads, refusal) = threads();
    if let Some(error) = refusal {
        term.remark(format!("only {} OS threads: {error}", grouped(threads.len() as u64)));
    }
    let row = |who, label: &str, late: &[Duration]| {
        let [half, most, all] = [500, 990, 1000].map(|part| percentile(late, part));
        Row::new(who, label, time(half), half.as_secs_f64()).note(format!(
            "late; 99% {}, worst {}",
            time(most),
            time(all)
        ))
    };
    let who = [(Who::Goroutine, "goroutines", goroutines), (Who::Thread, "OS threads", threads)];
    term.rows(&who.map(|(who, label, late)| row(who, label, &late)));
    Ok(())
}

/// Sleeps for the time of sleeper `i`; by how much longer it took.
fn oversleep(i: usize, sleep: fn(Duration)) -> Duration {
    let asked = Duration::from_micros(scattered(i, LONGEST));
    let start = Instant::now();
    sleep(asked);
    start.elapsed().saturating_sub(asked)
}

fn goroutines() -> Result<Vec<Duration>, &'static str> {
    let sleepers: Vec<_> =
        (0..SLEEPERS).map(|i| gusty::spawn(move || oversleep(i, gusty::sleep))).collect();
    let mut late = Vec::with_capacity(SLEEPERS);
    for sleeper in sleepers {
        late.push(sleeper.join().map_err(|_| "a sleeper panicked")?);
    }
    late.sort();
    Ok(late)
}

/// As many threads as the system allows, and why there are no more.
fn threads() -> (Vec<Duration>, Option<std::io::Error>) {
    let mut sleepers = Vec::with_capacity(SLEEPERS);
    let mut refusal = None;
    while sleepers.len() < SLEEPERS && refusal.is_none() {
        let i = sleepers.len();
        let sleeper = move || oversleep(i, thread::sleep);
        match thread::Builder::new().stack_size(64 << 10).spawn(sleeper) {
            Ok(sleeper) => sleepers.push(sleeper),
            Err(error) => refusal = Some(error),
        }
    }
    let mut late: Vec<_> = sleepers.into_iter().filter_map(|sleeper| sleeper.join().ok()).collect();
    late.sort();
    (late, refusal)
}

/// What `part` of a thousand do not exceed.
fn percentile(sorted: &[Duration], part: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * part / 1000).copied().unwrap_or_default()
}
