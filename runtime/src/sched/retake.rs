//! Job: taking the P from an M that has been in user code, or blocked below it, for too long.
//! Layer: L2 (sched)
//! Not here: when (`stalled`, `monitor`), the word and its proof (`sys::hold`), what the M does when
//!   it notices (`comeback`).
//! Invariants
//!   RT1  Only the watchdog takes, so there is one taker. It takes only what an asymmetric fence has
//!        shown to be out of use: the M's goroutine is in no section, and the M still has this P.
//!   RT2  Without `membarrier` nothing is taken.

use std::sync::atomic::{AtomicBool, Ordering};

use super::idle;
use super::m;
use super::metrics;
use super::p::{P, SOMEBODY};
use crate::sys::membarrier;

/// RT2.
static POSSIBLE: AtomicBool = AtomicBool::new(false);

/// Once, before the first scheduler thread.
pub(crate) fn init() {
    POSSIBLE.store(membarrier::register(), Ordering::Relaxed); // published with the start
}

/// Takes `p` from its M, if that is in user code, and passes it on. False if the M was in the
/// runtime: it is asked to let others run instead. For the watchdog (RT1).
pub(super) fn retake(p: &'static P) -> bool {
    let taken = take(p);
    if taken {
        idle::pass_on(p);
    }
    taken
}

/// As [`retake`] for a caller who gives the P to somebody.
pub(super) fn take(p: &'static P) -> bool {
    let Some(m) = m::get(p.m_id.load(Ordering::Relaxed)) else { return false };
    if !POSSIBLE.load(Ordering::Relaxed) || !m.hold.begin() {
        return false; // RT2
    }
    let outside = m.is_outside(membarrier::heavy) && m.p().is_some_and(|its| its.id == p.id);
    if !m.hold.finish(outside) {
        return false;
    }
    p.m_id.store(SOMEBODY, Ordering::Relaxed); // ours now (HD1 of `sys::hold`)
    // Its next goroutine begins another round.
    p.tick.store(p.tick.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    metrics::RETAKES.add();
    true
}
