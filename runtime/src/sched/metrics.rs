//! Job: counters of what is rare enough to be counted where it happens.
//! Layer: L2 (sched)
//! Not here: how they are shown (`runtime`).

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts; orders nothing.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goroutines asked to let others run.
pub(crate) static PREEMPTIONS: Counter = Counter::new();
/// Goroutines that waited for a P with their threads, stopped where they could not leave them.
pub(crate) static STOPS: Counter = Counter::new();
/// Ps taken from Ms.
pub(crate) static RETAKES: Counter = Counter::new();
/// Goroutines queued because they came back without a P.
pub(crate) static REQUEUES: Counter = Counter::new();
/// Ps lent to the M of a bound goroutine.
pub(crate) static HANDOFFS: Counter = Counter::new();
/// Threads kicked, so that their goroutines stop.
pub(crate) static KICKS: Counter = Counter::new();
/// Goroutines made ready by the network or a timer while others were queued or no P was idle.
pub(crate) static URGENT: Counter = Counter::new();
/// Ps borrowed for those.
pub(crate) static LOANS: Counter = Counter::new();
/// Looks at the network.
pub(crate) static POLLS: Counter = Counter::new();
/// Threads made.
pub(crate) static THREADS_STARTED: Counter = Counter::new();
/// Threads ended.
pub(crate) static THREADS_ENDED: Counter = Counter::new();
