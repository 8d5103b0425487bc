//! Job: the state word of a reader-writer lock and its transitions.
//! Layer: L3 (blocking), with nothing below it but atomics
//! Not here: which writer (`raw_rwlock` has a mutex for that), the queues, parking.
//! Invariants
//!   RW1  WRITER is set and cleared by the one writer that holds the writers' mutex. While it is
//!        set no reader enters.
//!   RW2  Each reader that holds the lock counts in the word. So does a visitor: a reader that came
//!        with WRITER set and has not left yet. It only takes itself back.
//!   RW3  With WRITER set, the writer holds the lock from the moment when the count is zero. Who
//!        brings it to zero (the last reader or a visitor) looks whether the writer must be woken.
//!   RW4  QUEUED is set under the queue's lock and with WRITER, by a reader that is about to queue:
//!        the writer then may not unlock past the queue. It goes with WRITER.
//! Orderings
//!   E1  reader leaves: (Release) -> writer sees the count zero: (Acquire)   every change is a
//!       read-modify-write, so the last one passes on what the ones before it released
//!   E2  writer unlocks: (Release) -> reader enters, next writer: (Acquire)
//! Source: Go's sync.RWMutex (a reader is one addition, a writer announces itself and waits for the
//!   readers that are in). A reader that meets a writer takes itself back, where Go's stays counted,
//!   so that it can give up waiting.
//! Checked by: the loom models below.
//!
//! Readers do not compete for the word: each of their steps is one addition that cannot fail.
//!
//! ```text
//! 63                 2      1        0
//! [ readers, visitors | QUEUED | WRITER ]
//! ```

use crate::sys::shim::{AtomicUsize, Ordering};

/// A writer holds the lock, or waits for readers to leave.
const WRITER: usize = 1;
/// Readers may be in the queue.
const QUEUED: usize = 2;
/// One reader. (There is room for more than can be leaked in a process's life.)
const READER: usize = 4;

const _: () = assert!(usize::BITS == 64);

pub(super) struct RwLockWord(AtomicUsize);

impl RwLockWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> RwLockWord {
        RwLockWord(AtomicUsize::new(0))
    }

    #[cfg(loom)]
    fn new() -> RwLockWord {
        RwLockWord(AtomicUsize::new(0))
    }

    /// Enters as a reader. If false the caller is a visitor and must `leave` (RW2).
    #[inline]
    pub(super) fn enter(&self) -> bool {
        self.0.fetch_add(READER, Ordering::Acquire) & WRITER == 0 // E2
    }

    /// Enters as a reader or changes nothing.
    pub(super) fn try_enter(&self) -> bool {
        self.change(Ordering::Acquire, |word| (word & WRITER == 0).then_some(word + READER)) // E2
    }

    /// A reader or visitor leaves. True if the writer must be looked after (RW3).
    #[inline]
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        let before = self.0.fetch_sub(READER, Ordering::Release); // E1
        before & !QUEUED == READER | WRITER
    }

    /// Under the queue's lock: enters as a reader, or announces that it will queue (RW4).
    pub(super) fn enter_or_queue(&self) -> bool {
        let mut entered = false;
        self.change(Ordering::Acquire, |word| {
            // E2
            entered = word & WRITER == 0;
            Some(if entered { word + READER } else { word | QUEUED })
        });
        entered
    }

    /// Counts a reader that was taken from the queue, by who holds the writers' mutex.
    pub(super) fn admit(&self) {
        // Relaxed: making the reader ready orders the rest.
        self.0.fetch_add(READER, Ordering::Relaxed);
    }

    /// Locks for writing if nobody holds the lock, under the writers' mutex.
    #[inline]
    pub(super) fn try_write(&self) -> bool {
        let (ok, err) = (Ordering::Acquire, Ordering::Relaxed); // E1, E2
        self.0.compare_exchange(0, WRITER, ok, err).is_ok()
    }

    /// Keeps new readers out, under the writers' mutex (RW1). True if nobody is in: the lock is held.
    #[inline]
    pub(super) fn close(&self) -> bool {
        self.0.fetch_or(WRITER, Ordering::Acquire) < READER // E1, E2
    }

    /// Whether there is a writer and no reader: that writer holds the lock (RW3). Under the queue's
    /// lock.
    pub(super) fn is_drained(&self) -> bool {
        self.0.load(Ordering::Acquire) & !QUEUED == WRITER // E1
    }

    /// Ends the writer's hold if nobody visits and nobody has queued; as a reader if it `stays`.
    #[inline]
    pub(super) fn reopen_fast(&self, stays: bool) -> bool {
        let (ok, err) = (Ordering::Release, Ordering::Relaxed); // E2
        self.0.compare_exchange(WRITER, units(stays), ok, err).is_ok()
    }

    /// Ends the writer's hold, or its wait; as a reader if it `stays`. Under the queue's lock: who
    /// is in the queue must be admitted before the writers' mutex is released.
    pub(super) fn reopen(&self, stays: bool) {
        self.change(Ordering::Release, |word| Some((word & !(WRITER | QUEUED)) + units(stays))); // E2
    }

    fn change(&self, ok: Ordering, mut to: impl FnMut(usize) -> Option<usize>) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Some(new) = to(word) {
            match self.0.compare_exchange(word, new, ok, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }
}

fn units(stays: bool) -> usize {
    if stays { READER } else { 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_keeps_them_out() {
        let word = RwLockWord::new();
        assert!(word.enter() && word.try_enter() && word.enter_or_queue());
        assert!(!word.try_write());
        assert!(!word.close()); // three are in
        assert!(!word.try_enter() && !word.enter()); // the second visits
        assert!(!word.leave() && !word.leave() && !word.leave());
        assert!(!word.is_drained());
        assert!(word.leave()); // the last one
        assert!(word.is_drained());
        assert!(word.reopen_fast(true)); // stays as a reader
        assert!(!word.is_drained() && !word.leave());
        assert_eq!(word.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_writer_may_not_unlock_past_the_queue() {
        let word = RwLockWord::new();
        assert!(word.try_write());
        assert!(!word.enter_or_queue());
        assert!(word.is_drained() && !word.reopen_fast(false));
        word.reopen(false);
        word.admit();
        assert!(!word.try_write() && !word.leave());
        assert!(word.try_write());
    }
}

#[cfg(all(test, loom))]
#[path = "rwlock_word_models.rs"]
mod loom_tests;
