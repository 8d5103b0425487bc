//! Job: sends and receives that end with a context: what is given up has moved nothing, and nothing
//!   is begun under one that has ended.
//! Not here: contexts themselves (`context_tree`), selects with other ends (`chan_select`).

mod common;

use common::{Rng, scaled, until, watched};
use gusty::chan::{self, Receiver, RecvCtxError, SendCtxError, Sender};
use gusty::context::{self, Context, Error};
use gusty::time::{Duration, Instant};
use gusty::{go, select, spawn};

/// Runs `f` on a plain thread, and once more on a goroutine.
fn on_both(name: &str, f: fn()) {
    watched(name, || {
        f();
        spawn(f).join().unwrap();
    });
}

fn ended() -> Context {
    let (ctx, cancel) = context::with_cancel(&context::background());
    cancel.cancel();
    ctx
}

#[test]
fn under_an_ended_context_nothing_moves() {
    on_both("under_an_ended_context_nothing_moves", || {
        let (ctx, (tx, rx)) = (ended(), chan::bounded(2));
        tx.send(1).unwrap();
        assert_eq!(tx.send_ctx(&ctx, 2), Err(SendCtxError::Ended(2, Error::Cancelled)));
        assert_eq!(rx.recv_ctx(&ctx), Err(RecvCtxError::Ended(Error::Cancelled)));
        assert_eq!(rx.try_recv(), Ok(1));
        tx.close();
        // That it is closed as well is not looked at.
        assert_eq!(tx.send_ctx(&ctx, 3), Err(SendCtxError::Ended(3, Error::Cancelled)));
        assert_eq!(rx.recv_ctx(&ctx), Err(RecvCtxError::Ended(Error::Cancelled)));
        let now = Instant::now();
        assert!(chan::at(now).recv_ctx(&ctx).unwrap_err().is_cancelled());
    });
}

#[test]
fn what_is_possible_at_once_is_done_under_a_context_that_goes_on() {
    on_both("what_is_possible_at_once_is_done_under_a_context_that_goes_on", || {
        let (ctx, _cancel) = context::with_cancel(&context::background());
        let (tx, rx) = chan::bounded(1);
        assert_eq!(tx.send_ctx(&ctx, 1), Ok(()));
        assert_eq!(rx.recv_ctx(&ctx), Ok(1));
        drop(rx);
        assert_eq!(tx.send_ctx(&ctx, 3), Err(SendCtxError::Disconnected(3)));
        let (tx, rx) = chan::unbounded();
        tx.send(4).unwrap();
        assert!(tx.close());
        assert_eq!(rx.recv_ctx(&ctx), Ok(4));
        assert_eq!(rx.recv_ctx(&ctx), Err(RecvCtxError::Disconnected));
    });
}

/// A receiver that never has to wait learns of the end all the same.
#[test]
fn a_loop_over_a_channel_that_is_never_empty_ends() {
    on_both("a_loop_over_a_channel_that_is_never_empty_ends", || {
        let (ctx, cancel) = context::with_cancel(&context::background());
        let (tx, rx) = chan::unbounded();
        let mut received = 0;
        tx.send(()).unwrap();
        while rx.recv_ctx(&ctx).is_ok() {
            tx.send(()).unwrap();
            received += 1;
            if received == 100 {
                cancel.cancel();
            }
        }
        assert_eq!(received, 100);
    });
}

#[test]
fn a_wait_ends_with_its_context() {
    on_both("a_wait_ends_with_its_context", || {
        for capacity in [0, 1] {
            let (tx, rx) = chan::bounded(capacity);
            (0..capacity).for_each(|_| tx.send("full".to_owned()).unwrap());
            let (ctx, cancel) = context::with_cancel(&context::background());
            go!(move || cancel.cancel());
            let error = tx.send_ctx(&ctx, "back".to_owned()).unwrap_err();
            assert!(error.is_cancelled() && !error.is_disconnected());
            assert_eq!(error.to_string(), "sending on a channel: context cancelled");
            assert_eq!(error.into_inner(), "back");
            (0..capacity).for_each(|_| assert_eq!(rx.recv().unwrap(), "full"));

            let millisecond = Duration::from_millis(1);
            let (ctx, _cancel) = context::with_timeout(&context::background(), millisecond);
            let error = rx.recv_ctx(&ctx).unwrap_err();
            assert_eq!(error, RecvCtxError::Ended(Error::DeadlineExceeded));
            let text = "receiving on a channel: context deadline exceeded";
            assert_eq!(error.to_string(), text);
            assert!(tx.is_empty() && rx.try_recv().is_err()); // nobody waits any more
        }
    });
}

#[test]
fn receivers_of_moments_know_contexts() {
    on_both("receivers_of_moments_know_contexts", || {
        let (ctx, cancel) = context::with_cancel(&context::background());
        go!(move || cancel.cancel());
        let hour = Duration::from_secs(3600);
        assert!(chan::after(hour).recv_ctx(&ctx).unwrap_err().is_cancelled());
        assert!(chan::never::<u8>().recv_ctx(&ctx).unwrap_err().is_cancelled());
        let now = Instant::now();
        assert_eq!(chan::at(now).recv_ctx(&context::background()), Ok(now));
    });
}

#[test]
fn a_close_is_not_the_end_of_the_context() {
    on_both("a_close_is_not_the_end_of_the_context", || {
        let (ctx, _cancel) = context::with_cancel(&context::background());
        let (tx, rx) = chan::bounded::<u8>(0);
        let (sender, receiver, theirs) = (tx.clone(), rx.clone(), ctx.clone());
        let closer = spawn(move || until_closed(&sender, "[chan receive]"));
        assert_eq!(receiver.recv_ctx(&theirs), Err(RecvCtxError::Disconnected));
        closer.join().unwrap();
        assert!(tx.send_ctx(&ctx, 1).unwrap_err().is_disconnected());
    });

    fn until_closed(tx: &Sender<u8>, waiting: &str) {
        // A plain thread is in no dump: then the close comes first or later, both are fine.
        if gusty::runtime::num_goroutine() > 1 {
            until(|| gusty::runtime::dump().contains(waiting));
        }
        assert!(tx.close());
    }
}

/// How a worker of the storm does one operation until it has succeeded, or is over.
type Ends = [(Sender<u64>, Receiver<u64>); 2];

/// A context that ends after up to so many yields.
fn soon(rng: &mut Rng) -> Context {
    let (ctx, cancel) = context::with_cancel(&context::background());
    let pause = rng.below(4);
    go!(move || {
        (0..pause).for_each(|_| gusty::yield_now());
        cancel.cancel();
    });
    ctx
}

fn send(ends: &Ends, rng: &mut Rng, mut value: u64) {
    let [(a, _), (b, _)] = ends;
    loop {
        let ctx = soon(rng);
        let tx = if rng.below(2) == 0 { a } else { b };
        match rng.below(4) {
            0 => match tx.send_timeout(value, Duration::from_micros(50)) {
                Ok(()) => return,
                Err(error) => value = error.into_inner(),
            },
            1 => select! {
                send(a, value) -> sent => return sent.unwrap(),
                send(b, value) -> sent => return sent.unwrap(),
                recv(ctx.done()) -> nothing => assert!(nothing.is_err()),
            },
            _ => match tx.send_ctx(&ctx, value) {
                Ok(()) => return,
                Err(error) => {
                    assert!(error.is_cancelled() && ctx.err().is_some());
                    value = error.into_inner();
                }
            },
        }
    }
}

/// Receives until both channels are closed.
fn receive(ends: Ends, rng: &mut Rng) -> Vec<u64> {
    let [(_, a), (_, b)] = ends;
    let mut got = Vec::new();
    let mut open = [true; 2];
    while open != [false; 2] {
        let ctx = soon(rng);
        let which = rng.below(2);
        if rng.below(4) == 0 {
            select! {
                recv(a) -> value => got.extend(value),
                recv(b) -> value => got.extend(value),
                recv(ctx.done()) -> nothing => assert!(nothing.is_err()),
            }
            continue;
        }
        match [&a, &b][which].recv_ctx(&ctx) {
            Ok(value) => got.push(value),
            Err(RecvCtxError::Disconnected) => open[which] = false,
            Err(RecvCtxError::Ended(error)) => assert_eq!(ctx.err(), Some(error)),
        }
    }
    got
}

#[test]
fn every_value_of_a_storm_arrives_once() {
    const WORKERS: u64 = 6;
    watched("every_value_of_a_storm_arrives_once", || {
        for capacities in [[0, 0], [0, 1], [1, 5]] {
            let each = scaled(1_000) as u64;
            let ends = capacities.map(chan::bounded);
            let sender = |k: u64| {
                let (ends, mut rng) = (ends.clone(), Rng(k));
                move || (0..each).for_each(|i| send(&ends, &mut rng, k * each + i))
            };
            let receiver = |k: u64| {
                let (ends, mut rng) = (ends.clone(), Rng(100 + k));
                move || receive(ends, &mut rng)
            };
            let receivers: Vec<_> = (1..WORKERS).map(|k| spawn(receiver(k))).collect();
            let on_thread = (std::thread::spawn(receiver(0)), std::thread::spawn(sender(0)));
            let senders: Vec<_> = (1..WORKERS).map(|k| spawn(sender(k))).collect();
            senders.into_iter().for_each(|handle| handle.join().unwrap());
            on_thread.1.join().unwrap();
            ends.iter().for_each(|(tx, _)| assert!(tx.close()));
            let mut got = on_thread.0.join().unwrap();
            receivers.into_iter().for_each(|handle| got.extend(handle.join().unwrap()));
            got.sort_unstable();
            assert!(got.into_iter().eq(0..WORKERS * each), "capacities {capacities:?}");
        }
    });
}
