//! Job: the loom models of `rwlock_word`: readers and writers exclude each other, nobody is
//!   forgotten, also when somebody gives up.
//! Layer: L3 (blocking), with nothing below it but atomics

use super::*;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize as Outcome;
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;
use std::collections::VecDeque;

const PARKED: usize = 0;
const SERVED: usize = 1;
const GAVE_UP: usize = 2;

/// A parked waiter. (A `Notify` alone wakes spuriously; `park` does not.)
struct Waiter {
    note: Notify,
    outcome: Outcome,
}

impl Waiter {
    fn new() -> Arc<Waiter> {
        Arc::new(Waiter { note: Notify::new(), outcome: Outcome::new(PARKED) })
    }

    fn claim(&self, outcome: usize) -> bool {
        let (ok, err) = (Ordering::AcqRel, Ordering::Acquire);
        self.outcome.compare_exchange(PARKED, outcome, ok, err).is_ok()
    }

    /// `passes`: the deadline comes as soon as the waiter is queued. True if it was served.
    fn park(&self, passes: bool) -> bool {
        if passes && self.claim(GAVE_UP) {
            return false;
        }
        while self.outcome.load(Ordering::Acquire) == PARKED {
            self.note.wait(); // a lost wake-up is a deadlock, which loom reports
        }
        true
    }
}

type Queue = VecDeque<Arc<Waiter>>;

fn pop_claimed(queue: &mut Queue) -> Option<Arc<Waiter>> {
    std::iter::from_fn(|| queue.pop_front()).find(|waiter| waiter.claim(SERVED))
}

fn remove(queue: &mut Queue, waiter: &Arc<Waiter>) {
    queue.retain(|other| !Arc::ptr_eq(other, waiter));
}

/// `raw_rwlock` with loom's parts: locks for the queue and for the writers, notes for goroutines.
struct Model {
    word: RwLockWord,
    /// Readers; the writer.
    queues: Mutex<(Queue, Queue)>,
    writers: Mutex<()>,
    value: UnsafeCell<usize>,
}

impl Model {
    fn new() -> Arc<Model> {
        Arc::new(Model {
            word: RwLockWord::new(),
            queues: Mutex::new((Queue::new(), Queue::new())),
            writers: Mutex::new(()),
            value: UnsafeCell::new(0),
        })
    }

    fn leave(&self) {
        if self.word.leave() {
            let mut queues = self.queues.lock().unwrap();
            if self.word.is_drained()
                && let Some(writer) = pop_claimed(&mut queues.1)
            {
                drop(queues);
                writer.note.notify();
            }
        }
    }

    fn enter(&self, passes: bool) -> bool {
        if self.word.enter() {
            return true;
        }
        self.leave();
        let waiter = Waiter::new();
        {
            let mut queues = self.queues.lock().unwrap();
            if self.word.enter_or_queue() {
                return true;
            }
            queues.0.push_back(waiter.clone());
        }
        let served = waiter.park(passes);
        if !served {
            remove(&mut self.queues.lock().unwrap().0, &waiter);
        }
        served
    }

    /// Reads, if the lock could be had in time.
    fn read(&self, passes: bool) {
        if self.enter(passes) {
            self.look();
            self.leave();
        }
    }

    fn look(&self) -> usize {
        // SAFETY: held for reading; loom reports any overlap with a writer.
        self.value.with(|value| unsafe { *value })
    }

    fn wait_for_readers(&self, passes: bool) -> bool {
        let waiter = Waiter::new();
        {
            let mut queues = self.queues.lock().unwrap();
            if self.word.is_drained() {
                return true;
            }
            queues.1.push_back(waiter.clone());
        }
        let served = waiter.park(passes);
        if !served {
            remove(&mut self.queues.lock().unwrap().1, &waiter);
        }
        served
    }

    fn reopen(&self, stays: bool) {
        if self.word.reopen_fast(stays) {
            return;
        }
        {
            let _queues = self.queues.lock().unwrap();
            self.word.reopen(stays);
        }
        while let Some(reader) = {
            let mut queues = self.queues.lock().unwrap();
            pop_claimed(&mut queues.0).inspect(|_| self.word.admit())
        } {
            reader.note.notify();
        }
    }

    /// Adds one, if the lock could be had in time, and looks again if it then `stays` as a reader.
    fn write(&self, passes: bool, stays: bool) -> usize {
        let writers = self.writers.lock().unwrap();
        let locked = self.word.close() || self.wait_for_readers(passes);
        if locked {
            // SAFETY: held for writing; loom reports any overlap.
            self.value.with_mut(|value| unsafe { *value += 1 });
        }
        self.reopen(stays && locked);
        drop(writers);
        if stays && locked {
            assert_ne!(self.look(), 0);
            self.leave();
        }
        usize::from(locked)
    }

    /// Everybody has ended.
    fn check(&self, written: usize) {
        assert_eq!(self.look(), written);
        assert_eq!(self.word.0.load(Ordering::Relaxed), 0);
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn spawn<T: 'static>(
    model: &Arc<Model>,
    run: impl FnOnce(&Model) -> T + 'static,
) -> thread::JoinHandle<T> {
    let model = model.clone();
    thread::spawn(move || run(&model))
}

fn two_readers_and_a_writer(reader_gives_up: bool, writer_gives_up: bool) {
    explore(move || {
        let model = Model::new();
        let readers = [false, reader_gives_up].map(|up| spawn(&model, move |m| m.read(up)));
        let written = model.write(writer_gives_up, false);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(written == 1 || writer_gives_up);
        model.check(written);
    });
}

fn two_writers_and_a_reader(stays: bool, gives_up: bool) {
    explore(move || {
        let model = Model::new();
        let writer = spawn(&model, move |m| m.write(gives_up, stays));
        let reader = spawn(&model, |m| m.read(false));
        let written = model.write(false, false) + writer.join().unwrap();
        reader.join().unwrap();
        assert!(written == 2 || gives_up && written == 1);
        model.check(written);
    });
}

#[test]
fn loom_readers_and_a_writer_exclude_each_other_and_none_is_forgotten() {
    two_readers_and_a_writer(false, false);
}

#[test]
fn loom_a_reader_may_give_up() {
    two_readers_and_a_writer(true, false);
}

#[test]
fn loom_a_writer_may_give_up() {
    two_readers_and_a_writer(false, true);
}

#[test]
fn loom_writers_take_turns_with_a_reader() {
    two_writers_and_a_reader(false, false);
}

#[test]
fn loom_a_writer_may_stay_as_a_reader() {
    two_writers_and_a_reader(true, false);
}

#[test]
fn loom_the_next_writer_is_not_woken_for_one_that_gave_up() {
    two_writers_and_a_reader(false, true);
}

#[test]
fn loom_trying_leaves_nothing_behind() {
    explore(|| {
        let model = Model::new();
        let reader = spawn(&model, |m| {
            if m.word.try_enter() {
                m.look();
                m.leave();
            }
        });
        let written = spawn(&model, |m| m.write(false, false));
        let written = written.join().unwrap();
        reader.join().unwrap();
        model.check(written);
    });
}
