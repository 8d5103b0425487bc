//! Job: taking the P from an M that has been in user code, or blocked below it, for too long.
//! Layer: L2 (sched)
//! Not here: when (`stalled`, `monitor`), the word and its proof (`sys::hold`), what the M does when
//!   it notices (`comeback`).
//! Invariants
//!   RT1  Only the watchdog takes, so there is one taker. It takes only what an asymmetric fence has
//!        shown to be out of use: the M's goroutine is in no section, and the M still has this P.
//!   RT2  While the watchdog looks at an M (`LOOKING`), no scheduler thread ends.
//!   RT3  Without `membarrier` nothing is taken.
//! Orderings
//!   E1  the looks at the goroutine's count and at the word: E1 and E2 of `sys::hold`, E2 of `m`
//!   E3  LOOKING.store; fence (the membarrier); running.load  <->  thread's end: running is 0; fence;
//!       LOOKING.load   (partner: `wait_for_looks`)

use std::sync::atomic::{AtomicBool, Ordering};

use super::idle;
use super::m;
use super::metrics;
use super::p::{P, SOMEBODY};
use crate::sys::membarrier;
use crate::sys::shim::store_load_fence;

/// RT3.
static POSSIBLE: AtomicBool = AtomicBool::new(false);
/// RT2.
static LOOKING: AtomicBool = AtomicBool::new(false);

/// Once, before the first scheduler thread.
pub(crate) fn init() {
    POSSIBLE.store(membarrier::register(), Ordering::Relaxed); // published with the start
}

/// Takes `p` from its M, if that is in user code, and passes it on. False if the M was in the
/// runtime: it is asked to let others run instead. For the watchdog (RT1).
pub(super) fn retake(p: &'static P) -> bool {
    let Some(m) = m::get(p.m_id.load(Ordering::Relaxed)) else { return false };
    if !POSSIBLE.load(Ordering::Relaxed) || !m.hold.begin() {
        return false; // RT3
    }
    LOOKING.store(true, Ordering::Relaxed); // E3
    let outside = membarrier::heavy() && m.is_outside() && m.p().is_some_and(|its| its.id == p.id);
    LOOKING.store(false, Ordering::Release); // E3
    if !m.hold.finish(outside) {
        return false;
    }
    p.m_id.store(SOMEBODY, Ordering::Relaxed); // ours now (HD1 of `sys::hold`)
    metrics::RETAKES.add();
    idle::pass_on(p);
    true
}

/// For a thread that is about to end (RT2).
pub(crate) fn wait_for_looks() {
    store_load_fence(); // E3
    while LOOKING.load(Ordering::Acquire) {
        // E3
        std::thread::yield_now();
    }
}
