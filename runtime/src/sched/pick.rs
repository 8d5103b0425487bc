//! Job: choosing the next G from what this P has at hand.
//! Layer: L2 (sched)
//! Not here: the global queue, other Ps, the poller (`find`).
//! Invariants
//!   PK1  Every `FAIR_TICKS`-th round is taken by g0, which looks at the global queue first and at
//!        the local queue before the next slot: neither a full local queue nor two Gs that wake
//!        each other through the next slot can keep the others out for longer.
//!   PK2  While timers or network waiters exist, a round at least every `LOOK_CYCLES` is g0's too.
//!   PK3  So is one while somebody urgent waits. Urgent ones come before all others, but of
//!        `URGENT_RUN + 1` goroutines that a P takes one is another, if there are others.

use super::g::{GRef, LIGHT};
use super::global::SCHED;
use super::m::M;
use super::p::P;
use super::poll;
use crate::arch;
use crate::sys::clock::{self, NEVER};
use std::sync::atomic::Ordering;

/// Go's constant for the global queue; a prime, so that it does not beat with a program's period.
pub(crate) const FAIR_TICKS: u32 = 61;
/// Some 50 us at 2 to 3 GHz: how long timers and the network may go unlooked-at.
const LOOK_CYCLES: u64 = 128 * 1024;

/// PK3.
const URGENT_RUN: u32 = 8;

/// Counts a round; true if it is one that g0 must take (PK1, PK2, PK3, this P retires or is lent).
#[inline]
fn g0_round(p: &'static P) -> bool {
    let tick = p.count_round();
    if p.is_lent() {
        p.count_errand(); // LN2 of `loan`
        return true;
    }
    tick.is_multiple_of(FAIR_TICKS)
        || !SCHED.urgent().is_empty()
        || p.id >= SCHED.procs()
        || look_due(p)
}

/// A goroutine has used up its slice: g0 takes the next round.
pub(crate) fn end_slice(p: &'static P) {
    g0_round(p);
    p.end_slice();
    p.begin_turn(clock::now());
}

/// Whether timers and network should be looked at now (PK2).
#[inline]
pub(crate) fn look_due(p: &'static P) -> bool {
    (p.timer_when.load(Ordering::Relaxed) != NEVER || poll::has_waiters())
        && clock::cycles().wrapping_sub(p.looked.get()) > LOOK_CYCLES
}

/// The next G for a parking goroutine to switch to directly; `None` if g0 has to choose, which may
/// find one set aside by this function (it has no stack yet, or belongs to another M).
#[inline]
pub(crate) fn direct(m: &'static M, p: &'static P) -> Option<GRef> {
    if g0_round(p) {
        return None;
    }
    let g = local(p)?;
    if g.sp.get() == 0 || g.bound_m().is_some() {
        m.set_handoff(g);
        return None;
    }
    Some(g)
}

/// The next G for a goroutine that has ended: one that may begin on its stack, which is of the class
/// `class`, and is `light` if that was. Otherwise as [`direct`].
#[inline]
pub(crate) fn heir(m: &'static M, p: &'static P, class: usize, light: bool) -> Option<GRef> {
    if g0_round(p) {
        return None;
    }
    let g = local(p)?;
    let same = g.stack.get() == class && g.flag(LIGHT) == light;
    if g.sp.get() != 0 || !same || g.bound_m().is_some() {
        m.set_handoff(g);
        return None;
    }
    Some(g)
}

/// For a yielding goroutine: whether there is nobody to yield to, here or in the global queue.
#[inline]
pub(crate) fn nobody_else(m: &'static M, p: &'static P) -> bool {
    !p.has_work()
        && !m.home.has_mail()
        && SCHED.nothing_global()
        && p.id < SCHED.procs()
        && !look_due(p)
        && !SCHED.anybody_wants_p()
}

/// One of the urgent ones, if it is their turn (PK3).
#[inline]
pub(crate) fn urgent(p: &'static P) -> Option<GRef> {
    let run = p.urgent_run.get();
    if SCHED.urgent().is_empty() || run >= URGENT_RUN {
        p.urgent_run.set(0);
        return None;
    }
    p.urgent_run.set(run + 1);
    SCHED.urgent().take(1).pop()
}

/// The next slot's G, else the head of the local queue.
#[inline]
pub(crate) fn local(p: &'static P) -> Option<GRef> {
    p.take_next().or_else(|| queued(p))
}

/// The head of the local queue.
#[inline]
pub(crate) fn queued(p: &'static P) -> Option<GRef> {
    // SAFETY: only called on the M that owns P (P1).
    let g = unsafe { p.pop() }?;
    arch::prefetch(g.sp.get());
    Some(g)
}
