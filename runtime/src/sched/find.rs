//! Job: find_runnable: the order in which an M looks for work, and how it goes to sleep.
//! Layer: L2 (sched)
//! Not here: running what was found (`run`), the proof that nothing is missed (`idle`).
//! Invariants
//!   FR1  Sources in order: due timers and network (on a time budget), in every other round the M's
//!        own goroutines, the global queue on its share, next slot, local queue, global queue, the
//!        M's own, other Ps; then the blocking poll.
//!   FR2  An M that blocks in the poller has no P, so that nobody waits for it.
//!   FR3  While some goroutine computes, an M without a P blocks in the poller, if there is one: so the
//!        network and the timers are seen at once. Where goroutines are short the Ps see to it.
//! Orderings
//!   E2  block: poll_until.store; fence; timer_when.load  <->  timers::Timed::arm
//!       (partner: sched/timers.rs)
//! Source: Go's findRunnable. Differences: network and timers are looked at on a time budget even
//!   when the queues are full; no nap before a next slot is stolen.

use std::sync::atomic::Ordering;

use super::g::GRef;
use super::global::SCHED;
use super::idle;
use super::list::GList;
use super::m::M;
use super::p::{P, QUEUE_MAX};
use super::pick::{self, FAIR_TICKS};
use super::ready::{self, ready_found, ready_urgent};
use super::{errand, loan, pinned, poll, starved, steal, stopped, timers, watch};
use crate::sys::clock::{self, NEVER};
use crate::sys::shim::store_load_fence;

/// The next G for `m`, which may sleep before it has one. The M owns a P afterwards. `None` if the
/// thread is to end.
pub(crate) fn find_runnable(m: &'static M) -> Option<GRef> {
    loop {
        let Some(p) = m.p() else {
            let wanted = poll::wants_somebody() && loan::somebody_computes(); // FR3
            let stays = wanted && block(m) || idle::stop_m(m);
            if !stays {
                return None;
            }
            continue;
        };
        if p.is_lent() {
            match errand::next(m, p) {
                None => continue,
                found => return found,
            }
        }
        if p.id >= SCHED.procs() {
            retire(m);
            continue;
        }
        if SCHED.anybody_wants_p() && may_give_p(m, p) && pinned::give_p_away(m) {
            continue;
        }
        let g = with_p(m, p);
        if g.is_some() {
            return g;
        }
        go_idle(m);
    }
}

/// Looks everywhere, in order (FR1).
fn with_p(m: &'static M, p: &'static P) -> Option<GRef> {
    if pick::look_due(p) {
        look(p);
    }
    if starved::any() {
        share_stacks(p);
    }
    let fair = p.tick.load(Ordering::Relaxed).is_multiple_of(FAIR_TICKS);
    let fair = p.global_first.replace(false) || fair;
    let g = m.home.take_in_turn().or_else(|| pick::urgent(p));
    let g = g.or_else(|| fair.then(global_one).flatten());
    let g = g.or_else(|| fair.then(|| pick::queued(p)).flatten());
    let g = g.or_else(|| pick::local(p)).or_else(|| global_batch(p)).or_else(|| m.home.take());
    if g.is_some() || !idle::start_spinning(m) {
        return g;
    }
    // No look at the network in between: an M that finds nothing goes on to block in the poller,
    // which does the same in one system call instead of two.
    steal::steal(m, p)
}

/// Whether another M, which has goroutines of its own to run, may have the P now: in the rounds that
/// are not the local queue's, or if this M has nothing at hand, in turn with the global queue: as
/// large a share of them is served as this P takes from there.
fn may_give_p(m: &'static M, p: &'static P) -> bool {
    let fair = p.tick.load(Ordering::Relaxed).is_multiple_of(FAIR_TICKS);
    let at_hand = p.has_work() || m.home.has_mail();
    if fair || at_hand || SCHED.nothing_global() {
        return fair || !at_hand;
    }
    if stopped::count() > stopped::limit() {
        return true; // or one more would begin (AS1 of `stopped`)
    }
    match p.turns.get() {
        0 => p.turns.set(SCHED.wanting() / SCHED.procs() as usize + 1),
        turns => {
            p.turns.set(turns - 1);
            return true;
        }
    }
    false
}

/// Some goroutine waits for a stack: lets it have those that this P keeps for itself.
#[cold]
fn share_stacks(p: &'static P) {
    // SAFETY: this M owns P (P1); the borrow ends with this function.
    let stacks = &mut unsafe { p.owned() }.stacks;
    if !stacks.is_empty() {
        stacks.drain();
        starved::retry();
    }
}

/// Runs due timers of this P and takes what the network has; the Gs go to the local tail.
fn look(p: &'static P) {
    let mut list = GList::new();
    if p.timer_when.load(Ordering::Acquire) != NEVER {
        // partner: timers::publish
        timers::expire(p, clock::now(), &mut list);
    }
    poll::now(&mut list);
    p.looked.set(clock::cycles());
    if p.has_work() || !SCHED.nothing_global() {
        ready_urgent(&mut list);
    } else {
        ready_found(&mut list);
    }
}

/// One G from the global queue.
fn global_one() -> Option<GRef> {
    SCHED.injector().take(1).pop()
}

/// This P's share of the global queue: one to run, the rest into the local queue, which is empty.
fn global_batch(p: &'static P) -> Option<GRef> {
    let injector = SCHED.injector();
    if injector.is_empty() {
        return None;
    }
    let share = injector.len() / SCHED.procs() as usize + 1;
    if ready::migrating() {
        return global_one();
    }
    let mut batch = injector.take(share.min(QUEUE_MAX / 2));
    let first = batch.pop();
    while let Some(g) = batch.pop() {
        // SAFETY: this M owns `p` (P1), whose queue is empty, and these are fewer (P3).
        unsafe { p.push(g) };
    }
    first
}

/// Gives up a P that GOMAXPROCS no longer allows, and takes another if one is idle.
fn retire(m: &'static M) {
    {
        let mut state = SCHED.lock();
        idle::release_p(&mut state, m);
        m.set_p(state.pop_p());
    }
    if m.p().is_some() {
        watch::p_runs();
    } else if m.spinning.replace(false) {
        SCHED.searchers.retire();
    }
    idle::wake_p(); // for what the retirement moved to the global queue
}

/// Releases the P and waits: in the poller if nobody does, else asleep. Returns when there may be
/// something to do.
fn go_idle(m: &'static M) {
    {
        let mut state = SCHED.lock();
        if !SCHED.nothing_global() || m.home.has_mail() {
            return;
        }
        if state.need_spinning {
            state.need_spinning = false;
            if !m.spinning.replace(true) {
                SCHED.searchers.enter();
            }
            return;
        }
        idle::release_p(&mut state, m);
    }
    // SR4; and against `park::block`, whose thread waits for descriptors without an M.
    store_load_fence();
    let searched = m.spinning.replace(false);
    if searched {
        SCHED.searchers.retire();
    }
    // SR1, SR4: and now look again.
    let last = searched || SCHED.searchers.spinning() == 0;
    if last && idle::any_work() && search_again(m) {
        return;
    }
    let when = timers::earliest();
    if when != NEVER || poll::has_waiters() {
        block(m);
    } // without a P afterwards, `find_runnable` sleeps
}

/// Takes a P back to search once more.
fn search_again(m: &'static M) -> bool {
    {
        let mut state = SCHED.lock();
        m.set_p(state.pop_p());
        if m.p().is_none() {
            state.need_spinning = true; // whoever holds the Ps searches before it releases one
            return false;
        }
    }
    watch::p_runs();
    m.spinning.set(true);
    SCHED.searchers.enter();
    true
}

/// Blocks in the poller (FR2) until an event or the earliest deadline, if nobody else does (if so,
/// the one who does was told of an earlier deadline, and this returns false). Has a P afterwards,
/// perhaps a borrowed one, or has passed on what it found.
fn block(m: &'static M) -> bool {
    pinned::begin_poll(m);
    let Some(turn) = poll::begin_blocking() else {
        pinned::end_poll(m);
        poll::break_if_later(timers::earliest());
        return false;
    };
    let mut list = GList::new();
    // The deadline is read after `begin_blocking` has announced this M (E2).
    // So is the inbox (HM2).
    let when = if m.home.has_mail() { clock::now() } else { timers::earliest().min(loan::again()) };
    turn.wait(when, &mut list);
    pinned::end_poll(m);
    if when != NEVER {
        timers::expire_all(clock::now(), &mut list);
    }
    if idle::acquire_p(m) {
        // Nothing found: somebody added a timer, or wants the poll to be taken up anew.
        ready_found(&mut list);
        return true;
    }
    ready_urgent(&mut list);
    if !SCHED.urgent().is_empty() {
        loan::borrow(m);
    }
    true
}
