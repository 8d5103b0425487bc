//! Job: the state word of a wait group and its transitions.
//! Layer: L3 (blocking), with nothing below it but atomics
//! Not here: the queue of waiters, parking (`wait_group`).
//! Invariants
//!   WW1  WAITERS is set only while the counter is not zero, under the queue's lock.
//!   WW2  Who brings the counter to zero with WAITERS set clears it, begins the next epoch and owes
//!        a wake-up to the waiters of the epoch that ended, and of earlier ones, but of no later:
//!        a group may be in use again before its waiters have run.
//! Orderings
//!   E1  done: CAS(Release) -> wait: load(Acquire)   what was done is seen; every change is a
//!       read-modify-write, so each one passes on what the ones before it released
//! Checked by: the loom model below.
//!
//! ```text
//! 63            33    32     31            0
//! [ epoch, wraps | WAITERS | counter        ]
//! ```

use crate::sys::shim::{AtomicUsize, Ordering};

const COUNTER: usize = u32::MAX as usize;
const WAITERS: usize = 1 << 32;
const EPOCH: usize = 1 << 33;
const EPOCH_SHIFT: u32 = 33;
const EPOCHS: usize = 1 << 31;

const _: () = assert!(usize::BITS == 64);

pub(super) struct WaitGroupWord(AtomicUsize);

/// What `done` leaves to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(super) enum Done {
    Nothing,
    /// Wake the waiters of this epoch and before (WW2).
    Wake(usize),
    /// The counter was zero and has been left so.
    Negative,
}

impl WaitGroupWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> WaitGroupWord {
        WaitGroupWord(AtomicUsize::new(0))
    }

    #[cfg(loom)]
    fn new() -> WaitGroupWord {
        WaitGroupWord(AtomicUsize::new(0))
    }

    pub(super) fn counter(&self) -> usize {
        self.0.load(Ordering::Acquire) & COUNTER // E1
    }

    /// False, and nothing changed, if that is more than the counter holds.
    pub(super) fn add(&self, n: usize) -> bool {
        let fits = |word| n <= COUNTER - (word & COUNTER);
        self.change(|word| fits(word).then(|| word + n)).is_some()
    }

    pub(super) fn done(&self) -> Done {
        let zero = |word| word & COUNTER == 1;
        let changed = self.change(|word| match word & (COUNTER | WAITERS) {
            0 => None,
            last if last == WAITERS | 1 => Some((word & !(COUNTER | WAITERS)).wrapping_add(EPOCH)),
            _ => Some(word - 1),
        });
        match changed {
            Some(word) if zero(word) && word & WAITERS != 0 => Done::Wake(epoch(word)),
            Some(_) => Done::Nothing,
            None => Done::Negative,
        }
    }

    /// Announces a waiter (WW1: under the queue's lock), and returns its epoch; `None` if the
    /// counter is zero.
    pub(super) fn announce(&self) -> Option<usize> {
        self.change(|word| (word & COUNTER != 0).then_some(word | WAITERS)).map(epoch)
    }

    /// Changes the word and returns what it was.
    fn change(&self, to: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        let mut word = self.0.load(Ordering::Acquire); // E1
        loop {
            let new = to(word)?;
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire); // E1
            match self.0.compare_exchange(word, new, ok, err) {
                Ok(_) => return Some(word),
                Err(seen) => word = seen,
            }
        }
    }
}

fn epoch(word: usize) -> usize {
    word >> EPOCH_SHIFT
}

/// Whether a waiter of epoch `waiter` is owed a wake-up by the end of epoch `ended` (WW2).
pub(super) fn has_ended(waiter: usize, ended: usize) -> bool {
    ended.wrapping_sub(waiter) % EPOCHS < EPOCHS / 2
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_and_refuses_what_does_not_fit() {
        let word = WaitGroupWord::new();
        assert_eq!(word.done(), Done::Negative);
        assert!(word.add(COUNTER));
        assert!(!word.add(1));
        assert!(word.add(0));
        assert_eq!(word.done(), Done::Nothing);
        assert!(word.add(1));
        assert_eq!(word.counter(), COUNTER);
    }

    #[test]
    fn epochs_advance_with_each_wake_up_and_wrap() {
        let word = WaitGroupWord::new();
        for round in 0..3 {
            assert_eq!(word.announce(), None);
            assert!(word.add(2));
            assert_eq!(word.announce(), Some(round));
            assert_eq!(word.announce(), Some(round));
            assert_eq!(word.done(), Done::Nothing);
            assert_eq!(word.done(), Done::Wake(round));
        }
        word.0.store(usize::MAX << EPOCH_SHIFT | WAITERS | 1, Ordering::Relaxed);
        assert_eq!(word.done(), Done::Wake(EPOCHS - 1));
        assert_eq!(word.0.load(Ordering::Relaxed), 0);
        assert!(has_ended(EPOCHS - 1, 0) && !has_ended(0, EPOCHS - 1));
        assert!(has_ended(5, 5) && has_ended(4, 5) && !has_ended(6, 5));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::AtomicBool;
    use loom::sync::{Arc, Mutex, Notify};

    /// A parked waiter. (A `Notify` alone wakes spuriously; `park` does not.)
    struct Waiter {
        note: Notify,
        woken: AtomicBool,
    }

    impl Waiter {
        fn new() -> Arc<Waiter> {
            Arc::new(Waiter { note: Notify::new(), woken: AtomicBool::new(false) })
        }
    }

    struct Model {
        word: WaitGroupWord,
        queue: Mutex<Vec<(usize, Arc<Waiter>)>>,
    }

    impl Model {
        fn wait(&self) {
            if self.word.counter() == 0 {
                return;
            }
            let waiter = Waiter::new();
            {
                let mut queue = self.queue.lock().unwrap();
                let Some(epoch) = self.word.announce() else { return };
                queue.push((epoch, waiter.clone()));
            }
            while !waiter.woken.load(Ordering::Acquire) {
                waiter.note.wait(); // a lost wake-up is a deadlock, which loom reports
            }
        }

        fn done(&self) {
            if let Done::Wake(ended) = self.word.done() {
                let mut queue = self.queue.lock().unwrap();
                for (_, waiter) in queue.extract_if(.., |(epoch, _)| has_ended(*epoch, ended)) {
                    waiter.woken.store(true, Ordering::Release);
                    waiter.note.notify();
                }
            }
        }
    }

    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    fn model() -> Arc<Model> {
        Arc::new(Model { word: WaitGroupWord::new(), queue: Mutex::new(Vec::new()) })
    }

    #[test]
    fn loom_a_waiter_returns_after_the_last_done() {
        check(|| {
            let group = model();
            let results = Arc::new([0, 0].map(UnsafeCell::new));
            assert!(group.word.add(2));
            let others: Vec<_> = (0..2)
                .map(|i| {
                    let (group, results) = (group.clone(), results.clone());
                    loom::thread::spawn(move || {
                        // SAFETY: read only after the `done`.
                        results[i].with_mut(|result| unsafe { *result = 7 });
                        group.done();
                    })
                })
                .collect();
            group.wait();
            assert_eq!(group.word.counter(), 0);
            for result in results.iter() {
                // SAFETY: written before the `done` (E1).
                assert_eq!(result.with(|result| unsafe { *result }), 7);
            }
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }

    #[test]
    fn loom_who_finds_zero_sees_what_was_done() {
        check(|| {
            let (group, result) = (model(), Arc::new(UnsafeCell::new(0)));
            assert!(group.word.add(1));
            let (theirs, written) = (group.clone(), result.clone());
            let other = loom::thread::spawn(move || {
                // SAFETY: read only after the `done`.
                written.with_mut(|result| unsafe { *result = 7 });
                theirs.done();
            });
            while group.word.counter() != 0 {
                loom::thread::yield_now();
            }
            // SAFETY: written before the `done` (E1).
            assert_eq!(result.with(|result| unsafe { *result }), 7);
            other.join().unwrap();
        });
    }

    #[test]
    fn loom_a_late_wake_up_spares_the_waiters_of_the_next_round() {
        check(|| {
            let group = model();
            assert!(group.word.add(1));
            let waiter = {
                let group = group.clone();
                loom::thread::spawn(move || group.wait())
            };
            let first = {
                let group = group.clone();
                loom::thread::spawn(move || group.done())
            };
            // The first round may have ended and may still be waking its waiter; or this adds to it.
            assert!(group.word.add(1));
            let mine = Waiter::new();
            {
                let mut queue = group.queue.lock().unwrap();
                queue.push((group.word.announce().expect("added"), mine.clone()));
            }
            first.join().unwrap();
            assert!(!mine.woken.load(Ordering::Relaxed), "before its round has ended");
            group.done();
            assert!(mine.woken.load(Ordering::Relaxed));
            waiter.join().unwrap();
        });
    }
}
