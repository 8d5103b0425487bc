//! Job: a mutex without a value: taking it, waiting for it, passing it on.
//! Layer: L3 (blocking)
//! Not here: the word's transitions (`mutex_word`), values, guards and poisoning (`mutex`).
//! Invariants
//!   RM1  A waiter's node carries the moment it first queued; one that lost the competition goes
//!        back to the front with that moment kept.
//!   RM2  A waiter that has waited for longer than `PATIENCE` when the mutex is unlocked gets it
//!        handed over: newcomers that find the CPU warm cannot keep it out forever.
//! Source: Go's sync.Mutex (barging, woken bit, front of the queue, 1 ms).

use std::ptr;

use super::mutex_word::MutexWord;
use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::global::SCHED;
use crate::sched::{park, ready};
use crate::sys::clock::{self, Nanos};
use crate::sys::lock::SpinLock;
use crate::wait::{self, Node, OTHER, OUTCOME_OTHER, SERVED, Until, WaitQueue};

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
        self.word.lock_fast() || self.word.lock_barging(false)
    }

    #[inline]
    pub(super) fn lock(&self) {
        if !self.word.lock_fast() {
            self.lock_slow();
        }
    }

    #[cold]
    fn lock_slow(&self) {
        self.spin();
        if self.word.lock_barging(false) {
            return;
        }
        let me = park::current();
        let since = ptr::without_provenance_mut(clock::now() as usize);
        let mut woken = false;
        while !self.word.lock_barging(woken) {
            let mut queue = self.queue.lock();
            if !self.word.announce(woken) {
                continue;
            }
            let wait = Wait::new(me);
            let node = Node::single(&wait, since, Until::FOREVER);
            // SAFETY: only `unlock_slow` ends this wait: it pops the node and readies us.
            let outcome = unsafe {
                if woken {
                    queue.push_front(&node); // RM1
                } else {
                    queue.push_back(&node);
                }
                wait::park_in(&self.queue, queue, &wait, Until::FOREVER, WaitReason::Mutex)
            };
            if outcome == OUTCOME_OTHER {
                return; // handed over
            }
            woken = true;
        }
    }

    fn spin(&self) {
        if SCHED.procs() < 2 {
            return;
        }
        for _ in 0..SPINS {
            if !self.word.is_only_locked() {
                return;
            }
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
    }

    /// # Safety
    /// The caller holds the mutex.
    #[inline]
    pub(super) unsafe fn unlock(&self) {
        if !self.word.unlock_fast() {
            self.unlock_slow();
        }
    }

    #[cold]
    fn unlock_slow(&self) {
        if self.word.unlock_unless_waiters() {
            return;
        }
        let now = clock::now();
        let mut queue = self.queue.lock();
        let since = queue.front().map_or(now, |since| since.addr() as Nanos);
        let starving = now.saturating_sub(since) > PATIENCE;
        let waiter = queue.pop_claimed(if starving { OTHER } else { SERVED });
        let waiter = waiter.expect("MW1: the word says that somebody waits");
        let more = !queue.is_empty();
        if starving {
            self.word.hand_off(more); // RM2
        } else {
            self.word.unlock_waking(more);
        }
        drop(queue);
        ready::ready(waiter.g);
        if starving {
            // The waiter is next on this P; until it runs, the mutex is of use to nobody.
            park::yield_now();
        }
    }
}
