//! Job: the loom models of `rwlock_word`: readers and writers exclude each other, nobody is
//!   forgotten, also when somebody gives up, and when readers are spread and leave elsewhere.
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

/// Where a reader comes in and where it leaves, having changed threads meanwhile.
type Way = (usize, usize);
const GOES: Way = (0, 1);
const COMES: Way = (1, 0);

impl Model {
    fn new() -> Arc<Model> {
        Arc::new(Model {
            word: RwLockWord::new(),
            queues: Mutex::new((Queue::new(), Queue::new())),
            writers: Mutex::new(()),
            value: UnsafeCell::new(0),
        })
    }

    fn spread() -> Arc<Model> {
        let model = Model::new();
        model.word.spread(2);
        model
    }

    fn leave(&self, place: usize) {
        if self.word.leave(|| place) {
            self.wake_writer();
        }
    }

    fn end_visit(&self, count: &AtomicUsize) {
        if self.word.end_visit(count) {
            self.wake_writer();
        }
    }

    fn wake_writer(&self) {
        let mut queues = self.queues.lock().unwrap();
        if self.word.is_drained()
            && let Some(writer) = pop_claimed(&mut queues.1)
        {
            drop(queues);
            writer.note.notify();
        }
    }

    fn enter(&self, place: usize, passes: bool) -> bool {
        match self.word.enter(|| place) {
            Entry::In | Entry::Beside => return true,
            Entry::Visit(count) => self.end_visit(count),
        }
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
    fn read(&self, (from, to): Way, passes: bool) {
        if self.enter(from, passes) {
            self.look();
            self.leave(to);
        }
    }

    /// Reads if no writer is seen.
    fn try_read(&self, (from, to): Way) {
        if self.word.is_closed() {
            return;
        }
        match self.word.enter(|| from) {
            Entry::In | Entry::Beside => {
                self.look();
                self.leave(to);
            }
            Entry::Visit(count) => self.end_visit(count),
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
            self.leave(1);
        }
        usize::from(locked)
    }

    /// Adds one, if nobody is in.
    fn try_write(&self) -> usize {
        let _writers = self.writers.lock().unwrap();
        if !self.word.is_empty() {
            return 0;
        }
        let locked = self.word.close();
        if locked {
            // SAFETY: held for writing; loom reports any overlap.
            self.value.with_mut(|value| unsafe { *value += 1 });
        }
        self.reopen(false);
        usize::from(locked)
    }

    /// Everybody has ended.
    fn check(&self, written: usize) {
        assert_eq!(self.look(), written);
        assert!(self.word.is_empty() && !self.word.is_closed());
    }
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// How a lock begins, and how many preemptions are explored: with more counts, fewer.
type Start = (fn() -> Arc<Model>, usize);
const PLAIN: Start = (Model::new, 3);
const SPREAD: Start = (Model::spread, 2);

fn spawn<T: 'static>(
    model: &Arc<Model>,
    run: impl FnOnce(&Model) -> T + 'static,
) -> thread::JoinHandle<T> {
    let model = model.clone();
    thread::spawn(move || run(&model))
}

/// Two readers, the second of whom may give up, and a writer, who may.
fn readers_and_a_writer((new, preemptions): Start, reader_gives_up: bool, writer_gives_up: bool) {
    explore(preemptions, move || {
        let model = new();
        let (ways, up) = ([GOES, COMES], [false, reader_gives_up]);
        let readers = [0, 1].map(|i| spawn(&model, move |m| m.read(ways[i], up[i])));
        let written = model.write(writer_gives_up, false);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(written == 1 || writer_gives_up);
        model.check(written);
    });
}

/// Two writers, one of whom may stay as a reader or give up, and a reader.
fn writers_and_a_reader((new, preemptions): Start, stays: bool, gives_up: bool) {
    explore(preemptions, move || {
        let model = new();
        let writer = spawn(&model, move |m| m.write(gives_up, stays));
        let reader = spawn(&model, move |m| m.read(GOES, false));
        let written = model.write(false, false) + writer.join().unwrap();
        reader.join().unwrap();
        assert!(written == 2 || gives_up && written == 1);
        model.check(written);
    });
}

#[test]
fn loom_readers_and_a_writer_exclude_each_other_and_none_is_forgotten() {
    readers_and_a_writer(PLAIN, false, false);
}

#[test]
fn loom_a_reader_may_give_up() {
    readers_and_a_writer(PLAIN, true, false);
}

#[test]
fn loom_a_writer_may_give_up() {
    readers_and_a_writer(PLAIN, false, true);
}

#[test]
fn loom_writers_take_turns_with_a_reader() {
    writers_and_a_reader(PLAIN, false, false);
}

#[test]
fn loom_a_writer_may_stay_as_a_reader() {
    writers_and_a_reader(PLAIN, true, false);
}

#[test]
fn loom_the_next_writer_is_not_woken_for_one_that_gave_up() {
    writers_and_a_reader(PLAIN, false, true);
}

fn trying((new, preemptions): Start) {
    explore(preemptions, move || {
        let model = new();
        let reader = spawn(&model, |m| m.try_read(GOES));
        let other = spawn(&model, |m| m.write(false, false));
        let written = model.try_write() + other.join().unwrap();
        reader.join().unwrap();
        model.check(written);
    });
}

#[test]
fn loom_trying_leaves_nothing_behind() {
    [PLAIN, SPREAD].into_iter().for_each(trying);
}

#[test]
fn loom_readers_that_are_spread_and_move_keep_a_writer_out() {
    readers_and_a_writer(SPREAD, false, false);
}

/// One reader is in when another and a writer come, each of whom may give up.
fn a_reader_is_in(reader_gives_up: bool, writer_gives_up: bool) {
    let (new, preemptions) = SPREAD;
    explore(preemptions, move || {
        let model = new();
        assert!(model.enter(1, false));
        let reader = spawn(&model, move |m| m.read(GOES, reader_gives_up));
        let writer = spawn(&model, move |m| m.write(writer_gives_up, false));
        model.look();
        model.leave(0);
        let written = writer.join().unwrap();
        reader.join().unwrap();
        assert!(written == 1 || writer_gives_up);
        model.check(written);
    });
}

#[test]
fn loom_a_visitor_at_another_count_does_not_hide_a_reader() {
    a_reader_is_in(false, false);
}

#[test]
fn loom_a_reader_that_is_spread_may_give_up() {
    a_reader_is_in(true, false);
}

#[test]
fn loom_a_writer_that_adds_up_may_give_up() {
    a_reader_is_in(false, true);
}

#[test]
fn loom_writers_that_add_up_take_turns_with_a_reader() {
    writers_and_a_reader(SPREAD, false, false);
}

#[test]
fn loom_a_writer_that_adds_up_may_stay_as_a_reader() {
    writers_and_a_reader(SPREAD, true, false);
}

#[test]
fn loom_the_next_writer_that_adds_up_is_not_woken_for_one_that_gave_up() {
    writers_and_a_reader(SPREAD, false, true);
}

/// It reads, meanwhile spreads the lock, and leaves.
fn spreads(model: &Model) {
    if model.enter(0, false) {
        model.look();
        model.word.spread(2);
        model.leave(1);
    }
}

#[test]
fn loom_a_lock_may_be_spread_while_it_is_in_use() {
    explore(3, || {
        let model = Model::new();
        let spreader = spawn(&model, spreads);
        let reader = spawn(&model, |m| m.read(GOES, false));
        assert_eq!(model.write(false, false), 1);
        spreader.join().unwrap();
        reader.join().unwrap();
        model.check(1);
    });
}

#[test]
fn loom_a_writer_may_give_up_while_a_lock_is_spread() {
    explore(3, || {
        let model = Model::new();
        let spreader = spawn(&model, spreads);
        let other = spawn(&model, |m| m.write(true, false));
        let written = model.write(false, false) + other.join().unwrap();
        spreader.join().unwrap();
        model.check(written);
    });
}
