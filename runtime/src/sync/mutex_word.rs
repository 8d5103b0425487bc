//! Job: the state word of a mutex and its transitions.
//! Layer: L3 (blocking), with nothing below it but atomics
//! Not here: the queue of waiters, parking, when to hand off (`raw_mutex`).
//! Invariants
//!   MW1  WAITERS changes only under the queue's lock, and equals "the queue is not empty" whenever
//!        that lock is free.
//!   MW2  WAITERS is set only while LOCKED is: so whoever unlocks sees it.
//!   MW3  While WOKEN is set one waiter is on its way to compete: it takes the lock or queues again,
//!        and clears WOKEN with that. Until then nobody else is woken.
//!   MW4  Only the holder clears LOCKED or sets WOKEN; a hand-off leaves LOCKED to the new holder.
//! Orderings
//!   E1  unlock: (Release) -> lock: (Acquire)   the critical section is seen by the next
//! Source: Go's sync.Mutex; the starving state is left out, the unlocker looks at how long the
//!   first waiter has waited instead.
//! Checked by: the loom models below.

use crate::sys::shim::{AtomicU32, Ordering};

/// Somebody holds the mutex.
const LOCKED: u32 = 1;
/// The queue is not empty (MW1).
const WAITERS: u32 = 2;
/// A waiter was woken to compete (MW3).
const WOKEN: u32 = 4;

pub(super) struct MutexWord(AtomicU32);

impl MutexWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> MutexWord {
        MutexWord(AtomicU32::new(0))
    }

    #[cfg(loom)]
    fn new() -> MutexWord {
        MutexWord(AtomicU32::new(0))
    }

    /// Takes a mutex that nobody holds or waits for.
    #[inline]
    pub(super) fn lock_fast(&self) -> bool {
        let (ok, err) = (Ordering::Acquire, Ordering::Relaxed); // E1
        self.0.compare_exchange(0, LOCKED, ok, err).is_ok()
    }

    /// Takes a mutex that nobody holds, past those who wait. `woken`: as the waiter of MW3.
    pub(super) fn lock_barging(&self, woken: bool) -> bool {
        self.change(Ordering::Acquire, |word| {
            // E1
            (word & LOCKED == 0).then_some((word | LOCKED) & !woken_bit(woken))
        })
    }

    /// Whether it is held and nobody waits: worth a short spin.
    pub(super) fn is_only_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LOCKED // a hint
    }

    /// Announces a waiter (MW1: under the queue's lock); false if nobody holds the mutex any more.
    pub(super) fn announce(&self, woken: bool) -> bool {
        // Relaxed: the queue's lock orders it for whoever looks at the queue.
        self.change(Ordering::Relaxed, |word| {
            // MW2: without a holder nobody would see the announcement.
            (word & LOCKED != 0).then_some((word | WAITERS) & !woken_bit(woken))
        })
    }

    /// Unlocks a mutex that nobody waits for.
    #[inline]
    pub(super) fn unlock_fast(&self) -> bool {
        let (ok, err) = (Ordering::Release, Ordering::Relaxed); // E1
        self.0.compare_exchange(LOCKED, 0, ok, err).is_ok()
    }

    /// Unlocks unless somebody must be woken; if false, one of the two below is due, under the
    /// queue's lock. Until then only the announcement of more waiters can change the word.
    pub(super) fn unlock_unless_waiters(&self) -> bool {
        self.change(Ordering::Release, |word| {
            // E1
            (word & WAITERS == 0 || word & WOKEN != 0).then_some(word & !LOCKED)
        })
    }

    /// Unlocks, with one waiter taken from the queue to compete; `more` are in it (MW1).
    pub(super) fn unlock_waking(&self, more: bool) {
        // A plain store: nobody else can change the word (MW1, MW4).
        self.0.store(waiters_bit(more) | WOKEN, Ordering::Release); // E1
    }

    /// Unlocks, where those who had been announced turned out to have given up: the queue is empty.
    pub(super) fn unlock_unawaited(&self) {
        // A plain store, as above.
        self.0.store(0, Ordering::Release); // E1
    }

    /// Takes the announcement back: the last waiter in the queue has given up (MW1: under the
    /// queue's lock).
    pub(super) fn retract(&self) {
        self.0.fetch_and(!WAITERS, Ordering::Relaxed); // as in `announce`
    }

    /// Leaves the mutex to a waiter taken from the queue; `more` are in it (MW1).
    pub(super) fn hand_off(&self, more: bool) {
        // A plain store, as above; Relaxed: making the waiter ready orders the rest.
        self.0.store(LOCKED | waiters_bit(more), Ordering::Relaxed);
    }

    fn change(&self, ok: Ordering, to: impl Fn(u32) -> Option<u32>) -> bool {
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

fn woken_bit(woken: bool) -> u32 {
    if woken { WOKEN } else { 0 }
}

fn waiters_bit(waiters: bool) -> u32 {
    if waiters { WAITERS } else { 0 }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Mutex, Notify};
    use std::collections::VecDeque;
    use std::iter;

    const PARKED: u32 = 0;
    const COMPETES: u32 = 1;
    const OWNS: u32 = 2;
    const GAVE_UP: u32 = 3;

    /// A parked waiter. (A `Notify` alone wakes spuriously; `park` does not.)
    struct Waiter {
        note: Notify,
        outcome: AtomicU32,
    }

    impl Waiter {
        fn new() -> Arc<Waiter> {
            Arc::new(Waiter { note: Notify::new(), outcome: AtomicU32::new(PARKED) })
        }

        fn park(&self) -> u32 {
            while self.outcome.load(Ordering::Acquire) == PARKED {
                self.note.wait();
            }
            self.outcome.load(Ordering::Acquire)
        }

        /// The claim: of a waker, or of the waiter's deadline.
        fn claim(&self, outcome: u32) -> bool {
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire);
            self.outcome.compare_exchange(PARKED, outcome, ok, err).is_ok()
        }
    }

    /// `raw_mutex` with loom's parts: the queue's lock, and notes for goroutines.
    struct Model {
        word: MutexWord,
        queue: Mutex<VecDeque<Arc<Waiter>>>,
        hand_off: bool,
        value: UnsafeCell<u32>,
    }

    impl Model {
        /// `passes`: the deadline has come as soon as the waiter is queued.
        fn lock_until(&self, passes: bool) -> bool {
            if self.word.lock_fast() {
                return true;
            }
            let mut woken = false;
            while !self.word.lock_barging(woken) {
                let waiter = {
                    let mut queue = self.queue.lock().unwrap();
                    if !self.word.announce(woken) {
                        continue;
                    }
                    let waiter = Waiter::new();
                    if woken {
                        queue.push_front(waiter.clone());
                    } else {
                        queue.push_back(waiter.clone());
                    }
                    waiter
                };
                if passes && waiter.claim(GAVE_UP) {
                    let mut queue = self.queue.lock().unwrap();
                    queue.retain(|other| !Arc::ptr_eq(other, &waiter));
                    if queue.is_empty() {
                        self.word.retract();
                    }
                    return false;
                }
                if waiter.park() == OWNS {
                    return true;
                }
                woken = true;
            }
            true
        }

        fn unlock(&self) {
            if self.word.unlock_fast() || self.word.unlock_unless_waiters() {
                return;
            }
            let mut queue = self.queue.lock().unwrap();
            let end = if self.hand_off { OWNS } else { COMPETES };
            let mut claimed = iter::from_fn(|| queue.pop_front()).filter(|w| w.claim(end));
            let Some(waiter) = claimed.next() else { return self.word.unlock_unawaited() };
            let more = !queue.is_empty();
            if self.hand_off {
                self.word.hand_off(more);
            } else {
                self.word.unlock_waking(more);
            }
            drop(queue);
            waiter.note.notify();
        }
    }

    /// Of whom one gives up, perhaps.
    fn three_lockers(hand_off: bool, impatient: bool) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let model = Arc::new(Model {
                word: MutexWord::new(),
                queue: Mutex::new(VecDeque::new()),
                hand_off,
                value: UnsafeCell::new(0),
            });
            let add = |model: &Model, passes: bool| {
                if !model.lock_until(passes) {
                    return 0;
                }
                // SAFETY: the mutex is held; loom reports any overlap.
                model.value.with_mut(|value| unsafe { *value += 1 });
                model.unlock();
                1
            };
            let others: Vec<_> = (0..2)
                .map(|i| {
                    let model = model.clone();
                    loom::thread::spawn(move || add(&model, impatient && i == 0))
                })
                .collect();
            let mut added = add(&model, false);
            others.into_iter().for_each(|other| added += other.join().unwrap());
            // A lost wake-up would have been reported as a deadlock.
            // SAFETY: everybody has ended.
            assert_eq!(model.value.with(|value| unsafe { *value }), added);
            assert!(added == 3 || impatient && added == 2);
            assert_eq!(model.word.0.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_competing_waiters_exclude_each_other_and_none_is_forgotten() {
        three_lockers(false, false);
    }

    #[test]
    fn loom_handed_off_waiters_exclude_each_other_and_none_is_forgotten() {
        three_lockers(true, false);
    }
    #[test]
    fn loom_a_competing_waiter_may_give_up() {
        three_lockers(false, true);
    }

    #[test]
    fn loom_a_waiter_may_give_up_while_the_mutex_is_handed_to_it() {
        three_lockers(true, true);
    }
}
