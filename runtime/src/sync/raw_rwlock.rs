//! Job: a reader-writer lock without a value: entering, waiting, letting in who waits.
//! Layer: L3 (blocking)
//! Not here: the word's transitions (`rwlock_word`), values, guards and poisoning (`rwlock`).
//! Invariants
//!   RR1  A writer holds `writers` from before it keeps readers out until all readers that queued
//!        meanwhile have been let in: writers cannot keep readers out, because between two of them
//!        every reader that waited holds the lock.
//!   RR2  A writer that has kept new readers out waits only for those that are in: readers cannot
//!        keep a writer out.
//!   RR3  A reader in the queue enters by being popped. If its deadline passes, it leaves the queue,
//!        or else it was popped and holds the lock.
//! Source: Go's sync.RWMutex.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;

use super::raw_mutex::RawMutex;
use super::rwlock_word::RwLockWord;
use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::{park, ready};
use crate::sys::lock::SpinLock;
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

pub(super) struct RawRwLock {
    word: RwLockWord,
    /// Held by the writer (RR1).
    writers: RawMutex,
    queues: SpinLock<Queues>,
}

struct Queues {
    readers: WaitQueue,
    /// The writer, while it waits for readers to leave.
    writer: WaitQueue,
}

// Nothing of it is in between when user code panics.
impl UnwindSafe for RawRwLock {}
impl RefUnwindSafe for RawRwLock {}

impl RawRwLock {
    pub(super) const fn new() -> RawRwLock {
        let queues = Queues { readers: WaitQueue::new(), writer: WaitQueue::new() };
        RawRwLock {
            word: RwLockWord::new(),
            writers: RawMutex::new(),
            queues: SpinLock::new(queues),
        }
    }

    #[inline]
    pub(super) fn try_read(&self) -> bool {
        self.word.try_enter()
    }

    #[inline]
    pub(super) fn read(&self) {
        if !self.word.enter() {
            self.read_slow(Until::FOREVER);
        }
    }

    /// Locks for reading by `deadline`; false if that came first.
    #[inline]
    pub(super) fn read_until(&self, until: Until<'_>) -> bool {
        self.word.enter() || self.read_slow(until)
    }

    /// For a visitor (RW2 of `rwlock_word`).
    #[cold]
    fn read_slow(&self, until: Until<'_>) -> bool {
        self.leave();
        let wait = Wait::new(park::current());
        let mut queues = self.queues.lock();
        if self.word.enter_or_queue() {
            return true;
        }
        let node = Node::single(&wait, ptr::null_mut(), until);
        // SAFETY: popped by `reopen`, which readies us, or removed below; on this frame until then.
        let outcome = unsafe {
            queues.readers.push_back(&node);
            wait::park_in(&self.queues, queues, &wait, until, WaitReason::RwLockRead)
        };
        if outcome == OUTCOME_SERVED {
            return true;
        }
        self.queues.lock().readers.remove(&node); // RR3
        false
    }

    /// # Safety
    /// The caller holds the lock for reading.
    #[inline]
    pub(super) unsafe fn unlock_read(&self) {
        self.leave();
    }

    #[inline]
    fn leave(&self) {
        if self.word.leave() {
            self.wake_writer();
        }
    }

    #[cold]
    fn wake_writer(&self) {
        let mut queues = self.queues.lock();
        // Somebody may have come or gone since, and it may be another writer's turn.
        if self.word.is_drained()
            && let Some(writer) = queues.writer.pop_claimed(SERVED)
        {
            drop(queues);
            ready::ready(writer.g);
        }
    }

    #[inline]
    pub(super) fn try_write(&self) -> bool {
        if !self.writers.try_lock() {
            return false;
        }
        let locked = self.word.try_write();
        if !locked {
            // SAFETY: locked above.
            unsafe { self.writers.unlock() };
        }
        locked
    }

    #[inline]
    pub(super) fn write(&self) {
        self.writers.lock();
        if !self.word.close() {
            self.wait_for_readers(Until::FOREVER);
        }
    }

    /// Locks for writing by `deadline`; false if that came first.
    #[inline]
    pub(super) fn write_until(&self, until: Until<'_>) -> bool {
        self.writers.lock_until(until) && (self.word.close() || self.wait_for_readers(until))
    }

    /// For a writer that keeps new readers out (RR2); on failure it does not any more.
    #[cold]
    fn wait_for_readers(&self, until: Until<'_>) -> bool {
        let wait = Wait::new(park::current());
        let mut queues = self.queues.lock();
        if self.word.is_drained() {
            return true;
        }
        let node = Node::single(&wait, ptr::null_mut(), until);
        // SAFETY: popped by `wake_writer`, which readies us, or removed below; on this frame until
        // then.
        let outcome = unsafe {
            queues.writer.push_back(&node);
            wait::park_in(&self.queues, queues, &wait, until, WaitReason::RwLockWrite)
        };
        if outcome == OUTCOME_SERVED {
            return true;
        }
        self.queues.lock().writer.remove(&node);
        // SAFETY: WRITER is ours, whether or not the last reader has left just now.
        unsafe { self.unlock_write() };
        false
    }

    /// # Safety
    /// The caller holds the lock for writing, or waits to.
    #[inline]
    pub(super) unsafe fn unlock_write(&self) {
        self.reopen(false);
    }

    /// # Safety
    /// The caller holds the lock for writing; afterwards, for reading.
    pub(super) unsafe fn downgrade(&self) {
        self.reopen(true);
    }

    #[inline]
    fn reopen(&self, stays: bool) {
        if !self.word.reopen_fast(stays) {
            self.reopen_slow(stays);
        }
        // SAFETY: this writer holds it (RR1).
        unsafe { self.writers.unlock() };
    }

    #[cold]
    fn reopen_slow(&self, stays: bool) {
        {
            let _queues = self.queues.lock();
            self.word.reopen(stays);
        }
        // RR1: no writer comes before we let go of `writers`, and no reader queues without one.
        wait::wake_all(&self.queues, |queues| {
            let reader = queues.readers.pop_claimed(SERVED)?;
            self.word.admit();
            Some(reader)
        });
    }
}
