//! Job: the queue of one owner, from which others steal: a ring of fixed size. Allocates nothing.
//! Layer: L1 (structures)
//! Not here: whose queue it is and what is in it (`sched::p`), whom to steal from (`sched::steal`).
//! Invariants
//!   LQ1  `head <= tail <= head + SLOTS`. Only the owner moves `tail`. Whoever moves `head` on has the
//!        words that it passes, each of them once. Both only grow, and 64 bits do not wrap: that a
//!        `head` is still the one that was read means that nobody took anything since.
//!   LQ2  A word is written to its slot before `tail` passes it, and the slot is written again only
//!        after `head` has. So who moves `head` on from where it read it has read what was there.
//! Orderings
//!   E1  push: slot.store, tail.store(Release) -> steal: tail.load(Acquire), slot.load
//!   E2  take: slot.load, head.CAS(Release) -> push: head.load(Acquire), slot.store   (LQ2)
//! Source: Go's runq. Not crossbeam's deque, which has no bound: who steals from that pins an epoch,
//!   which may free memory and run what any part of the program has deferred, on a thread that holds a
//!   P, where neither may be done.
//! Checked by: the loom models below.

use crate::sys::shim::{AtomicU64, AtomicUsize, Ordering};

#[cfg(not(loom))]
const SLOTS: usize = 64;
#[cfg(loom)]
const SLOTS: usize = 2;

/// Words that it holds at most.
pub(crate) const MOST: usize = SLOTS;

/// First in, first out.
pub(crate) struct LocalQueue {
    head: AtomicU64,
    tail: AtomicU64,
    slots: [AtomicUsize; SLOTS],
}

impl LocalQueue {
    pub(crate) fn new() -> LocalQueue {
        LocalQueue {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            slots: std::array::from_fn(|_| AtomicUsize::new(0)),
        }
    }

    #[inline]
    fn slot(&self, at: u64) -> &AtomicUsize {
        &self.slots[at as usize % SLOTS]
    }

    /// How many words it holds; from elsewhere, at some moment.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire); // E2; before `tail`, so not beyond it
        let tail = self.tail.load(Ordering::Acquire); // E1
        (tail - head) as usize
    }

    /// Exact after a fence.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a word.
    ///
    /// # Safety
    /// The caller owns the queue, which holds less than [`MOST`].
    #[inline]
    pub(crate) unsafe fn push(&self, word: usize) {
        let tail = self.tail.load(Ordering::Relaxed); // the owner's
        // The caller has looked: by `len`, or a `pop` that found nothing (E2).
        debug_assert!(tail - self.head.load(Ordering::Relaxed) < SLOTS as u64);
        self.slot(tail).store(word, Ordering::Relaxed); // published by the next one
        self.tail.store(tail + 1, Ordering::Release); // E1
    }

    /// Takes the oldest word.
    ///
    /// # Safety
    /// The caller owns the queue.
    #[inline]
    pub(crate) unsafe fn pop(&self) -> Option<usize> {
        let tail = self.tail.load(Ordering::Relaxed); // the owner's
        let mut head = self.head.load(Ordering::Acquire); // E2: a push may follow, without another look
        while head != tail {
            let word = self.slot(head).load(Ordering::Relaxed); // written by the owner
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire); // E2, LQ1
            match self.head.compare_exchange(head, head + 1, ok, err) {
                Ok(_) => return Some(word),
                Err(now) => head = now,
            }
        }
        None
    }

    /// Takes the older half of the words, at most `most` of them, and returns the oldest; the others
    /// go to `into`. Waits for nobody, but tries again while others take.
    ///
    /// # Safety
    /// The caller owns `into`, which is another queue, and empty.
    pub(crate) unsafe fn steal(&self, into: &LocalQueue, most: usize) -> Option<usize> {
        debug_assert!(most <= MOST);
        loop {
            let head = self.head.load(Ordering::Acquire); // before `tail`, so not beyond it
            let tail = self.tail.load(Ordering::Acquire); // E1
            let held = tail - head;
            let count = (held - held / 2).min(most as u64);
            if count == 0 {
                return None;
            }
            let first = self.slot(head).load(Ordering::Relaxed); // E1; LQ2, if the exchange succeeds
            let to = into.tail.load(Ordering::Relaxed); // the owner's
            for i in 1..count {
                let word = self.slot(head + i).load(Ordering::Relaxed); // as for `first`
                into.slot(to + i - 1).store(word, Ordering::Relaxed); // published below
            }
            let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E2
            if self.head.compare_exchange(head, head + count, ok, err).is_ok() {
                into.tail.store(to + count - 1, Ordering::Release); // E1
                return Some(first);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_thief_gets_the_older_half() {
        let (queue, thief) = (LocalQueue::new(), LocalQueue::new());
        // SAFETY: one thread owns both; never more than there is room for.
        unsafe {
            assert_eq!(queue.pop(), None);
            assert_eq!(queue.steal(&thief, 31), None);
            (1..=MOST).for_each(|word| queue.push(word));
            assert_eq!(queue.len(), MOST);
            assert_eq!(queue.steal(&thief, 31), Some(1));
            assert_eq!((queue.len(), thief.len()), (MOST - 31, 30));
            assert_eq!(thief.pop(), Some(2));
            assert_eq!(queue.pop(), Some(32));
            while thief.pop().is_some() {}
            assert_eq!(queue.steal(&thief, 31), Some(33));
            assert_eq!((queue.len(), thief.len()), (16, 15));
            while thief.pop().is_some() {}
            while queue.len() > 1 {
                queue.pop();
            }
            assert_eq!(queue.steal(&thief, 31), Some(MOST));
            assert!(queue.is_empty() && thief.is_empty());
        }
    }

    #[test]
    fn every_word_is_taken_once() {
        const WORDS: usize = 300_000;
        let queue = LocalQueue::new();
        let over = AtomicBool::new(false);
        let seen: Vec<AtomicUsize> = (0..WORDS).map(|_| AtomicUsize::new(0)).collect();
        let take = |word: usize| seen[word].fetch_add(1, Ordering::Relaxed);
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let own = LocalQueue::new();
                    // SAFETY: this thread's own, emptied before the next theft.
                    unsafe {
                        while !over.load(Ordering::Relaxed) {
                            queue.steal(&own, 31).map(take);
                            while let Some(word) = own.pop() {
                                take(word);
                            }
                        }
                    }
                });
            }
            for word in 0..WORDS {
                // SAFETY: this thread owns it, and looks for room.
                unsafe {
                    if queue.len() == MOST {
                        queue.pop().map(take);
                    }
                    queue.push(word);
                    if word % 3 == 0 {
                        queue.pop().map(take);
                    }
                }
            }
            // SAFETY: as above.
            while let Some(word) = unsafe { queue.pop() } {
                take(word);
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    /// The owner fills the ring more than once while another steals: each word is taken once, and the
    /// owner's own in order.
    #[test]
    fn loom_every_word_is_taken_once() {
        loom::model(|| {
            let queue = Arc::new(LocalQueue::new());
            let thief = {
                let queue = queue.clone();
                loom::thread::spawn(move || {
                    let own = LocalQueue::new();
                    // SAFETY: this thread's own, and empty.
                    let first = unsafe { queue.steal(&own, 2) };
                    // SAFETY: as above.
                    first.into_iter().chain(unsafe { own.pop() }).collect::<Vec<_>>()
                })
            };
            let mut mine = Vec::new();
            for word in 1..=3 {
                // SAFETY: this thread owns it, and looks for room.
                unsafe {
                    if queue.len() == MOST {
                        mine.extend(queue.pop());
                    }
                    queue.push(word);
                }
            }
            // SAFETY: as above.
            mine.extend(std::iter::from_fn(|| unsafe { queue.pop() }));
            let stolen = thief.join().unwrap();
            assert!(mine.is_sorted() && stolen.is_sorted());
            let mut all = [mine, stolen].concat();
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3]);
        });
    }
}
