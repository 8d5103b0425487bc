//! Job: the loom models of `mutex_word`: holders exclude each other, nobody is forgotten, also when
//!   somebody gives up, or where a crowd comes and goes.
//! Layer: L3 (blocking), with nothing below it but atomics

use super::*;
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex, MutexGuard, Notify};
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

type Queue<'a> = MutexGuard<'a, VecDeque<Arc<Waiter>>>;

impl Model {
    /// `passes`: the deadline has come as soon as the waiter is queued.
    fn lock_until(&self, passes: bool) -> bool {
        if self.word.lock_fast() {
            return true;
        }
        let mut woken = false;
        loop {
            let waiter = {
                let mut queue = self.queue_to_wait();
                if self.word.lock_or_announce(woken, queue.is_empty()) {
                    return true;
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
                self.word.note(queue.is_empty());
                return false;
            }
            if waiter.park() == OWNS {
                return true;
            }
            woken = true;
        }
    }

    fn queue_to_wait(&self) -> Queue<'_> {
        let queue = self.queue.lock().unwrap();
        if self.word.may_queue() {
            return queue;
        }
        drop(queue);
        let heavy = membarrier::heavy();
        let queue = self.queue.lock().unwrap();
        self.word.fenced(heavy);
        queue
    }

    fn unlock(&self) {
        let mut unlocked = self.word.unlock_fast();
        if unlocked == Unlocked::No {
            if self.word.calms_down() {
                let _queue = self.queue.lock().unwrap();
                self.word.calm();
            }
            unlocked = self.word.unlock_unless_awaited();
        }
        match unlocked {
            Unlocked::Yes => {}
            Unlocked::Awaited => self.wake(self.queue.lock().unwrap()),
            Unlocked::No => self.pass_on(),
        }
    }

    fn wake(&self, mut queue: Queue<'_>) {
        if !self.word.must_wake() {
            return;
        }
        let waiter = iter::from_fn(|| queue.pop_front()).find(|waiter| waiter.claim(COMPETES));
        self.word.wake(waiter.is_some(), queue.is_empty());
        drop(queue);
        if let Some(waiter) = waiter {
            waiter.note.notify();
        }
    }

    fn pass_on(&self) {
        let mut queue = self.queue.lock().unwrap();
        let heir = if self.hand_off {
            iter::from_fn(|| queue.pop_front()).find(|waiter| waiter.claim(OWNS))
        } else {
            None
        };
        let Some(heir) = heir else {
            self.word.unlock();
            return self.wake(queue);
        };
        self.word.note(queue.is_empty());
        drop(queue);
        heir.note.notify();
    }
}

/// Adds one under the lock, unless the waiter gives up; how often.
fn add(model: &Model, passes: bool) -> u32 {
    if !model.lock_until(passes) {
        return 0;
    }
    // SAFETY: the mutex is held; loom reports any overlap.
    model.value.with_mut(|value| unsafe { *value += 1 });
    model.unlock();
    1
}

/// The mutex of `crowd`, and `lockers`, of whom each locks `times`; one gives up, perhaps.
fn check(bound: usize, crowd: u32, hand_off: bool, impatient: bool, lockers: u32, times: u32) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(move || {
        let model = Arc::new(Model {
            word: MutexWord::new(crowd),
            queue: Mutex::new(VecDeque::new()),
            hand_off,
            value: UnsafeCell::new(0),
        });
        let others: Vec<_> = (1..lockers)
            .map(|i| {
                let model = model.clone();
                loom::thread::spawn(move || {
                    (0..times).map(|_| add(&model, impatient && i == 1)).sum::<u32>()
                })
            })
            .collect();
        let mut added: u32 = (0..times).map(|_| add(&model, false)).sum();
        others.into_iter().for_each(|other| added += other.join().unwrap());
        // A lost wake-up would have been reported as a deadlock.
        // SAFETY: everybody has ended.
        assert_eq!(model.value.with(|value| unsafe { *value }), added);
        assert!(added == lockers * times || impatient && added >= (lockers - 1) * times);
        let crowd = model.word.crowd.load(Ordering::Relaxed);
        assert_eq!((model.word.held.load(Ordering::Relaxed), crowd & !(SLOW | FENCED)), (0, 0));
    });
}

#[test]
fn loom_competing_waiters_exclude_each_other_and_none_is_forgotten() {
    check(3, 0, false, false, 3, 1);
}

#[test]
fn loom_handed_off_waiters_exclude_each_other_and_none_is_forgotten() {
    check(3, SLOW | FENCED, true, false, 3, 1);
}

#[test]
fn loom_a_competing_waiter_may_give_up() {
    check(3, 0, false, true, 3, 1);
}

#[test]
fn loom_a_waiter_may_give_up_while_the_mutex_is_handed_to_it() {
    check(3, SLOW | FENCED, true, true, 3, 1);
}

#[test]
fn loom_a_crowd_comes_and_goes_and_none_is_forgotten() {
    check(3, 0, false, false, 2, 2);
    check(3, SLOW | FENCED, false, false, 2, 2);
}
