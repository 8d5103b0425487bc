//! Job: a reader-writer lock without a value: entering, waiting, letting in who waits.
//! Layer: L3 (blocking)
//! Not here: the word's transitions and the spread counts (`rwlock_word`), values, guards and
//!   poisoning (`rwlock`).
//! Invariants
//!   RR1  A writer holds `writers` from before it keeps readers out until all readers that queued
//!        meanwhile have been let in: writers cannot keep readers out, because between two of them
//!        every reader that waited holds the lock.
//!   RR2  A writer that has kept new readers out waits only for those that are in: readers cannot
//!        keep a writer out.
//!   RR3  A reader in the queue enters by being popped. If its deadline passes, it leaves the queue,
//!        or else it was popped and holds the lock.
//!   RR4  Spread counts are made by a reader in its own time: in no section, with no lock but this.
//! Source: Go's sync.RWMutex.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::raw_mutex::RawMutex;
use super::rwlock_word::{Entry, RwLockWord};
use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::global::SCHED;
use crate::sched::m::{self, M};
use crate::sched::{park, ready};
use crate::sys::lock::SpinLock;
use crate::tls;
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// So many readers have come while others were in, and no writer had to wait meanwhile: the lock is
/// read often and on several Ps, and spread counts pay.
const CROWD: u32 = 64;

pub(super) struct RawRwLock {
    word: RwLockWord,
    /// Readers that came while others were in, more or less; a hint.
    crowd: AtomicU32,
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
            crowd: AtomicU32::new(0),
            writers: RawMutex::new(),
            queues: SpinLock::new(queues),
        }
    }

    #[inline]
    pub(super) fn try_read(&self) -> bool {
        if self.word.is_closed() {
            return false;
        }
        match self.word.enter(place) {
            Entry::In => true,
            Entry::Beside => self.reads_beside(),
            Entry::Visit(count) => {
                self.end_visit(count);
                false
            }
        }
    }

    #[inline]
    pub(super) fn read(&self) {
        self.read_until(Until::FOREVER);
    }

    /// Locks for reading by `deadline`; false if that came first.
    #[inline]
    pub(super) fn read_until(&self, until: Until<'_>) -> bool {
        match self.word.enter(place) {
            Entry::In => true,
            Entry::Beside => self.reads_beside(),
            Entry::Visit(count) => self.read_slow(count, until),
        }
    }

    /// A reader that holds the lock was not alone. True.
    #[cold]
    fn reads_beside(&self) -> bool {
        let crowd = self.crowd.load(Ordering::Relaxed) + 1; // loses some: a hint
        self.crowd.store(crowd % CROWD, Ordering::Relaxed); // as above
        let procs = SCHED.procs();
        if crowd == CROWD && procs >= 2 {
            self.word.spread(procs as usize); // RR4
        }
        true
    }

    /// For a visitor (RW3 of `rwlock_word`).
    #[cold]
    fn read_slow(&self, count: &AtomicUsize, until: Until<'_>) -> bool {
        self.end_visit(count);
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
        if self.word.leave(place) {
            self.wake_writer();
        }
    }

    fn end_visit(&self, count: &AtomicUsize) {
        if self.word.end_visit(count) {
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
        // Looks first, to keep no readers out for nothing.
        if !self.word.is_empty() {
            // SAFETY: locked above.
            unsafe { self.writers.unlock() };
            return false;
        }
        let locked = self.word.close();
        if !locked {
            self.reopen(false);
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
        self.crowd.store(0, Ordering::Relaxed); // a hint
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

/// Where the caller counts as a reader: the number of its P, so that readers on several Ps do not
/// share a count. Only a hint: the answer may be old, as this is in no section.
#[inline]
fn place() -> usize {
    match m::current().and_then(M::p) {
        // Ps and Ms are never freed, and a P's number does not change.
        Some(p) => p.id as usize,
        None => place_of_thread(),
    }
}

/// As `place`, for a thread that is no M, or has no P.
#[cold]
fn place_of_thread() -> usize {
    // Blocks of threads lie far apart: the high bits of the product are as good as random.
    tls::fs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48
}
