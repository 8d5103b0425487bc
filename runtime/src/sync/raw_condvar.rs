//! Job: a condition variable without guards: unlock and wait in one step, and notifying.
//! Layer: L3 (blocking)
//! Not here: `std::sync`'s face of it (`condvar`), mutexes (`raw_mutex`).
//! Invariants
//!   CV1  A waiter queues before it unlocks the mutex. So whoever locks the mutex afterwards and
//!        notifies finds it: no notification is lost in between.
//!   CV2  A waiter parks after it has unlocked. One that is popped before has nothing to be readied
//!        from: it finds its wait ended and does not park. `parked` says which; it is read and
//!        written under the lock.
//!   CV3  A waiter is woken by a notification that came after it queued: `notify_one` takes the
//!        first in the queue, `notify_all` those of the rounds before its own.
//!   CV4  `waiting` is whether the queue is not empty. It is written under the lock; the mutex shows
//!        it to whoever must see it (CV1).
//!   CV5  A waiter whose deadline passes has no notification: who pops it goes on to the next.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::raw_mutex::RawMutex;
use crate::sched::claim::{OPEN, Wait};
use crate::sched::g::WaitReason;
use crate::sched::{park, ready};
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

pub(super) struct RawCondvar {
    waiting: AtomicBool,
    state: SpinLock<State>,
}

struct State {
    queue: WaitQueue,
    /// Grows with each `notify_all`.
    round: usize,
}

/// What a node's `data` points to, on the waiter's stack.
struct Waiter {
    round: Cell<usize>,
    parked: Cell<bool>,
}

impl Waiter {
    /// # Safety
    /// `data` is that of a node in the queue, or popped from it, and its lock is held.
    unsafe fn of<'a>(data: *mut ()) -> &'a Waiter {
        // SAFETY: the waiter needs the lock to unlink the node or to see that it was popped (CV2).
        unsafe { &*data.cast::<Waiter>() }
    }

    /// Whether it must be readied now that it was popped (CV2).
    ///
    /// # Safety
    /// As `of`.
    unsafe fn is_parked(data: *mut ()) -> bool {
        // SAFETY: promised by the caller.
        unsafe { Waiter::of(data) }.parked.get()
    }
}

impl RawCondvar {
    pub(super) const fn new() -> RawCondvar {
        RawCondvar {
            waiting: AtomicBool::new(false),
            state: SpinLock::new(State { queue: WaitQueue::new(), round: 0 }),
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks it again. False if `deadline` came
    /// first.
    ///
    /// # Safety
    /// The caller holds `mutex`.
    pub(super) unsafe fn wait(&self, mutex: &RawMutex, until: Until<'_>) -> bool {
        let wait = Wait::new(park::current());
        let waiter = Waiter { round: Cell::new(0), parked: Cell::new(false) };
        let node = Node::single(&wait, ptr::from_ref(&waiter).cast_mut().cast(), until);
        {
            let mut state = self.state.lock();
            waiter.round.set(state.round);
            // SAFETY: popped by a notification, or removed below; on this frame until then.
            unsafe { state.queue.push_back(&node) };
            self.note(&state);
        }
        // SAFETY: promised by the caller. CV1.
        unsafe { mutex.unlock() };
        let state = self.state.lock();
        let notified = if wait.outcome() != OPEN {
            drop(state);
            true // CV2
        } else {
            waiter.parked.set(true);
            // SAFETY: who pops the node from now on readies us.
            let outcome =
                unsafe { wait::park_in(&self.state, state, &wait, until, WaitReason::Condvar) };
            outcome == OUTCOME_SERVED
        };
        if !notified {
            let mut state = self.state.lock();
            state.queue.remove(&node); // CV5
            self.note(&state);
        }
        mutex.lock();
        notified
    }

    #[inline]
    pub(super) fn notify_one(&self) {
        if self.is_awaited() {
            self.wake_one();
        }
    }

    #[inline]
    pub(super) fn notify_all(&self) {
        if self.is_awaited() {
            self.wake_all();
        }
    }

    /// Relaxed: the mutex orders it (CV4).
    #[inline]
    fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    fn note(&self, state: &SpinGuard<'_, State>) {
        self.waiting.store(!state.queue.is_empty(), Ordering::Relaxed); // CV4
    }

    #[cold]
    fn wake_one(&self) {
        let parked = {
            let mut state = self.state.lock();
            let waiter = state.queue.pop_claimed(SERVED);
            self.note(&state);
            // SAFETY: just popped, and the lock is held.
            waiter.filter(|waiter| unsafe { Waiter::is_parked(waiter.data) })
        };
        if let Some(waiter) = parked {
            ready::ready(waiter.g);
        }
    }

    #[cold]
    fn wake_all(&self) {
        {
            let mut state = self.state.lock();
            state.round = state.round.wrapping_add(1);
        }
        wait::wake_all(&self.state, |state| {
            let round = state.round;
            let parked = loop {
                // SAFETY: the node is in the queue, whose lock is held.
                let earlier = |data| unsafe { Waiter::of(data) }.round.get() != round; // CV3
                let waiter = state.queue.pop_claimed_if(SERVED, earlier);
                // SAFETY: just popped, and the lock is held.
                if waiter.as_ref().is_none_or(|waiter| unsafe { Waiter::is_parked(waiter.data) }) {
                    break waiter;
                }
            };
            self.waiting.store(!state.queue.is_empty(), Ordering::Relaxed); // CV4
            parked
        });
    }
}
