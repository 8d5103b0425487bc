//! Job: taking the P from an M whose goroutine is in user code, and giving it back: one at a time.
//! Layer: L2 (sched)
//! Not here: when and for whom (`retake`, `loan`), the word and its proof (`sys::hold`), what the M
//!   does when it notices (`comeback`).
//! Invariants
//!   RT1  There is one taker at a time: who has the `Taker`. It takes only what an asymmetric fence has
//!        shown to be out of use: the M's goroutine is in no section, and the M still has this P.
//!        Whoever has it does a few system calls at most; it allocates nothing and waits for no lock.
//!   RT2  Without `membarrier` nothing is taken.
//! Orderings
//!   E1  drop: BUSY.store(false, Release) -> try_new: BUSY.swap(Acquire)

use std::sync::atomic::{AtomicBool, Ordering};

use super::m::{self, M};
use super::metrics;
use super::p::{P, SOMEBODY};
use crate::sys::membarrier;

/// RT2.
static POSSIBLE: AtomicBool = AtomicBool::new(false);
static BUSY: AtomicBool = AtomicBool::new(false);

/// Once, before the first scheduler thread.
pub(crate) fn init() {
    POSSIBLE.store(membarrier::register(), Ordering::Relaxed); // published with the start
}

/// Whether Ps can be taken at all.
pub(super) fn is_possible() -> bool {
    POSSIBLE.load(Ordering::Relaxed)
}

/// From whom a P is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// Who computes, and will get it back.
    Lender,
    /// Who has computed for long enough.
    Running,
    /// Who is blocked in a call.
    Blocked,
}

/// The right to take (RT1).
pub(super) struct Taker(());

impl Taker {
    /// `None` if somebody else has it.
    pub(super) fn try_new() -> Option<Taker> {
        (!BUSY.swap(true, Ordering::Acquire)).then_some(Taker(())) // E1
    }

    /// Takes `p` from its M, which is returned, if that is in user code. If the M was in the runtime,
    /// and the P is not only borrowed, it is asked to let others run instead.
    pub(super) fn take(&self, p: &'static P, from: From) -> Option<&'static M> {
        let m = m::get(p.m_id.load(Ordering::Relaxed))?;
        if !is_possible() || !m.hold.begin() {
            return None; // RT2
        }
        let outside = m.is_outside(membarrier::heavy) && m.p().is_some_and(|its| its.id == p.id);
        if !m.hold.finish(outside, from != From::Lender) {
            return None;
        }
        p.m_id.store(SOMEBODY, Ordering::Relaxed); // ours now (HD1 of `sys::hold`)
        metrics::RETAKES.add();
        Some(m)
    }

    /// Gives `p`, which was taken from `m` and which the caller owns, back to it, unless it has noticed
    /// the loss: then the caller still owns it.
    pub(super) fn give_back(&self, p: &'static P, m: &'static M) -> bool {
        let owner = p.m_id.swap(m.id, Ordering::Relaxed); // before `m` may use it
        let back = m.hold.give_back();
        if !back {
            p.m_id.store(owner, Ordering::Relaxed);
        }
        back
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release); // E1
    }
}
