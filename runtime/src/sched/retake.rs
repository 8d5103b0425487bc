//! Job: the P of an M that computes for too long, or is blocked, goes to somebody who waits for it.
//! Layer: L2 (sched)
//! Not here: when (`gusty_sysmon`, `monitor`), how many may be without one (`astray`), the taking
//!   (`taker`), Ps that are only borrowed (`loan`).
//!
//! All for the watchdog. An M is looked at and kicked only by who has the `Taker`: so it is still the one
//! meant, and one at a time does it (M5).

use std::sync::atomic::Ordering;

use super::global::SCHED;
use super::m::{self, M};
use super::p::P;
use super::taker::{From, Taker};
use super::{idle, loan, preempt};
use crate::sys::clock::Nanos;

/// How long a goroutine whose P was taken while it blocked may compute before it is stopped.
const RETURN_NS: Nanos = 100_000;

/// To whom a P goes that is taken from a goroutine which computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heir {
    /// Whoever has use for it.
    Anybody,
    /// An M that waits for a P with its goroutine.
    Wanting,
}

/// Takes `p` from its M, which is blocked, and passes it on. If the M was in the runtime it is asked
/// to let others run instead.
pub(super) fn from_blocked(p: &'static P) {
    let Some(taker) = Taker::try_new() else { return };
    let Some(m) = taker.take(p, From::Blocked) else { return };
    preempt::stop_after(m, RETURN_NS);
    let back = p.is_lent() && loan::return_with(&taker, p);
    drop(taker);
    if !back {
        idle::pass_on(p);
    }
}

/// Takes `p` from its M, which computes, stops that, and passes the P on. `None` if the M was in the
/// runtime: it is asked to let others run instead; or if the P is on loan.
pub(super) fn from_running(p: &'static P, heir: Heir) -> Option<&'static M> {
    let taker = Taker::try_new()?;
    if p.is_lent() {
        return None;
    }
    let m = taker.take(p, From::Running)?;
    preempt::stop(m);
    drop(taker);
    let needy = if heir == Heir::Wanting { SCHED.lock().pop_wanting() } else { None };
    match needy {
        Some(needy) => needy.give_p(p),
        None => idle::pass_on(p),
    }
    Some(m)
}

/// Asks the goroutine on `p` to let others run, and stops it if it does not hear.
pub(super) fn ask(p: &'static P) {
    let Some(_taker) = Taker::try_new() else { return };
    let m = m::get(p.m_id.load(Ordering::Relaxed));
    if let Some(m) = m.filter(|_| !p.is_lent()) {
        preempt::preempt(m); // not an errand, which has just begun
    }
}

/// A loan takes too long: the lender is stopped, and waits for a P like others. Returned if it computes
/// on without one.
pub(super) fn recall(p: &'static P) -> Option<&'static M> {
    let _taker = Taker::try_new()?;
    let m = loan::forget(p)?;
    preempt::stop(m);
    Some(m)
}
