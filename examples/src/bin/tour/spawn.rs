//! Job: what it costs to start and to join.

use std::thread;
use std::time::{Duration, Instant};

use gusty_examples::cli::{Outcome, grouped};

use crate::scaled;
use crate::term::{Row, Term, Who, each, time, times};

const GOROUTINES: usize = scaled(500_000);
const THREADS: usize = scaled(10_000);
/// How many exist at the same time.
const BATCH: usize = 100;

pub(crate) fn section(term: &Term) -> Outcome {
    let about =
        format!("{} goroutines, {} threads", grouped(GOROUTINES as u64), grouped(THREADS as u64));
    term.section(1, "Start and join", &about);

    let goroutines = measure(GOROUTINES, |i| gusty::spawn(move || i), |handle| handle.join());
    let goroutine = each(goroutines?, GOROUTINES);
    // The second half of this program is the first with `std::thread` for `gusty`.
    let threads = measure(THREADS, |i| thread::spawn(move || i), |handle| handle.join());
    let thread = each(threads?, THREADS);

    let factor = times(thread.as_secs_f64(), goroutine.as_secs_f64());
    term.rows(&[
        Row::new(Who::Goroutine, "goroutine", time(goroutine), goroutine.as_secs_f64())
            .note(format!("{factor} faster")),
        Row::new(Who::Thread, "OS thread", time(thread), thread.as_secs_f64()),
    ]);
    Ok(())
}

/// Starts and joins `count` of them, a batch at a time.
fn measure<H>(
    count: usize,
    spawn: impl Fn(usize) -> H,
    join: impl Fn(H) -> thread::Result<usize>,
) -> Result<Duration, &'static str> {
    let start = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    for first in (0..count).step_by(BATCH) {
        batch.extend((first..first + BATCH).map(&spawn));
        for (i, handle) in (first..).zip(batch.drain(..)) {
            if join(handle).ok() != Some(i) {
                return Err("a wrong result");
            }
        }
    }
    Ok(start.elapsed())
}
