//! Job: goroutines that stay on one M: how they are queued for it, and how it gets a P for them.
//! Layer: L2 (sched)
//! Not here: which goroutines do (`Builder::pinned`, the settings); those that hold their M while
//!   they wait (`idle::regain_p`); the inbox itself (`home`).
//! Invariants
//!   HM1  A pinned goroutine belongs to the M that runs it first, until it ends. When it is runnable
//!        it is in that M's inbox and in no other queue.
//!   HM2  An M with something in its inbox has a P, or is queued for one (`wanting`), or is about to
//!        see to that: it looks into its inbox after it announced that it blocks in the poller, and
//!        under the scheduler's lock before it goes to sleep.
//!   HM3  `rest` is IDLE or WANTING exactly while the M is in that list; both are changed under the
//!        scheduler's lock. The M itself sets and clears POLLING.
//!   HM4  While goroutines belong to an M its thread does not end. Only those of them that have begun
//!        get into its inbox.
//! Orderings
//!   E1  push: inbox.push, fence -> rest.load   ||   block: rest.store(POLLING), fence -> inbox.load
//!       One side sees the other: the poll is broken, or does not block.
//!
//! Every goroutine is pinned where goroutines share their thread's thread-locals (level `Pinned`):
//! addresses of thread-locals that the compiler keeps over a park then stay right. Elsewhere it is for
//! code that is tied to its OS thread without blocking it.

use std::sync::atomic::Ordering;

use super::g::{GRef, PINNED};
use super::global::SCHED;
use super::home::{AWAKE, IDLE, POLLING};
use super::m::{self, M};
use super::{poll, watch};
use crate::sys::shim::store_load_fence;

/// The M that alone may run `g`, if there is one (HM1).
#[inline]
pub(crate) fn of(g: GRef) -> Option<&'static M> {
    if g.flag(PINNED) { g.bound_m() } else { None }
}

/// `g` begins on `m`.
#[inline]
pub(super) fn settle_in(g: GRef, m: &'static M) {
    if g.flag(PINNED) {
        g.set_bound_m(Some(m));
        m.home.settle();
    }
}

/// `g`, which began on `m`, has ended.
#[inline]
pub(super) fn leave(g: GRef, m: &'static M) {
    if g.flag(PINNED) {
        m.home.leave();
    }
}

/// Queues a runnable goroutine, which the caller gives away, for the M that it belongs to.
#[cold]
pub(super) fn push(g: GRef, m: &'static M) {
    m.home.put(g);
    if m::current().is_some_and(|current| std::ptr::eq(current, m)) {
        return; // HM2
    }
    store_load_fence(); // E1
    if m.home.rest.load(Ordering::Relaxed) == POLLING {
        return poll::break_now();
    }
    let mut state = SCHED.lock();
    match m.home.rest.load(Ordering::Relaxed) {
        // HM3
        POLLING => poll::break_now(),
        IDLE => {
            let idled = state.remove_m(m);
            debug_assert!(idled, "HM3");
            match state.pop_p() {
                Some(p) => {
                    drop(state);
                    watch::p_runs();
                    m.give_p(p);
                }
                None => state.push_wanting(m),
            }
        }
        _ => {} // HM2: it looks before it sleeps, or waits for a P already
    }
}

/// Announces that this M is about to block in the poller; to be followed by a fence and a look into
/// its inbox (E1).
pub(super) fn begin_poll(m: &'static M) {
    m.home.rest.store(POLLING, Ordering::Relaxed); // E1
}

pub(super) fn end_poll(m: &'static M) {
    m.home.rest.store(AWAKE, Ordering::Relaxed); // a late break only costs an empty poll
}

/// Gives this M's P to one that has goroutines of its own, or holds one, and no P; false if there is
/// none.
#[cold]
pub(super) fn give_p_away(m: &'static M) -> bool {
    let p = m.p().expect("only an M with a P can give it away");
    {
        let mut state = SCHED.lock();
        let Some(needy) = state.pop_wanting() else { return false };
        // Past the fair round, or the next M would pass the P on as well without running anything.
        p.count_round();
        m.set_p(None);
        needy.give_p(p);
    }
    if m.spinning.replace(false) {
        // Without another look: no P is idle while an M wants one, and whoever releases a P looks.
        SCHED.searchers.retire();
    }
    true
}
