//! Job: a select's look at all its channels at once, and its wait in all of them.
//! Layer: L3 (blocking)
//! Not here: which operation is tried when (`choose`), what an operation does (`port`).
//! Invariants
//!   CS1  All channels of a select are locked before it looks at all of them or queues, in the order
//!        of the locks' addresses, each once. So its view of them is one moment's, and nothing is
//!        lost between looking and queueing.
//!   CS2  The commit's last touch of the waiter's frame comes before its last unlock, and the waiter
//!        takes every lock again before it leaves, but that under which it was claimed: if that is
//!        the last one, the commit had unlocked it. So the frame outlives the commit. Without any
//!        lock (timers only) the commit does not touch it.
//!   CS3  One of the nodes is claimed at most; all are unlinked before the select returns, that one
//!        by whoever claimed it. Nobody finds itself: a select's own nodes are queued only after it
//!        has looked.
//!   CS4  The locks are taken without guards, so in a section that begins before and ends after.

use std::ptr;

use super::case::{Case, Order, Place, random_below};
use super::port::Goal;
use crate::sched::claim::{FIRST_TOKEN, TIMED_OUT, Wait};
use crate::sched::g::WaitReason;
use crate::sched::list::GList;
use crate::sched::ready;
use crate::sys::clock::NEVER;
use crate::sys::lock::RawSpin;
use crate::sys::section::Section;
use crate::wait::{self, Node, OTHER, Until};

/// How looking at all of them together ended.
pub(super) enum Entered {
    /// One was possible.
    Possible,
    /// It was waited, or not (`TIMED_OUT`).
    Ended(usize),
}

/// The operations, in the order of their locks; those without a lock come first. Pointers, because the
/// commit has them until the frame is gone (CS2).
#[derive(Clone, Copy)]
struct Crowd<'a, 's> {
    cases: *const Case<'a, 's>,
    order: *const u32,
    len: usize,
}

impl<'a, 's> Crowd<'a, 's> {
    /// # Safety
    /// `nth` is below `len`, and the frame there.
    #[inline]
    unsafe fn case<'c>(self, nth: usize) -> &'c Case<'a, 's> {
        // SAFETY: promised by the caller.
        unsafe { &*self.cases.add(*self.order.add(nth) as usize) }
    }

    /// # Safety
    /// As `case`; its place is written.
    #[inline]
    unsafe fn place<'c>(self, nth: usize) -> &'c Place
    where
        'a: 'c,
        's: 'c,
    {
        // SAFETY: promised by the caller.
        unsafe { self.case(nth).place.assume_init_ref() }
    }
}

/// Locks all channels, and waits in them if no operation is possible (CS1).
#[inline(always)] // see `choose::run`
pub(super) fn enter(
    cases: &mut [Case<'_, '_>],
    goal: Goal,
    until: Option<Until<'_>>,
    wait: &Wait,
) -> Entered {
    let mut order = Order::of(cases.len());
    let order = order.as_mut();
    let mut deadline = until.map_or(NEVER, |until| until.deadline);
    for (i, case) in cases.iter_mut().enumerate() {
        let spot = case.port.place(goal);
        if spot.lock.is_null() {
            deadline = deadline.min(case.port.deadline());
        }
        let data = if case.is_send { case.partner.as_data() } else { case.slot };
        let node = Node::new(wait, data, FIRST_TOKEN + 2 * i, false);
        case.place.write(Place { spot, node: if case.is_send { node.late() } else { node } });
    }
    sort(cases, order);
    let crowd = Crowd { cases: cases.as_ptr(), order: order.as_ptr(), len: order.len() };
    // SAFETY: all places were written; the pointers are into channels that the ports keep.
    unsafe { wait_in(crowd, goal, until.map(|until| Until { deadline, ..until }), wait) }
}

/// Sorts by the locks' addresses; the order of several operations on one channel, which is that of
/// their nodes, is random.
fn sort(cases: &[Case<'_, '_>], order: &mut [u32]) {
    // SAFETY: `enter` has written all places.
    let lock = |i: u32| unsafe { cases[i as usize].place.assume_init_ref() }.spot.lock.addr();
    for at in 1..order.len() {
        let (this, mut to) = (order[at], at);
        while to > 0 && lock(order[to - 1]) > lock(this) {
            order[to] = order[to - 1];
            to -= 1;
        }
        order[to] = this;
    }
    for same in order.chunk_by_mut(|&a, &b| lock(a) == lock(b)) {
        for i in 1..same.len() {
            same.swap(i, random_below(i as u32 + 1) as usize);
        }
    }
}

/// # Safety
/// All of `crowd` have their places, with good pointers.
#[inline(always)] // see `choose::run`
unsafe fn wait_in(
    crowd: Crowd<'_, '_>,
    goal: Goal,
    until: Option<Until<'_>>,
    wait: &Wait,
) -> Entered {
    let all = 0..crowd.len;
    // SAFETY: promised by the caller; in bounds.
    let place = |nth: usize| unsafe { crowd.place(nth) };
    let _section = Section::enter(); // CS4
    let mut last = ptr::null();
    for Place { spot, .. } in all.clone().map(place) {
        // SAFETY: null or good, as promised by the caller.
        if let Some(lock) = unsafe { spot.lock.as_ref() }
            && spot.lock != last
        {
            lock.lock();
            last = spot.lock;
        }
    }
    // SAFETY: all are locked; in bounds.
    let possible = all.clone().any(|nth| unsafe { crowd.case(nth).port.is_possible() });
    let Some(until) = until.filter(|_| !possible) else {
        // SAFETY: locked above.
        unsafe { unlock_all(crowd, 0) };
        return if possible { Entered::Possible } else { Entered::Ended(TIMED_OUT) };
    };
    let mut watchers = GList::new();
    let mut lockless = 0;
    for Place { spot, node } in all.clone().map(place) {
        if spot.lock.is_null() {
            lockless += 1;
            continue;
        }
        // SAFETY: locked; the node stays there, in the caller's cases, and is unlinked below.
        unsafe {
            while goal == Goal::Perform // CW1
                && let Some(watcher) = (*spot.watchers).pop_claimed(wait::SERVED)
            {
                watchers.push(watcher.g);
            }
            (*spot.queue).push_back(node);
            spot.flag(true);
        }
    }
    let commit = move || {
        // SAFETY: all are locked, so the frame is there until the last unlock (CS2); if there are
        // none it is not looked at.
        unsafe { unlock_all(crowd, lockless) };
        if !watchers.is_empty() {
            ready::ready_list(&mut watchers);
        }
    };
    // SAFETY: every queue with a node is locked until the commit; who pops a node readies us.
    let outcome = unsafe { wait::park_queued(wait, until, WaitReason::Select, commit) };
    // SAFETY: promised by the caller; the wait is over.
    unsafe { withdraw(crowd, lockless, outcome) };
    Entered::Ended(outcome)
}

/// Takes the nodes out after a wait that ended as `outcome` (CS3).
///
/// # Safety
/// The wait is over; its nodes are those of `crowd` but the first `lockless`, which have none.
#[inline(always)] // see `choose::run`
unsafe fn withdraw(crowd: Crowd<'_, '_>, lockless: usize, outcome: usize) {
    for nth in lockless..crowd.len {
        // SAFETY: in bounds; promised by the caller.
        let Place { spot, node } = unsafe { crowd.place(nth) };
        if node.token() == outcome & !OTHER {
            continue; // CS2
        }
        // SAFETY: the lock is taken for it.
        unsafe {
            let lock = &*spot.lock;
            lock.lock();
            (*spot.queue).remove(node);
            spot.flag(!(*spot.queue).is_empty());
            lock.unlock();
        }
    }
}

/// Unlocks every lock once; the last unlock is the last thing it does (CS2).
///
/// # Safety
/// All locks are held. The first `lockless` operations have none; there may be more such. The frame
/// is there until the last unlock.
unsafe fn unlock_all(crowd: Crowd<'_, '_>, lockless: usize) {
    let mut held: *const RawSpin = ptr::null();
    for nth in lockless..crowd.len {
        // SAFETY: the last lock is still held.
        let next = unsafe { crowd.place(nth) }.spot.lock;
        // SAFETY: null or locked; each comes up once, because equal ones are adjacent.
        unsafe {
            if held != next
                && let Some(lock) = held.as_ref()
            {
                lock.unlock();
            }
        }
        held = next;
    }
    // SAFETY: as above.
    unsafe {
        if let Some(lock) = held.as_ref() {
            lock.unlock();
        }
    }
}
