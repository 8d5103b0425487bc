//! Job: the P of an M that computes for too long, or is blocked, goes to somebody who waits for it.
//! Layer: L2 (sched)
//! Not here: when (`gusty_sysmon`, `monitor`), the taking (`taker`), Ps that are only borrowed (`loan`).

use std::sync::atomic::Ordering;

use super::m;
use super::p::P;
use super::preempt;
use super::taker::{self, From, Taker};
use super::{idle, loan};

/// Takes `p` from its M, if that is in user code, and passes it on. False if the M was in the
/// runtime: it is asked to let others run instead. For the watchdog.
///
/// A goroutine that computes goes on without a P until it is stopped. Not if too many do (RT3 of
/// `taker`): then it is only asked and stopped.
pub(super) fn retake(p: &'static P, from: From) -> bool {
    let computes = from == From::Running;
    let Some(taker) = Taker::try_new() else { return false };
    if computes && (!taker::may_go_adrift() || p.is_lent()) {
        return false;
    }
    let Some(m) = taker.take(p, from) else { return false };
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
    let Some(_taker) = Taker::try_new() else { return };
    let m = m::get(p.m_id.load(Ordering::Relaxed));
    if let Some(m) = m.filter(|_| !p.is_lent()) {
        preempt::preempt(m); // not an errand, which has just begun
    }
}

/// A loan takes too long: the lender is stopped, and waits for a P like others.
pub(super) fn recall(p: &'static P) {
    let Some(_taker) = Taker::try_new() else { return };
    if let Some(m) = loan::forget(p) {
        preempt::preempt(m);
    }
}
