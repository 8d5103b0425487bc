//! Job: emptying a P that GOMAXPROCS no longer allows.
//! Layer: L2 (sched)
//! Not here: when (`procs`, `find`).
//! Invariants
//!   PR2  A retired P's Gs are in the global queue, its timers on P 0, its caches given back.

use std::sync::atomic::Ordering;

use super::global::SCHED;
use super::p::{NOBODY, P};
use super::timers;

/// Empties a P that nobody owns any more, under the scheduler's lock (PR2).
pub(crate) fn retire(p: &'static P) {
    debug_assert!(p.id > 0, "P 0 never retires");
    p.retired.set(true);
    p.m_id.store(NOBODY, Ordering::Relaxed); // under the lock
    // SAFETY: nobody owns it and the lock keeps it so (P1).
    let owned = unsafe { p.owned() };
    if let Some(g) = p.take_next() {
        SCHED.injector().push(g);
    }
    // SAFETY: as above.
    while let Some(g) = unsafe { p.pop() } {
        SCHED.injector().push(g);
    }
    owned.drain_caches();
    timers::move_all(p, SCHED.p(0));
}
