//! Job: the state word of a reader-writer lock and its transitions.
//! Layer: L3 (blocking), with nothing below it but atomics
//! Not here: which writer (`raw_rwlock` has a mutex for that), the queues, parking; the counts beside
//!   the word (`rwlock_spread`).
//! Invariants
//!   RW1  WRITER is set and cleared by the one writer that holds the writers' mutex. While it is
//!        set no reader enters.
//!   RW2  Each reader that holds the lock counts once in the sum over the word's count and, if there
//!        are some, the spread counts. It may leave at another count than it came in at. So only the
//!        sum means something, modulo 2^62; and what is moved from one to the other (`reopen`) is
//!        moved by who holds the writers' mutex, while no writer waits to be woken.
//!   RW3  A visitor, a reader that came with WRITER set, takes its 1 back from where it has put it.
//!   RW4  With WRITER set, the writer holds the lock from the moment when the sum is zero. Each who
//!        leaves then, reader or visitor, adds up after it has, and whoever finds zero looks whether
//!        the writer must be woken.
//!   RW5  QUEUED is set under the queue's lock and with WRITER, by a reader that is about to queue:
//!        the writer then may not unlock past the queue. It goes with WRITER.
//! Orderings
//!   E1  reader leaves: (Release) -> writer sees the sum zero: (Acquire)   every change of a count is
//!       a read-modify-write, so the last one passes on what the ones before it released
//!   E2  writer unlocks: (Release) -> reader enters, next writer: (Acquire)
//!   E3  close: WRITER := 1; fence; sum   <->   enter at a spread count: + 1; fence; load the word
//!   E4  close: WRITER := 1; fence; sum   <->   leave: - 1; fence; load the word; sum
//! Source: Go's sync.RWMutex (a reader is one addition, a writer announces itself and waits for the
//!   readers that are in). A reader that meets a writer takes itself back, where Go's stays counted,
//!   so that it can give up waiting. Spread counts: "big-reader" locks, as Linux's percpu-rwsem.
//! Checked by: the loom models below.
//!
//! Readers do not compete for the word: each of their steps is one addition that cannot fail. Yet
//! two that read at once on two CPUs send its cache line to and fro. A lock that has seen that gets
//! spread counts, for good: a reader then adds 1 to one that those on other Ps do not write, and only
//! reads the word.
//!
//! Why a sum that is read one count after the other is never zero too early. A writer reads it after
//! E3's fence. A reader that holds the lock has found WRITER clear after its own fence; so that fence
//! was first, and the writer sees its + 1, wherever that is. It has not subtracted yet. Whoever has
//! left counts 1 if only its + 1 is seen, or 0; its + 1 was made before the - 1, and before the
//! writer's fence, so that a - 1 without it is not seen either. A visitor's two are in one count, in
//! that order (RW3). So nobody counts less than 0, and who holds the lock counts 1. The sum may be
//! too large for a moment; then somebody has yet to leave, who adds up in turn (RW4), and of all the
//! fences of E4 the last one's owner sees everybody's work. Where it adds up in place of the writer,
//! it does so under the queue's lock after the writer has queued there, which comes after the
//! writer's fence.
//!
//! None of this asks on which thread, or P, anything runs: the place is a hint.
//!
//! ```text
//! 63                 2      1        0
//! [ readers, visitors | QUEUED | WRITER ]
//! ```

use super::rwlock_spread::Spread;
use crate::sys::shim::{AtomicUsize, Ordering, store_load_fence_after_rmw};

/// A writer holds the lock, or waits for readers to leave.
const WRITER: usize = 1;
/// Readers may be in the queue.
const QUEUED: usize = 2;
/// One reader, in the word and in the spread counts.
const READER: usize = 4;
/// The word's count.
const COUNT: usize = !(WRITER | QUEUED);

const _: () = assert!(usize::BITS == 64);

pub(super) struct RwLockWord {
    word: AtomicUsize,
    spread: Spread,
}

/// What became of a reader that came.
pub(super) enum Entry<'a> {
    /// It holds the lock.
    In,
    /// It holds the lock, and was not the only one in the word.
    Beside,
    /// It is a visitor, counted here, and must `end_visit` (RW3).
    Visit(&'a AtomicUsize),
}

impl RwLockWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> RwLockWord {
        RwLockWord { word: AtomicUsize::new(0), spread: Spread::new() }
    }

    #[cfg(loom)]
    fn new() -> RwLockWord {
        RwLockWord { word: AtomicUsize::new(0), spread: Spread::new() }
    }

    /// Gives the lock spread counts for `places`. Allocates.
    pub(super) fn spread(&self, places: usize) {
        self.spread.install(places);
    }

    /// Enters as a reader. `place` is asked for if there are spread counts.
    #[inline]
    pub(super) fn enter(&self, place: impl FnOnce() -> usize) -> Entry<'_> {
        let Some(count) = self.spread.at(place) else {
            return match self.word.fetch_add(READER, Ordering::Acquire) {
                // E2
                0 => Entry::In,
                before if before & WRITER == 0 => Entry::Beside,
                _ => Entry::Visit(&self.word),
            };
        };
        count.fetch_add(READER, Ordering::Relaxed); // ordered by the fence
        store_load_fence_after_rmw(); // E3
        if self.is_closed() { Entry::Visit(count) } else { Entry::In }
    }

    /// Whether readers are kept out.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & WRITER != 0 // E2
    }

    /// A reader leaves. True if the writer must be looked after (RW4).
    #[inline]
    #[must_use]
    pub(super) fn leave(&self, place: impl FnOnce() -> usize) -> bool {
        let Some(count) = self.spread.at(place) else {
            let before = self.word.fetch_sub(READER, Ordering::Release); // E1
            return before & WRITER != 0 && self.finds_nobody();
        };
        self.end_visit(count)
    }

    /// A visitor leaves, or a reader at a spread count. True if the writer must be looked after.
    #[inline]
    #[must_use]
    pub(super) fn end_visit(&self, count: &AtomicUsize) -> bool {
        count.fetch_sub(READER, Ordering::Release); // E1
        store_load_fence_after_rmw(); // E4
        self.is_closed() && self.is_empty()
    }

    /// After the word's count went down.
    #[cold]
    fn finds_nobody(&self) -> bool {
        store_load_fence_after_rmw(); // E4
        self.is_empty()
    }

    /// Under the queue's lock: enters as a reader, or announces that it will queue (RW5).
    pub(super) fn enter_or_queue(&self) -> bool {
        let to = |word: usize| {
            Some(if word & WRITER == 0 { word.wrapping_add(READER) } else { word | QUEUED })
        };
        let before = self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, to); // E2
        before.is_ok_and(|before| before & WRITER == 0)
    }

    /// Counts a reader that was taken from the queue, by who holds the writers' mutex.
    pub(super) fn admit(&self) {
        // Relaxed: making the reader ready orders the rest.
        self.word.fetch_add(READER, Ordering::Relaxed);
    }

    /// Keeps new readers out, under the writers' mutex (RW1). True if nobody is in: the lock is held.
    #[inline]
    pub(super) fn close(&self) -> bool {
        let before = self.word.fetch_add(WRITER, Ordering::Acquire); // E1, E2
        store_load_fence_after_rmw(); // E3, E4
        if self.spread.is_there() { self.is_empty() } else { before < READER }
    }

    /// Whether the sum is zero. Proves something only to who is after a fence of E3 or E4.
    #[cold]
    pub(super) fn is_empty(&self) -> bool {
        let word = self.word.load(Ordering::Acquire); // E1
        (word & COUNT).wrapping_add(self.spread.sum()) == 0
    }

    /// Whether there is a writer and no reader: that writer, if it has queued, holds the lock (RW4).
    /// Under the queue's lock.
    pub(super) fn is_drained(&self) -> bool {
        self.is_closed() && self.is_empty()
    }

    /// Ends the writer's hold if nobody visits, nobody has queued, and the word has nothing to move
    /// (RW2); as a reader if it `stays`.
    #[inline]
    pub(super) fn reopen_fast(&self, stays: bool) -> bool {
        let (ok, err) = (Ordering::Release, Ordering::Relaxed); // E2
        self.word.compare_exchange(WRITER, units(stays), ok, err).is_ok()
    }

    /// Ends the writer's hold, or its wait; as a reader if it `stays`. Under the queue's lock: who
    /// is in the queue must be admitted before the writers' mutex is released.
    pub(super) fn reopen(&self, stays: bool) {
        if let Some(count) = self.spread.at(|| 0) {
            // So that the next writer can reopen fast.
            let moved = self.word.load(Ordering::Relaxed) & COUNT;
            self.word.fetch_sub(moved, Ordering::Relaxed); // RW2
            count.fetch_add(moved, Ordering::Relaxed); // RW2
        }
        let to = |word: usize| Some((word & COUNT).wrapping_add(units(stays)));
        let _ = self.word.fetch_update(Ordering::Release, Ordering::Relaxed, to); // E2
    }
}

fn units(stays: bool) -> usize {
    if stays { READER } else { 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn enters(word: &RwLockWord, place: usize) -> bool {
        match word.enter(|| place) {
            Entry::In | Entry::Beside => true,
            Entry::Visit(count) => {
                assert!(!word.end_visit(count), "somebody else is in");
                false
            }
        }
    }

    #[test]
    fn readers_share_and_a_writer_keeps_them_out() {
        let word = RwLockWord::new();
        let none = || unreachable!("no spread counts");
        assert!(matches!(word.enter(none), Entry::In));
        assert!(matches!(word.enter(none), Entry::Beside));
        assert!(word.enter_or_queue() && !word.is_closed());
        assert!(!word.close() && word.is_closed()); // three are in
        assert!(!enters(&word, 0));
        assert!(!word.leave(none) && !word.leave(none));
        assert!(!word.is_drained());
        assert!(word.leave(none)); // the last one
        assert!(word.is_drained());
        assert!(word.reopen_fast(true)); // stays as a reader
        assert!(!word.is_drained() && !word.leave(none));
        assert!(word.is_empty());
    }

    #[test]
    fn a_writer_may_not_unlock_past_the_queue() {
        let word = RwLockWord::new();
        assert!(word.close());
        assert!(!word.enter_or_queue());
        assert!(word.is_drained() && !word.reopen_fast(false));
        word.reopen(false);
        word.admit();
        assert!(!word.is_empty() && !word.leave(|| 0));
        assert!(word.close());
    }

    #[test]
    fn readers_that_are_spread_come_and_go_at_any_place() {
        let word = RwLockWord::new();
        assert!(enters(&word, 0));
        word.spread(2);
        assert!(enters(&word, 0) && enters(&word, 1) && !word.close());
        assert!(!enters(&word, 1));
        assert!(!word.leave(|| 1) && !word.leave(|| 1) && !word.is_drained());
        assert!(word.leave(|| 1) && word.is_drained());
        assert!(!word.reopen_fast(false), "the word counts who left elsewhere");
        word.reopen(false);
        assert!(word.close() && word.reopen_fast(false));
    }
}

#[cfg(all(test, loom))]
#[path = "rwlock_word_models.rs"]
mod loom_tests;
