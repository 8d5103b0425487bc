//! Job: a mutex without a value: taking it, waiting for it, passing it on.
//! Layer: L3 (blocking)
//! Not here: the word's transitions (`mutex_word`), values, guards and poisoning (`mutex`).
//! Invariants
//!   RM1  A waiter's node carries the moment it first queued; one that lost the competition goes
//!        back to the front with that moment kept.
//!   RM2  A waiter that has waited for longer than `PATIENCE` when the mutex is unlocked gets it
//!        handed over: newcomers that find the CPU warm cannot keep it out forever.
//!   RM3  A waiter whose deadline passes gives up only if nobody has woken it or handed the mutex
//!        over to it: then that happened to it, and it competes or holds the mutex.
//! Source: Go's sync.Mutex (barging, woken bit, front of the queue, 1 ms).

use std::ptr;

use super::mutex_word::{MutexWord, Unlocked};
use crate::sched::claim::{TIMED_OUT, Wait};
use crate::sched::g::WaitReason;
use crate::sched::global::SCHED;
use crate::sched::{park, ready};
use crate::sys::clock::{self, Nanos};
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::sys::membarrier;
use crate::wait::{self, Node, OTHER, OUTCOME_OTHER, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// Longer waits end by a hand-off (RM2). Go's value.
const PATIENCE: Nanos = 1_000_000;

/// Rounds of `PAUSES` before a newcomer queues, if the holder may be running on another P.
const SPINS: u32 = 4;
const PAUSES: u32 = 30;

pub(super) struct RawMutex {
    word: MutexWord,
    queue: SpinLock<WaitQueue>,
}

impl RawMutex {
    pub(super) const fn new() -> RawMutex {
        RawMutex { word: MutexWord::new(), queue: SpinLock::new(WaitQueue::new()) }
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        self.word.lock_fast()
    }

    #[inline]
    pub(super) fn lock(&self) {
        if !self.word.lock_fast() {
            self.lock_slow(Until::FOREVER);
        }
    }

    /// Locks by `deadline`; false if that came first.
    #[inline]
    pub(super) fn lock_until(&self, until: Until<'_>) -> bool {
        self.word.lock_fast() || self.lock_slow(until)
    }

    #[cold]
    fn lock_slow(&self, until: Until<'_>) -> bool {
        if self.spin() {
            return true;
        }
        let me = park::current();
        let since = ptr::without_provenance_mut(clock::now() as usize);
        let mut woken = false;
        loop {
            let Some(mut queue) = self.queue_to_wait() else { return self.poll(until) };
            if self.word.lock_or_announce(woken, queue.is_empty()) {
                return true;
            }
            let wait = Wait::new(me);
            let node = Node::single(&wait, since, until);
            // SAFETY: popped by `wake` or `pass_on`, which ready us, or removed by `give_up`; on this
            // frame until then.
            let outcome = unsafe {
                if woken {
                    queue.push_front(&node); // RM1
                } else {
                    queue.push_back(&node);
                }
                wait::park_in(&self.queue, queue, &wait, until, WaitReason::Mutex)
            };
            match outcome {
                OUTCOME_SERVED => woken = true,
                OUTCOME_OTHER => return true, // handed over
                _ => {
                    self.give_up(&node); // RM3
                    return false;
                }
            }
        }
    }

    /// The queue, locked, where it may be waited in (MW4 of `mutex_word`); `None` if the kernel refuses
    /// the fence, which it has granted before.
    fn queue_to_wait(&self) -> Option<SpinGuard<'_, WaitQueue>> {
        let queue = self.queue.lock();
        if self.word.may_queue() {
            return Some(queue);
        }
        drop(queue);
        let heavy = membarrier::heavy();
        let queue = self.queue.lock();
        self.word.fenced(heavy);
        heavy.then_some(queue)
    }

    /// Locks without waiting in the queue.
    #[cold]
    fn poll(&self, until: Until<'_>) -> bool {
        while !self.word.lock_fast() {
            let deadline = until.deadline.min(clock::now() + PATIENCE);
            let outcome = wait::pause(Until { deadline, ..until }, WaitReason::Mutex);
            if outcome != TIMED_OUT || clock::now() >= until.deadline {
                return false;
            }
        }
        true
    }

    fn give_up(&self, node: &Node) {
        let mut queue = self.queue.lock();
        queue.remove(node);
        self.word.note(queue.is_empty());
    }

    /// Tries for a short while; true if the mutex is locked.
    fn spin(&self) -> bool {
        if SCHED.procs() >= 2 {
            for _ in 0..SPINS {
                if !self.word.is_only_locked() {
                    break;
                }
                (0..PAUSES).for_each(|_| std::hint::spin_loop());
            }
        }
        self.word.lock_fast()
    }

    /// # Safety
    /// The caller holds the mutex.
    #[inline]
    pub(super) unsafe fn unlock(&self) {
        let unlocked = self.word.unlock_fast();
        if unlocked != Unlocked::Yes {
            self.unlock_slow(unlocked);
        }
    }

    /// `unlocked` is what `unlock_fast` came to.
    #[cold]
    fn unlock_slow(&self, mut unlocked: Unlocked) {
        if unlocked == Unlocked::No {
            if self.word.calms_down() {
                let _queue = self.queue.lock();
                self.word.calm();
            }
            unlocked = self.word.unlock_unless_awaited();
        }
        match unlocked {
            Unlocked::Yes => {}
            Unlocked::Awaited => self.wake(self.queue.lock()),
            Unlocked::No => self.pass_on(),
        }
    }

    /// Wakes the first waiter to compete, unless one is on its way.
    fn wake(&self, mut queue: SpinGuard<'_, WaitQueue>) {
        if !self.word.must_wake() {
            return;
        }
        let waiter = queue.pop_claimed(SERVED);
        self.word.wake(waiter.is_some(), queue.is_empty());
        drop(queue);
        if let Some(waiter) = waiter {
            ready::ready(waiter.g);
        }
    }

    /// Unlocks a mutex that is waited for: for everybody, or for a waiter that has waited long.
    fn pass_on(&self) {
        let now = clock::now();
        let mut queue = self.queue.lock();
        let since = queue.front().map_or(now, |since| since.addr() as Nanos);
        let starving = now.saturating_sub(since) > PATIENCE;
        let heir = if starving { queue.pop_claimed(OTHER) } else { None };
        let Some(heir) = heir else {
            self.word.unlock();
            return self.wake(queue);
        };
        self.word.note(queue.is_empty());
        drop(queue);
        ready::ready(heir.g); // RM2; it holds the mutex (MW2 of `mutex_word`)
        // The waiter is next on this P; until it runs, the mutex is of use to nobody.
        park::yield_now();
    }
}
