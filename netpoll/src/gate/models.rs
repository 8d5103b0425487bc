//! Job: the gate under every interleaving of a few threads.
//! Not here: the kernel itself; an atomic flag stands for what it has in store.
//!
//! A lost wake-up is a waiter that never comes back from its wait, which loom reports as a
//! deadlock. Nodes are loom cells: touching one that its owner uses again is reported as a race.

use loom::sync::atomic::{AtomicBool, AtomicUsize};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::*;

/// What a waiter refers to: who claimed it, and its wake-up.
struct Waiter {
    claimed: AtomicBool,
    woken: Notify,
}

/// The waiter's own reference. Not loom's `Arc`: it is scaffolding, and no step of the model.
struct Owned(std::sync::Arc<Waiter>);

impl Owned {
    fn new() -> Owned {
        let (claimed, woken) = (AtomicBool::new(false), Notify::new());
        Owned(std::sync::Arc::new(Waiter { claimed, woken }))
    }

    fn node(&self) -> WaitNode {
        WaitNode::new(std::ptr::from_ref(self).expose_provenance())
    }

    fn try_claim(&self) -> bool {
        !self.0.claimed.swap(true, Ordering::AcqRel)
    }

    fn wait(&self) {
        while !self.0.claimed.load(Ordering::Acquire) {
            self.0.woken.wait();
        }
    }
}

/// Wakes at once, the hardest case: the waiter may be gone before the poller lets go of the lock.
struct Wake;

impl Sink for Wake {
    unsafe fn claim(&mut self, waiter: usize) -> bool {
        // SAFETY: the waiters of these models cannot leave before the claim.
        let waiter = unsafe { &*std::ptr::with_exposed_provenance::<Owned>(waiter) };
        let mine = Owned(waiter.0.clone());
        let won = mine.try_claim();
        if won {
            mine.0.woken.notify();
        }
        won
    }
}

/// An open gate, of which a first call has found nothing.
fn drained() -> (Arc<Gate>, u32) {
    let gate = Arc::new(Gate::new());
    let generation = gate.open();
    gate.clear(gate.load());
    (gate, generation)
}

/// Waits once, if it must; the answer of the attempt.
fn wait_once(gate: &Gate, seen: Readiness) -> Enqueued {
    let waiter = Box::new(Owned::new());
    let node = waiter.node();
    // SAFETY: the node stays until its waiter was claimed.
    let answer = unsafe { gate.enqueue(seen, &node) };
    if answer == Enqueued::Queued {
        waiter.wait();
    }
    answer
}

/// Waits as a goroutine does, until `call` finds something (true) or the gate is closed (false).
fn wait_for(gate: &Gate, call: impl Fn() -> bool) -> bool {
    loop {
        let seen = gate.load();
        if seen.is_closed() {
            return false;
        }
        if call() {
            return true;
        }
        gate.clear(seen);
        match wait_once(gate, seen) {
            Enqueued::Queued => {}
            Enqueued::Retry => thread::yield_now(), // loads are not stale for ever
            Enqueued::Closed => return false,
        }
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn loom_no_event_is_lost_between_clear_and_enqueue() {
    model(|| {
        let gate = Arc::new(Gate::new());
        let generation = gate.open();
        let data = Arc::new(AtomicUsize::new(0));
        let (other, kernel) = (gate.clone(), data.clone());
        let poller = thread::spawn(move || {
            for _ in 0..2 {
                kernel.fetch_add(1, Ordering::Release);
                let _ = other.event(generation, false, &mut Wake);
            }
        });
        for got in 0..2 {
            assert!(wait_for(&gate, || data.load(Ordering::Acquire) > got));
        }
        poller.join().unwrap();
    });
}

#[test]
fn loom_a_close_stops_a_wait_or_ends_it() {
    model(|| {
        let (gate, _) = drained();
        let other = gate.clone();
        let closer = thread::spawn(move || {
            assert!(other.close());
            let _ = other.wake_all(&mut Wake);
        });
        assert!(!wait_for(&gate, || false));
        closer.join().unwrap();
    });
}

#[test]
fn loom_one_event_wakes_two_waiters() {
    model(|| {
        let (gate, generation) = drained();
        let data = Arc::new(AtomicBool::new(false));
        let waiters = [0, 1].map(|_| {
            let (gate, data) = (gate.clone(), data.clone());
            thread::spawn(move || assert!(wait_for(&gate, || data.load(Ordering::Acquire))))
        });
        data.store(true, Ordering::Release);
        let _ = gate.event(generation, false, &mut Wake);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn loom_a_timed_out_waiter_leaves_with_its_node() {
    model(|| {
        let (gate, generation) = drained();
        let waiter = Box::new(Owned::new());
        let node = Box::new(waiter.node());
        // SAFETY: the node stays until it was claimed by the event or removed.
        let answer = unsafe { gate.enqueue(gate.load(), &node) };
        assert_eq!(answer, Enqueued::Queued);
        let other = gate.clone();
        let poller = thread::spawn(move || other.event(generation, false, &mut Wake));
        if waiter.try_claim() {
            // SAFETY: queued on this gate, or taken off.
            unsafe { gate.remove(&node) };
        } else {
            waiter.wait();
        }
        // Any later access by the poller is a race with this one.
        // SAFETY: on no queue any more.
        assert!(unsafe { !WaitQueue::new().unlink(&node) });
        drop((node, waiter));
        let count = poller.join().unwrap();
        assert!(count.claimed <= count.taken && count.taken <= 1);
    });
}

#[test]
fn loom_removing_one_waiter_keeps_the_other() {
    model(|| {
        let (gate, generation) = drained();
        let waiter = Owned::new();
        let node = waiter.node();
        // SAFETY: removed below.
        assert_eq!(unsafe { gate.enqueue(gate.load(), &node) }, Enqueued::Queued);
        let data = Arc::new(AtomicBool::new(false));
        let (other, kernel) = (gate.clone(), data.clone());
        let stays = thread::spawn(move || {
            assert!(wait_for(&other, || kernel.load(Ordering::Acquire)));
        });
        let other = gate.clone();
        let poller = thread::spawn(move || {
            data.store(true, Ordering::Release);
            let _ = other.event(generation, false, &mut Wake);
        });
        // SAFETY: queued on this gate, or taken off.
        unsafe { gate.remove(&node) };
        poller.join().unwrap();
        stays.join().unwrap();
    });
}

#[test]
fn loom_who_waits_by_an_old_deadline_is_told() {
    model(|| {
        let (gate, _) = drained();
        let expired = Arc::new(AtomicBool::new(false));
        let (other, deadline) = (gate.clone(), expired.clone());
        let setter = thread::spawn(move || {
            deadline.store(true, Ordering::Relaxed); // the tick publishes it
            let _ = other.wake_all(&mut Wake);
        });
        assert!(wait_for(&gate, || expired.load(Ordering::Relaxed)));
        setter.join().unwrap();
    });
}

#[test]
fn loom_a_stale_event_does_not_reach_the_next_owner() {
    model(|| {
        let (gate, old) = drained();
        let other = gate.clone();
        let poller = thread::spawn(move || other.event(old, false, &mut Wake));
        // The old owner's last waiter leaves, the gate changes hands, a new waiter comes.
        let waiters = [Owned::new(), Owned::new()];
        let nodes = [waiters[0].node(), waiters[1].node()];
        // SAFETY: both nodes are removed before the end.
        unsafe {
            if gate.enqueue(gate.load(), &nodes[0]) == Enqueued::Queued {
                gate.remove(&nodes[0]);
            }
            gate.retire();
            assert_eq!(gate.open(), old + 1);
            let seen = gate.load();
            gate.clear(seen);
            assert_eq!(gate.enqueue(gate.load(), &nodes[1]), Enqueued::Queued);
            let count = poller.join().unwrap();
            assert!(gate.remove(&nodes[1]), "the new waiter was taken");
            assert!(!gate.load().is_ready());
            assert_eq!(count.claimed, usize::from(waiters[0].0.claimed.load(Ordering::Relaxed)));
        }
    });
}
