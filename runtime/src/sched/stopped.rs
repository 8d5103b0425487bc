//! Job: how many Ms may be without a P because it was taken while they computed.
//! Layer: L2 (sched)
//! Not here: which they are, and what is done about them (`astray`).
//! Invariants
//!   AS1  Of these Ms at most [`limit`] exist: `GUSTY_MAX_STOPPED`, or 4 * GOMAXPROCS but at least 16.
//!        So the scheduler has at most GOMAXPROCS + that + 4 threads, beside those that block in calls.
//!        A loan can be recalled and leaves such an M then, so it counts before it is given.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::global::SCHED;
use crate::config;

/// The fewest that [`limit`] allows by default.
const FEWEST: usize = 16;
/// For each P, by default.
const FOR_EACH_P: usize = 4;

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// AS1.
pub(super) fn limit() -> usize {
    let by_procs = || (FOR_EACH_P * SCHED.procs() as usize).max(FEWEST);
    config::settings().max_stopped.unwrap_or_else(by_procs)
}

/// How many there were when the watchdog looked last.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// For the watchdog.
pub(super) fn set_count(count: usize) {
    COUNT.store(count, Ordering::Relaxed);
}
