//! Job: the loom models of one channel: the real code, between senders, receivers and those who close.
//! Layer: L3 (blocking)
//! Not here: sends in two steps (`select_models`).

use std::ptr::NonNull;
use std::sync::Arc as Counted;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::channel::{Channel, Outcome, UNBOUNDED, give, take};
use super::share::Shared;
use crate::sched::park;
use crate::wait::Until;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

/// A limit that passes as soon as somebody waits.
const SOON: Until<'_> = Until::deadline(1);
/// A meeting, one place, no bound.
const CAPACITIES: [usize; 3] = [0, 1, UNBOUNDED];

/// What is sent: loom sees whether it was written before it is read.
pub(super) struct Value {
    cell: UnsafeCell<usize>,
    drops: Counted<AtomicUsize>,
}

impl Value {
    pub(super) fn read(&self) -> usize {
        // SAFETY: written before it was sent.
        self.cell.with(|value| unsafe { *value })
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// A channel and the number of values that were dropped.
pub(super) struct Model {
    pub(super) channel: Channel<Box<Value>>,
    drops: Counted<AtomicUsize>,
}

impl Model {
    pub(super) fn value(&self, n: usize) -> Box<Value> {
        let value = Value { cell: UnsafeCell::new(0), drops: self.drops.clone() };
        // SAFETY: nobody else has it yet.
        value.cell.with_mut(|value| unsafe { *value = n });
        Box::new(value)
    }

    pub(super) fn send(&self, n: usize, until: Until<'_>) -> Outcome {
        // SAFETY: `give` keeps the promises about the value.
        match give(self.value(n), |value| unsafe { self.channel.send(value, until) }) {
            Ok(()) => Outcome::Done,
            Err((value, outcome)) => {
                assert_eq!(value.read(), n, "it comes back");
                outcome
            }
        }
    }

    pub(super) fn recv(&self, until: Until<'_>) -> Result<usize, Outcome> {
        // SAFETY: `take` keeps the promises about the room.
        take(|out| unsafe { self.channel.recv(out, until) }).map(|value| value.read())
    }

    fn try_recv(&self) -> Result<usize, Outcome> {
        // SAFETY: as above.
        take(|out| unsafe { self.channel.try_recv(out) }).map(|value| value.read())
    }

    /// Receives until the end.
    pub(super) fn recv_all(&self) -> usize {
        let mut sum = 0;
        loop {
            match self.recv(Until::FOREVER) {
                Ok(n) => sum += n,
                Err(outcome) => {
                    assert_eq!(outcome, Outcome::Closed);
                    return sum;
                }
            }
        }
    }
}

/// Runs `model` in every order, and counts at the end: as many values were dropped as it says.
pub(super) fn check(capacity: usize, model: impl Fn(Arc<Model>) -> usize + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(move || {
        park::current(); // before the others: making the first header orders nothing then
        let drops = Counted::new(AtomicUsize::new(0));
        let shared = Model { channel: Channel::new(capacity), drops: drops.clone() };
        let shared = Arc::new(shared);
        let values = model(shared.clone());
        drop(shared);
        assert_eq!(drops.load(Ordering::Relaxed), values, "each value is dropped once");
    });
}

pub(super) fn spawn<T: 'static>(
    model: &Arc<Model>,
    run: impl FnOnce(&Model) -> T + 'static,
) -> JoinHandle<T> {
    let model = model.clone();
    thread::spawn(move || run(&model))
}

#[test]
fn loom_two_senders_and_a_receiver() {
    for capacity in CAPACITIES {
        check(capacity, |model| {
            let senders = [1, 2].map(|n| spawn(&model, move |m| m.send(n, Until::FOREVER)));
            let got = [(); 2].map(|()| model.recv(Until::FOREVER).unwrap());
            assert_eq!(got[0] + got[1], 3);
            assert!(senders.map(|s| s.join().unwrap()).iter().all(|end| *end == Outcome::Done));
            2
        });
    }
}

#[test]
fn loom_a_sender_and_two_receivers() {
    for capacity in CAPACITIES {
        check(capacity, |model| {
            let receivers = [(); 2].map(|()| spawn(&model, |m| m.recv(Until::FOREVER).unwrap()));
            for n in [1, 2] {
                assert_eq!(model.send(n, Until::FOREVER), Outcome::Done);
            }
            assert_eq!(receivers.map(|r| r.join().unwrap()).iter().sum::<usize>(), 3);
            2
        });
    }
}

#[test]
fn loom_a_close_among_a_sender_and_a_receiver() {
    for capacity in CAPACITIES {
        check(capacity, |model| {
            let sender = spawn(&model, |m| m.send(1, Until::FOREVER));
            let closer = spawn(&model, |m| m.channel.close());
            let got = model.recv_all();
            let sent = sender.join().unwrap();
            assert!(closer.join().unwrap() && !model.channel.close());
            assert_eq!(got, usize::from(sent == Outcome::Done), "sent, and then received");
            1
        });
    }
}

#[test]
fn loom_limits_pass_on_both_sides() {
    for capacity in CAPACITIES {
        check(capacity, |model| {
            let sender = spawn(&model, |m| m.send(1, SOON));
            let got = model.recv(SOON);
            match (sender.join().unwrap(), got) {
                (Outcome::Done, Ok(1)) => {}
                (Outcome::NotNow, Err(Outcome::NotNow)) => {}
                (Outcome::Done, Err(Outcome::NotNow)) => assert_eq!(model.try_recv(), Ok(1)),
                other => panic!("{other:?}"),
            }
            assert_eq!(model.try_recv(), Err(Outcome::NotNow));
            1
        });
    }
}

/// A look takes no lock where it finds nothing: it may say so only if there was such a moment.
#[test]
fn loom_a_channel_that_is_never_open_and_empty_never_looks_so() {
    check(1, |model| {
        assert_eq!(model.send(1, Until::FOREVER), Outcome::Done);
        let other = spawn(&model, |m| {
            m.channel.close();
            m.try_recv()
        });
        let mine = model.try_recv();
        assert!(matches!(mine, Ok(1) | Err(Outcome::Closed)), "{mine:?}");
        assert!(mine.is_ok() ^ other.join().unwrap().is_ok());
        1
    });
}

#[test]
fn loom_a_channel_that_is_never_open_and_full_never_looks_so() {
    check(1, |model| {
        assert_eq!(model.send(1, Until::FOREVER), Outcome::Done);
        let other = spawn(&model, |m| {
            let got = m.recv(Until::FOREVER);
            m.channel.close();
            // Nobody can fill it again.
            got
        });
        let before = model.channel.is_closed();
        // SAFETY: `give` keeps the promises about the value.
        let sent = give(model.value(2), |value| unsafe { model.channel.try_send(value) });
        let outcome = sent.as_ref().err().map(|(_, outcome)| *outcome);
        assert!(!before || outcome == Some(Outcome::Closed), "{outcome:?}");
        drop(sent);
        assert_eq!(other.join().unwrap(), Ok(1));
        2
    });
}

#[test]
fn loom_who_finds_it_closed_sees_what_came_before() {
    check(1, |model| {
        let note = Arc::new(UnsafeCell::new(0));
        let theirs = note.clone();
        let closer = spawn(&model, move |m| {
            // SAFETY: read only once it is closed.
            theirs.with_mut(|note| unsafe { *note = 5 });
            m.channel.close()
        });
        while !model.channel.is_closed() {
            thread::yield_now();
        }
        // SAFETY: written before.
        assert_eq!(note.with(|note| unsafe { *note }), 5);
        closer.join().unwrap();
        0
    });
}

/// Handles of a channel, for one thread each.
#[derive(Clone, Copy)]
struct Handle(NonNull<Shared<u8>>);

// SAFETY: as handles are: counted by the share they own.
unsafe impl Send for Handle {}

impl Handle {
    fn drop_sender(self) {
        // SAFETY: owns a share, and is not used again.
        unsafe { Shared::drop_sender(self.0) };
    }
}

/// The last one out frees, and has seen all that the others did; loom's cell of `Shared` knows.
#[test]
fn loom_handles_go_in_any_order() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(|| {
        park::current();
        let handle = Handle(Shared::allocate(Channel::new(1)));
        // SAFETY: alive: our shares.
        unsafe { handle.0.as_ref() }.add_sender();
        let others = [(); 2].map(|()| {
            thread::spawn(move || {
                let handle = handle;
                // SAFETY: alive: this handle's share.
                let _len = unsafe { handle.0.as_ref() }.len();
                handle.drop_sender();
            })
        });
        // SAFETY: owns the receiver's share.
        unsafe {
            let _len = handle.0.as_ref().len();
            Shared::drop_receiver(handle.0);
        }
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
