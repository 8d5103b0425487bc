//! Job: making Gs runnable. The only way into a run queue.
//! Layer: L2 (sched)
//! Not here: who runs them (`find`).
//! Invariants
//!   RD1  The caller owns the G (it took it out of a wait, or just made it) and gives it away here.
//!   RD2  No lock of ours that the G might want is held (it may run before `ready` returns).
//!   RD3  What uses the caller's P is in a section from before it asks for the P until it is done.

use std::sync::atomic::{AtomicBool, Ordering};

use super::g::{GKind, GRef, GStatus};
use super::global::SCHED;
use super::idle;
use super::list::GList;
use super::m;
use super::metrics;
use super::p::{P, QUEUE_MAX};
use super::pinned;
use crate::sys::section::Section;

static MIGRATE: AtomicBool = AtomicBool::new(false);

/// `GUSTYDEBUG=migrate=1`: what is made ready goes through the global queue, one by one.
pub(crate) fn set_migrate(on: bool) {
    MIGRATE.store(on, Ordering::Relaxed); // before the first goroutine
}

/// See [`set_migrate`].
#[inline]
pub(crate) fn migrating() -> bool {
    MIGRATE.load(Ordering::Relaxed) // a setting
}

/// Makes a parked G, which the caller gives away (RD1, RD2), runnable: next on this P if the caller has one, else through the global queue.
#[inline]
pub(crate) fn ready(g: GRef) {
    if g.kind() != GKind::Goroutine {
        g.note.wake();
        return;
    }
    g.set_status(GStatus::Runnable);
    make_next(g);
}

/// As [`ready`] for a caller in a section.
#[inline]
pub(crate) fn ready_inside(_section: &Section, g: GRef) {
    if g.kind() != GKind::Goroutine {
        g.note.wake();
        return;
    }
    g.set_status(GStatus::Runnable);
    make_next_inside(g);
}

/// Queues a runnable G as the next of this P; the one it displaces goes to the local tail.
#[inline]
pub(crate) fn make_next(g: GRef) {
    let _section = Section::enter_if_outside(); // RD3
    make_next_inside(g);
}

/// As [`make_next`] for a caller in a section.
#[inline]
pub(crate) fn make_next_inside(g: GRef) {
    if let Some(m) = pinned::of(g) {
        return pinned::push(g, m);
    }
    match m::current().and_then(m::M::p) {
        Some(p) if !migrating() => {
            let displaced = p.set_next(g);
            if let Some(old) = displaced {
                // Published by a plain store after the barrier. A searcher that retires at this
                // moment sees `g` in the next slot, at least, and searches on (SR1).
                if p.is_lent() {
                    push_urgent(old); // or it would wait for the end of the lender's turn
                } else {
                    push_local(p, old);
                }
            }
            idle::wake_p_after_rmw();
        }
        _ => push_global(g),
    }
}

/// Queues a runnable G where any M finds it, or that which alone may run it.
#[cold]
pub(crate) fn push_global(g: GRef) {
    let _section = Section::enter_if_outside(); // M3 of `m`
    if let Some(m) = pinned::of(g) {
        return pinned::push(g, m);
    }
    SCHED.injector().push(g);
    idle::wake_p();
}

/// Puts a runnable G at the local tail; if the queue is full, its older half goes to the global
/// queue first. Wakes nobody. The caller's M owns `p`.
#[inline]
pub(crate) fn push_local(p: &'static P, g: GRef) {
    if p.queued() >= QUEUE_MAX {
        spill(p);
    }
    // SAFETY: the caller's M owns P, and there is room (P3).
    unsafe { p.push(g) };
}

#[cold]
#[inline(never)]
fn spill(p: &'static P) {
    let mut older = GList::new();
    for _ in 0..QUEUE_MAX / 2 {
        // SAFETY: the caller's M owns P.
        if let Some(old) = unsafe { p.pop() } {
            older.push(old);
        }
    }
    SCHED.injector().append(&mut older);
}

/// Queues a G that yields: behind the others of this P, or, if there are none, behind those in the
/// global queue, which it would otherwise keep out; behind those too if they are many, or a G that
/// spawns and yields would stay ahead of what it spawned.
#[inline]
pub(crate) fn push_yielding(p: &'static P, g: GRef) {
    if migrating() || pinned::of(g).is_some() {
        push_global(g);
    } else if SCHED.injector().is_empty() || (p.has_work() && SCHED.injector().len() <= QUEUE_MAX) {
        push_local(p, g);
    } else {
        SCHED.injector().push(g);
    }
}

/// Queues a G that has used up its slice: behind all others, so that those that compute take turns
/// whatever P they are on. Wakes nobody.
pub(crate) fn push_expired(g: GRef) {
    if pinned::of(g).is_some() {
        return push_global(g);
    }
    SCHED.injector().push(g);
}

/// Makes a list of parked Gs runnable, for a caller that goes on with something else.
pub(crate) fn ready_list(list: &mut GList) {
    spread(list, false);
}

/// Makes a list of Gs runnable that the network or a timer has woken, for an M that looks for work: it
/// runs one of them itself, so a single one wakes nobody.
pub(crate) fn ready_found(list: &mut GList) {
    spread(list, true);
}

/// As [`ready_found`], but they are not to wait behind others: for one whose P has a queue, or who has
/// none.
pub(crate) fn ready_urgent(list: &mut GList) {
    let _section = Section::enter_if_outside(); // RD3
    let mut mine = m::current().is_some_and(|m| m.p().is_some());
    while let Some(g) = list.pop() {
        if g.kind() != GKind::Goroutine {
            g.note.wake();
            continue;
        }
        g.set_status(GStatus::Runnable);
        if let Some(m) = pinned::of(g) {
            pinned::push(g, m);
            continue;
        }
        metrics::URGENT.add();
        SCHED.urgent().push(g);
        if !std::mem::take(&mut mine) {
            idle::wake_p();
        }
    }
}

/// Queues a runnable G among the urgent ones. Wakes nobody: the caller goes on to borrow a P.
pub(crate) fn push_urgent(g: GRef) {
    if let Some(m) = pinned::of(g) {
        return pinned::push(g, m);
    }
    SCHED.urgent().push(g);
}

/// Queues a G that came back without its P: as the next of `front`, if it may go on there and nobody
/// else is next.
pub(crate) fn push_returned(front: Option<&'static P>, g: GRef) {
    let placed = match front {
        Some(p) if pinned::of(g).is_none() && !migrating() => p.offer_next(g),
        _ => Err(g),
    };
    match placed {
        Ok(()) => idle::wake_p(),
        Err(g) => push_global(g),
    }
}

fn spread(list: &mut GList, runs_one: bool) {
    let _section = Section::enter_if_outside(); // RD3
    let p = m::current().and_then(m::M::p).filter(|_| !migrating());
    let mut mine = runs_one && p.is_some();
    let mut others = GList::new();
    while let Some(g) = list.pop() {
        if g.kind() != GKind::Goroutine {
            g.note.wake();
            continue;
        }
        g.set_status(GStatus::Runnable);
        if let Some(m) = pinned::of(g) {
            pinned::push(g, m);
            continue;
        }
        match p {
            Some(p) if p.queued() < QUEUE_MAX => push_local(p, g),
            _ => {
                others.push(g);
                continue;
            }
        }
        if !std::mem::take(&mut mine) {
            idle::wake_p();
        }
    }
    if !others.is_empty() {
        // One wake-up: each searcher that finds some of them wakes the next (SR3).
        SCHED.injector().append(&mut others);
        idle::wake_p();
    }
}
