//! Job: the state words of a mutex and their transitions.
//! Layer: L3 (blocking), with nothing below it but atomics and the asymmetric fence
//! Not here: the queue of waiters, parking, when to hand off (`raw_mutex`).
//! Invariants
//!   MW1  `crowd` is written only under the queue's lock. WAITERS equals "the queue is not empty"
//!        whenever that lock is free.
//!   MW2  `held` is 1 while somebody holds the mutex. The holder alone sets it to 0; a hand-off leaves
//!        it to the new holder.
//!   MW3  While WOKEN is set one waiter is on its way to compete: it takes the mutex or queues again,
//!        and clears WOKEN with that. Until then nobody else is woken.
//!   MW4  `crowd` is 0 or has SLOW, and where it is 0 holders unlock by a plain store. Nobody queues
//!        unless FENCED is set: every thread has executed a fence since SLOW was set (E2), and no
//!        holder has cleared the word meanwhile.
//!   MW5  `crowd` becomes 0 only where the kernel executes the frequent side's fences; so who finds it
//!        0, under the queue's lock, knows that it does (MB2 of `sys::membarrier`).
//! Orderings
//!   E1  unlock: held.store(0, Release) -> lock: held.CAS(Acquire)   the critical section is seen
//!   E2  unlock: held := 0; light fence; load crowd   <->   queueing: crowd := SLOW; heavy fence; CAS
//!       of held. Either the holder sees the crowd and looks into the queue, or its store is seen.
//!   E3  unlock in a crowd: held.swap(0); fence; load crowd   <->   queueing: crowd := WAITERS without
//!       WOKEN; fence; CAS of held. As E2.
//!
//! A mutex that nobody waits for is unlocked by a plain store: half the price of the two atomic
//! operations that lock and unlock otherwise take. Whoever has to wait pays for it by a system call,
//! and a crowd keeps the mutex SLOW for `CALM` unlocks after it, so that no more than one call comes
//! on that many.
//! Source: Go's sync.Mutex (barging, the woken bit; the starving state is left out, the unlocker looks
//!   at how long the first waiter has waited instead); the asymmetric unlock as in biased locks.
//! Checked by: the loom models below.

use crate::sys::membarrier;
use crate::sys::shim::{AtomicU32, Ordering, store_load_fence, store_load_fence_after_rmw};

/// Unlocking takes an atomic operation.
const SLOW: u32 = 1;
/// All threads know (MW4).
const FENCED: u32 = 2;
/// The queue is not empty (MW1).
const WAITERS: u32 = 4;
/// A waiter was woken to compete (MW3).
const WOKEN: u32 = 8;
/// One who is about to queue and has the fence executed: until then SLOW stays.
const FENCING: u32 = 16;

/// Unlocks without anybody in the queue after which a mutex is not SLOW any more.
const CALM: u32 = if cfg!(loom) { 1 } else { 250 };

pub(super) struct MutexWord {
    held: AtomicU32,
    crowd: AtomicU32,
    /// Unlocks since somebody queued; the holder's. A hint.
    calm: AtomicU32,
}

/// What an unlock came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlocked {
    Yes,
    /// Yes, and somebody may have to be woken.
    Awaited,
    /// Not yet: there is a crowd.
    No,
}

impl MutexWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> MutexWord {
        // The processor's fences may not be asymmetric, or not yet (MW5).
        MutexWord {
            held: AtomicU32::new(0),
            crowd: AtomicU32::new(SLOW | FENCED),
            calm: AtomicU32::new(CALM / 2),
        }
    }

    #[cfg(loom)]
    fn new(crowd: u32) -> MutexWord {
        MutexWord { held: AtomicU32::new(0), crowd: AtomicU32::new(crowd), calm: AtomicU32::new(0) }
    }

    /// Takes a mutex that nobody holds, past those who wait.
    #[inline]
    pub(super) fn lock_fast(&self) -> bool {
        let (ok, err) = (Ordering::Acquire, Ordering::Relaxed); // E1
        self.held.compare_exchange(0, 1, ok, err).is_ok()
    }

    /// Whether it is held and nobody waits: worth a short spin.
    pub(super) fn is_only_locked(&self) -> bool {
        // Hints.
        self.held.load(Ordering::Relaxed) != 0 && self.crowd() & WAITERS == 0
    }

    #[inline]
    fn crowd(&self) -> u32 {
        self.crowd.load(Ordering::Relaxed)
    }

    /// Whoever reads `crowd` without the queue's lock has a fence in between (E2, E3).
    fn set_crowd(&self, crowd: u32) {
        self.crowd.store(crowd, Ordering::Relaxed);
    }

    /// Under the queue's lock: whether the caller may queue (MW4). If not, it is to release the lock,
    /// have the heavy fence executed, take the lock again and call `fenced`.
    pub(super) fn may_queue(&self) -> bool {
        let crowd = self.crowd();
        if crowd & FENCED != 0 {
            return true;
        }
        self.set_crowd((crowd | SLOW) + FENCING);
        false
    }

    /// Under the queue's lock, after `may_queue` said no; `heavy`: the fence was executed.
    pub(super) fn fenced(&self, heavy: bool) {
        let bit = if heavy { FENCED } else { 0 };
        self.set_crowd((self.crowd() - FENCING) | bit);
    }

    /// Under the queue's lock, by who may queue: takes the mutex if nobody holds it any more, or else
    /// announces a waiter, who is `woken` (MW3) or new. `empty`: the queue, until now.
    pub(super) fn lock_or_announce(&self, woken: bool, empty: bool) -> bool {
        let crowd = if woken { self.crowd() & !WOKEN } else { self.crowd() };
        self.set_crowd(crowd | WAITERS);
        store_load_fence(); // E3
        self.calm.store(0, Ordering::Relaxed); // a hint
        if !self.lock_fast() {
            return false;
        }
        self.note(empty);
        true
    }

    /// Under the queue's lock: restores MW1.
    pub(super) fn note(&self, empty: bool) {
        self.set_crowd(self.crowd() & !WAITERS | if empty { 0 } else { WAITERS });
    }

    /// Unlocks a mutex without a crowd.
    #[inline]
    pub(super) fn unlock_fast(&self) -> Unlocked {
        if self.crowd() != 0 {
            return Unlocked::No;
        }
        self.held.store(0, Ordering::Release); // E1
        membarrier::light_where_asymmetric(); // E2
        if self.crowd() == 0 { Unlocked::Yes } else { Unlocked::Awaited }
    }

    /// Unlocks unless somebody must be woken: then the queue's lock is to be taken before.
    pub(super) fn unlock_unless_awaited(&self) -> Unlocked {
        if self.must_wake() {
            return Unlocked::No;
        }
        self.held.swap(0, Ordering::Release); // E1
        store_load_fence_after_rmw(); // E3
        if self.must_wake() { Unlocked::Awaited } else { Unlocked::Yes }
    }

    /// Whether there are waiters of whom none is on its way (MW3). Without the queue's lock, a hint.
    pub(super) fn must_wake(&self) -> bool {
        self.crowd() & (WAITERS | WOKEN) == WAITERS
    }

    /// Under the queue's lock: whether a waiter is on its way; if not, one is as of now, or nobody if
    /// the queue is `empty`.
    pub(super) fn wake(&self, woken: bool, empty: bool) {
        self.set_crowd(self.crowd() | if woken { WOKEN } else { 0 });
        self.note(empty);
    }

    /// Unlocks under the queue's lock, after which `wake` is called.
    pub(super) fn unlock(&self) {
        self.held.store(0, Ordering::Release); // E1
    }

    /// For the holder in a crowd: whether it may be over.
    pub(super) fn calms_down(&self) -> bool {
        let calm = self.calm.load(Ordering::Relaxed) + 1;
        self.calm.store(calm, Ordering::Relaxed);
        calm >= CALM
    }

    /// Under the queue's lock, by the holder: ends the crowd if nobody is in it.
    pub(super) fn calm(&self) {
        self.calm.store(0, Ordering::Relaxed);
        if self.crowd() == SLOW | FENCED && membarrier::is_asymmetric() {
            self.set_crowd(0); // MW4, MW5
        }
    }
}

#[cfg(all(test, loom))]
#[path = "mutex_word_models.rs"]
mod loom_tests;
