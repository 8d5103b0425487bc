//! Job: the loom models of queues of waiters: the real queue, the real cancel, over a scheduler that
//!   knows of parking and readying only.
//! Layer: L3 (blocking)
//!
//! What may go wrong shows as: a value that is read before it was written (loom's cell), two wakers
//! of one wait (SM4 of `sched::model`), a wake-up that is lost (a deadlock, to loom), and a node that
//! stays behind.

use super::*;
use crate::sched::claim::{CANCELLED, TIMED_OUT};
use crate::sched::ready;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use std::ptr;

/// The data of waiters without a limit.
const FOREVER_MARK: *mut () = ptr::without_provenance_mut(1);

/// A queue, an event that ends waits, and what a waker gives to those it serves.
struct Model {
    queue: SpinLock<WaitQueue>,
    cancel: Cancel,
    gift: UnsafeCell<u32>,
}

fn check(model: impl Fn(Arc<Model>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(move || {
        park::current(); // before the others: making the first header orders nothing then
        let (queue, cancel) = (SpinLock::new(WaitQueue::new()), Cancel::new());
        let shared = Arc::new(Model { queue, cancel, gift: UnsafeCell::new(0) });
        model(shared.clone());
        assert!(shared.queue.lock().is_empty() && shared.cancel.is_unawaited(), "nodes are left");
    });
}

fn spawn<T: 'static>(model: &Arc<Model>, run: impl FnOnce(&Model) -> T + 'static) -> JoinHandle<T> {
    let model = model.clone();
    thread::spawn(move || run(&model))
}

impl Model {
    /// Waits in the queue until `until`; if it was served the gift is there.
    fn wait(&self, until: Until<'_>) -> usize {
        let wait = Wait::new(park::current());
        let mark = if until.is_forever() { FOREVER_MARK } else { ptr::null_mut() };
        let node = Node::single(&wait, mark, until);
        let mut queue = self.queue.lock();
        // SAFETY: on this frame until it was popped, or is removed below.
        let outcome = unsafe {
            queue.push_back(&node);
            park_in(&self.queue, queue, &wait, until, WaitReason::Park)
        };
        if outcome == OUTCOME_SERVED {
            // SAFETY: written before the claim.
            assert_eq!(self.gift.with(|gift| unsafe { *gift }), 7);
        }
        if matches!(outcome, TIMED_OUT | CANCELLED) {
            self.queue.lock().remove(&node);
        }
        outcome
    }

    /// Serves the first who waits; whether there was one.
    fn serve(&self) -> bool {
        // SAFETY: before anybody is served; there is one giver.
        self.gift.with_mut(|gift| unsafe { *gift = 7 });
        let first = self.queue.lock().pop_claimed(SERVED);
        first.map(|waiter| ready::ready(waiter.g)).is_some()
    }

    fn is_awaited(&self) -> bool {
        !self.queue.lock().is_empty()
    }
}

/// For a waiter that nothing but a waker ends: the waker comes when it is there.
fn serve_surely(model: &Model) {
    while !model.is_awaited() {
        thread::yield_now();
    }
    assert!(model.serve());
}

#[test]
fn loom_who_waits_is_served_with_what_the_waker_did() {
    check(|model| {
        let waiter = spawn(&model, |m| m.wait(Until::FOREVER));
        serve_surely(&model);
        assert_eq!(waiter.join().unwrap(), OUTCOME_SERVED);
    });
}

#[test]
fn loom_a_waker_and_a_deadline_end_a_wait_once() {
    check(|model| {
        let waker = spawn(&model, Model::serve);
        let outcome = model.wait(Until::deadline(1));
        assert_eq!(outcome == OUTCOME_SERVED, waker.join().unwrap());
        assert!(matches!(outcome, OUTCOME_SERVED | TIMED_OUT));
    });
}

#[test]
fn loom_a_waker_and_a_cancel_end_a_wait_once() {
    check(|model| {
        let waker = spawn(&model, Model::serve);
        let canceller = spawn(&model, |m| m.cancel.fire());
        let outcome = model.wait(Until::cancelled_by(&model.cancel));
        assert_eq!(outcome == OUTCOME_SERVED, waker.join().unwrap());
        assert!(canceller.join().unwrap());
        assert!(matches!(outcome, OUTCOME_SERVED | CANCELLED));
    });
}

#[test]
fn loom_a_cancel_and_a_deadline_end_a_wait_once() {
    check(|model| {
        let canceller = spawn(&model, |m| m.cancel.fire());
        let until = Until { deadline: 1, cancel: Some(&model.cancel) };
        assert!(matches!(model.wait(until), TIMED_OUT | CANCELLED));
        assert!(canceller.join().unwrap() && !model.cancel.fire());
    });
}

#[test]
fn loom_whoever_sees_that_it_fired_sees_what_led_to_it() {
    check(|model| {
        let canceller = spawn(&model, |m| {
            // SAFETY: read only once it has fired.
            m.gift.with_mut(|gift| unsafe { *gift = 3 });
            m.cancel.fire()
        });
        while !model.cancel.is_fired() {
            thread::yield_now();
        }
        // SAFETY: written before.
        assert_eq!(model.gift.with(|gift| unsafe { *gift }), 3);
        canceller.join().unwrap();
    });
}

#[test]
fn loom_all_are_woken_who_were_there() {
    check(|model| {
        let waiters = [1, 2].map(|_| spawn(&model, |m| m.wait(Until::cancelled_by(&m.cancel))));
        assert!(model.cancel.fire(), "who comes later finds it fired");
        assert!(waiters.map(|w| w.join().unwrap()).iter().all(|end| *end == CANCELLED));
    });
}

/// Two wait, one of them not for long; whoever is there first, the other is served, too.
#[test]
fn loom_who_gives_up_is_passed_over() {
    check(|model| {
        // SAFETY: alone yet.
        model.gift.with_mut(|gift| unsafe { *gift = 7 });
        let short = spawn(&model, |m| m.wait(Until::deadline(1)));
        let long = spawn(&model, |m| m.wait(Until::FOREVER));
        let (mut served, mut served_long) = (0, false);
        while !served_long {
            let first = model.queue.lock().pop_claimed(SERVED);
            let Some(waiter) = first else {
                thread::yield_now();
                continue;
            };
            served += 1;
            served_long = waiter.data == FOREVER_MARK;
            ready::ready(waiter.g);
        }
        assert_eq!(long.join().unwrap(), OUTCOME_SERVED);
        assert_eq!(served, 1 + usize::from(short.join().unwrap() == OUTCOME_SERVED));
    });
}

/// A waker that reserves a waiter keeps it parked until it serves it or sends it back.
#[test]
fn loom_a_reserved_waiter_learns_how_it_ended() {
    for serves in [true, false] {
        check(move |model| {
            // SAFETY: alone yet.
            model.gift.with_mut(|gift| unsafe { *gift = 7 });
            let waiter = spawn(&model, |m| m.wait(Until::deadline(1)));
            let reserved = model.queue.lock().pop_reserved();
            let was_there = reserved.is_some();
            match reserved {
                // SAFETY: there is nothing to move.
                Some(waiter) if serves => unsafe { waiter.serve() },
                Some(waiter) => waiter.send_back(),
                None => {}
            }
            let expected = match (was_there, serves) {
                (true, true) => OUTCOME_SERVED,
                (true, false) => OUTCOME_OTHER,
                (false, _) => TIMED_OUT,
            };
            assert_eq!(waiter.join().unwrap(), expected);
        });
    }
}
