//! Job: the loom model of a wait with two nodes: one in a queue, one in a `Cancel`, under locks of
//!   their own; who pops a node and wins the claim wakes the waiter.
//! Layer: L1 (structures)
//! Not here: the queues and the parking (`wait`), whose steps these are.

use super::*;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicUsize as Count};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;

const SERVED: usize = FIRST_TOKEN;

/// A waiter's frame, and the two places where a node of it may be linked.
struct Model {
    queue: Mutex<bool>,
    cancel: Mutex<bool>,
    fired: AtomicBool,
    word: ClaimWord,
    /// Read by who holds a linked node's lock, or has won; written when the waiter leaves.
    frame: UnsafeCell<()>,
    readies: Count,
    note: Notify,
}

impl Model {
    fn new() -> Arc<Model> {
        Arc::new(Model {
            queue: Mutex::new(false),
            cancel: Mutex::new(false),
            fired: AtomicBool::new(false),
            word: ClaimWord::new(),
            frame: UnsafeCell::new(()),
            readies: Count::new(0),
            note: Notify::new(),
        })
    }

    /// Takes the waiter out of one place, and wakes it if that ends its wait.
    fn pop(&self, place: &Mutex<bool>, token: usize) -> bool {
        let won = {
            let mut linked = place.lock().unwrap();
            std::mem::take(&mut *linked) && {
                self.frame.with(|_| ());
                self.word.try_claim(token)
            }
        };
        if won {
            self.frame.with(|_| ()); // parked until the next line
            self.readies.fetch_add(1, Ordering::Release);
            self.note.notify();
        }
        won
    }

    fn fire(&self) -> bool {
        {
            let _linked = self.cancel.lock().unwrap();
            self.fired.store(true, Ordering::Release);
        }
        self.pop(&self.cancel, CANCELLED)
    }

    /// What the waiter does, from queueing to leaving its frame; returns the outcome.
    fn wait(&self) -> usize {
        let mut queued = self.queue.lock().unwrap();
        *queued = true;
        let mut linked = self.cancel.lock().unwrap();
        if self.fired.load(Ordering::Relaxed) {
            drop(linked);
            assert!(self.word.try_claim(CANCELLED), "nobody else can see the wait");
            drop(queued);
        } else {
            *linked = true;
            drop(linked); // the commit
            drop(queued);
            while self.readies.load(Ordering::Acquire) == 0 {
                self.note.wait(); // a lost wake-up is a deadlock, which loom reports
            }
            *self.cancel.lock().unwrap() = false;
        }
        let outcome = self.word.outcome();
        if outcome != SERVED {
            *self.queue.lock().unwrap() = false;
        }
        self.frame.with_mut(|_| ());
        outcome
    }
}

#[test]
fn loom_a_wait_ends_once_and_leaves_nothing_behind() {
    loom::model(|| {
        let model = Model::new();
        let (waker, canceller) = (model.clone(), model.clone());
        let waker = thread::spawn(move || waker.pop(&waker.queue, SERVED));
        let canceller = thread::spawn(move || canceller.fire());
        let outcome = model.wait();
        let (served, cancelled) = (waker.join().unwrap(), canceller.join().unwrap());
        assert_eq!(outcome, if served { SERVED } else { CANCELLED });
        assert!(!(served && cancelled));
        let readies = usize::from(served) + usize::from(cancelled);
        assert_eq!(model.readies.load(Ordering::Relaxed), readies);
        assert!(!*model.queue.lock().unwrap() && !*model.cancel.lock().unwrap());
    });
}
