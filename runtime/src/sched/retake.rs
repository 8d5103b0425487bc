//! Job: the P of an M that computes for too long, or is blocked, goes to somebody who waits for it.
//! Layer: L2 (sched)
//! Not here: when (`gusty_sysmon`, `monitor`), the taking (`taker`), Ps that are only borrowed (`loan`).

use super::p::P;
use super::preempt;
use super::taker::{self, Taker};
use super::{idle, loan};

/// Takes `p` from its M, if that is in user code, and passes it on. False if the M was in the
/// runtime: it is asked to let others run instead. For the watchdog.
///
/// `computes`: its goroutine is not blocked, and goes on without a P, until it is stopped. Not if too
/// many do (RT3 of `taker`): then it is only asked and stopped.
pub(super) fn retake(p: &'static P, computes: bool) -> bool {
    let Some(taker) = Taker::try_new() else { return false };
    if computes && !taker::may_go_adrift() {
        return false;
    }
    let Some(m) = taker.take(p, computes) else { return false };
    if computes {
        preempt::preempt(m);
    }
    let back = p.is_lent() && loan::return_with(&taker, p);
    drop(taker);
    if !back {
        idle::pass_on(p);
    }
    true
}

/// Asks the goroutine on `p` to let others run, and stops it if it does not hear.
pub(super) fn ask(p: &'static P) {
    let m = super::m::get(p.m_id.load(std::sync::atomic::Ordering::Relaxed));
    if let (Some(m), Some(_taker)) = (m, Taker::try_new()) {
        preempt::preempt(m);
    }
}

/// A loan takes too long: the lender is stopped, and waits for a P like others.
pub(super) fn recall(p: &'static P) {
    let Some(_taker) = Taker::try_new() else { return };
    if let Some(m) = loan::forget(p) {
        preempt::preempt(m);
    }
}
