//! Job: how many Ms may be without a P because it was taken while they computed, and how many are.
//! Layer: L2 (sched)
//! Not here: which they are, and what is done about them (`astray`).
//! Invariants
//!   AS1  A P is taken from one that computes only while fewer than [`limit`] of these Ms exist:
//!        `GUSTY_MAX_STOPPED`, or 4 * GOMAXPROCS but at least 16. So the scheduler has at most
//!        GOMAXPROCS + that + 4 threads, beside those that block in calls. Whoever waits counts, also
//!        one that lost its P while it blocked; and so does a loan, for it may be recalled.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::global::SCHED;
use crate::config;

/// The fewest that [`limit`] allows by default.
const FEWEST: usize = 16;
/// For each P, by default.
const FOR_EACH_P: usize = 4;

/// Those that wait for a P with the goroutine that they hold.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// Those that ran when the watchdog looked last.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// AS1.
pub(super) fn limit() -> usize {
    let by_procs = || (FOR_EACH_P * SCHED.procs() as usize).max(FEWEST);
    config::settings().max_stopped.unwrap_or_else(by_procs)
}

/// How many there are; one that begins to wait may be counted twice for a moment.
pub(super) fn count() -> usize {
    WAITING.load(Ordering::Relaxed) + RUNNING.load(Ordering::Relaxed) // counters
}

/// For the watchdog.
pub(super) fn set_running(count: usize) {
    RUNNING.store(count, Ordering::Relaxed); // a counter
}

/// One more, until it looks again. For the watchdog.
pub(super) fn one_runs() {
    RUNNING.fetch_add(1, Ordering::Relaxed); // a counter
}

/// The calling M waits for a P, in `wait`.
pub(super) fn waits(wait: impl FnOnce()) {
    WAITING.fetch_add(1, Ordering::Relaxed); // a counter
    wait();
    WAITING.fetch_sub(1, Ordering::Relaxed); // a counter
}
