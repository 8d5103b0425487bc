//! Job: what Go's own tests ask of channels, asked of ours: one test a row of the list of candidates.
//! Not here: select (`conformance_select`).

mod common;

use common::{scaled, until};
use gusty::chan::{self, Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError};
use gusty::sync::WaitGroup;
use gusty::{go, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Row 1: what blocks and what does not, closing, order, 4 x 4, at all capacities.
#[gusty::test]
fn row_1_channels_at_every_capacity() {
    for capacity in 0..200 {
        empty_and_full(capacity);
        closing(capacity);
        in_order(capacity);
        four_by_four(capacity);
    }
}

fn empty_and_full(capacity: usize) {
    let (tx, rx) = chan::bounded(capacity);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let received = Arc::new(AtomicBool::new(false));
    let flag = received.clone();
    let clone = rx.clone();
    let receiver = spawn(move || {
        assert_eq!(clone.recv(), Ok(0));
        flag.store(true, Ordering::Relaxed);
    });
    yield_now();
    assert!(!received.load(Ordering::Relaxed), "received from an empty channel");
    tx.send(0).unwrap();
    receiver.join().unwrap();
    for i in 0..capacity {
        assert_eq!((tx.len(), tx.capacity()), (i, Some(capacity)));
        tx.send(i).unwrap();
    }
    assert_eq!(tx.try_send(7), Err(TrySendError::Full(7)));
    let sent = Arc::new(AtomicBool::new(false));
    let flag = sent.clone();
    let clone = tx.clone();
    let sender = spawn(move || {
        clone.send(0).unwrap();
        flag.store(true, Ordering::Relaxed);
    });
    yield_now();
    assert!(!sent.load(Ordering::Relaxed), "sent to a full channel");
    rx.recv().unwrap();
    sender.join().unwrap();
}

fn closing(capacity: usize) {
    let (tx, rx) = chan::bounded(capacity);
    (0..capacity).for_each(|i| tx.send(i).unwrap());
    tx.close();
    assert!((0..capacity).all(|i| rx.recv() == Ok(i)));
    assert_eq!(rx.recv(), Err(RecvError));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));

    let (tx, rx) = chan::bounded::<u8>(capacity);
    let receiver = spawn(move || rx.recv());
    yield_now();
    tx.close();
    assert_eq!(receiver.join().unwrap(), Err(RecvError));
}

fn in_order(capacity: usize) {
    let (tx, rx) = chan::bounded(capacity);
    go!(move || (0..100).for_each(|i| tx.send(i).unwrap()));
    assert!((0..100).all(|i| rx.recv() == Ok(i)));
}

fn four_by_four(capacity: usize) {
    const EACH: usize = 100;
    let (tx, rx) = chan::bounded(capacity);
    for _ in 0..4 {
        let tx = tx.clone();
        go!(move || (0..EACH).for_each(|i| tx.send(i).unwrap()));
    }
    drop(tx);
    let receivers: Vec<_> = (0..4).map(|_| rx.clone()).map(|rx| spawn(move || rx)).collect();
    let mut seen = vec![0; EACH];
    for receiver in receivers {
        let rx = receiver.join().unwrap();
        (0..EACH).for_each(|_| seen[rx.recv().unwrap()] += 1);
    }
    assert!(seen.iter().all(|&n| n == 4), "{seen:?}");
}

/// Row 2: a full channel that is closed at the same time never looks empty.
#[gusty::test]
fn row_2_a_full_channel_never_looks_empty() {
    for _ in 0..scaled(1000) {
        let (tx, rx) = chan::bounded(1);
        tx.send(1).unwrap();
        go!(move || tx.close());
        assert_eq!(rx.try_recv(), Ok(1));
    }
}

/// Row 9: 23 workers pass everything on, nothing is lost, and the end cascades.
#[gusty::test]
fn row_9_many_consumers() {
    const PRIMES: [usize; 6] = [2, 3, 5, 7, 11, 13];
    let items = scaled(271_828);
    let (queue, work) = chan::bounded::<usize>(23 * 2);
    let (results, out) = chan::bounded::<usize>(23 * 2);
    for worker in 0..23 {
        let (work, results) = (work.clone(), results.clone());
        go!(move || for value in work {
            if PRIMES[value % PRIMES.len()] == worker {
                yield_now(); // not all alike
            }
            results.send(value).unwrap();
        });
    }
    drop(results);
    let expected: usize = (0..items).map(|i| i % 1013).sum();
    go!(move || (0..items).for_each(|i| queue.send(i % 1013).unwrap()));
    let (count, sum) = out.iter().fold((0, 0), |(count, sum), value| (count + 1, sum + value));
    assert_eq!((count, sum), (items, expected));
}

/// Row 17: values and waiting senders keep their order.
#[gusty::test]
fn row_17_first_in_first_out() {
    let (tx, rx) = chan::bounded(10);
    (0..10).for_each(|i| tx.send(i).unwrap());
    assert!((0..10).all(|i| rx.recv() == Ok(i)));

    let (tx, rx) = chan::bounded(0);
    for i in 0..10 {
        let tx = tx.clone();
        let sender = spawn(move || tx.send(i).unwrap());
        let line = format!("goroutine {} [chan send]", sender.goroutine().id());
        until(|| gusty::runtime::dump().contains(&line));
    }
    assert!((0..10).all(|i| rx.recv() == Ok(i)));
}

/// Row 18: a chain of 10,000 goroutines passes one value.
#[gusty::test]
fn row_18_a_long_chain() {
    let (leftmost, mut left) = chan::bounded(0);
    for _ in 0..10_000 {
        let (tx, right) = chan::bounded(0);
        let from = std::mem::replace(&mut left, right);
        go!(move || tx.send(from.recv().unwrap() + 1).unwrap());
    }
    leftmost.send(0).unwrap();
    assert_eq!(left.recv(), Ok(10_000));
}

/// Row 19: trying, on channels with and without buffer, with values of several types.
#[gusty::test]
fn row_19_without_blocking() {
    fn check<T: Clone + PartialEq + std::fmt::Debug + Send + 'static>(value: T) {
        for capacity in [0, 1] {
            let (tx, rx) = chan::bounded(capacity);
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            let (clone, copy) = (tx.clone(), value.clone());
            go!(move || clone.send(copy).unwrap());
            until(|| match rx.try_recv() {
                Ok(got) => got == value,
                Err(error) => !error.is_empty(),
            });
            let receiver = spawn(move || rx.recv());
            until(|| tx.try_send(value.clone()).is_ok());
            assert_eq!(receiver.join().unwrap(), Ok(value.clone()));
        }
    }
    check(123_i32);
    check(true);
    check("hello".to_owned());
    check(vec![1.5, 2.5]);
    check([7u64; 16]);
    check(());
}

/// Row 27: the prime sieve, without and with buffers.
#[gusty::test]
fn row_27_the_prime_sieve() {
    const PRIMES: [u32; 25] = [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97,
    ];
    for capacity in [0, 1, 16] {
        let (tx, mut numbers) = chan::bounded(capacity);
        go!(move || (2..).try_for_each(|n| tx.send(n)));
        for prime in PRIMES {
            assert_eq!(numbers.recv(), Ok(prime));
            let (tx, rest) = chan::bounded(capacity);
            let from = std::mem::replace(&mut numbers, rest);
            go!(move || from.iter().filter(|n| n % prime != 0).try_for_each(|n| tx.send(n)));
        }
    }
}

/// Row 28: values without size.
#[gusty::test]
fn row_28_values_without_size() {
    for capacity in [0, 1, 5, usize::MAX] {
        let (tx, rx) = chan::bounded::<()>(capacity);
        let sender = spawn(move || (0..1000).for_each(|_| tx.send(()).unwrap()));
        assert_eq!(rx.iter().count(), 1000);
        sender.join().unwrap();
    }
}

/// Row 29: every operation on closed channels.
#[gusty::test]
fn row_29_closed_channels() {
    for capacity in [0, 1, 2] {
        let (tx, rx): (Sender<u8>, Receiver<u8>) = chan::bounded(capacity);
        (0..capacity as u8).for_each(|i| tx.send(i).unwrap());
        assert!(tx.close());
        assert!(!tx.close() && !rx.close(), "closed once");
        assert!(tx.is_closed() && rx.is_closed());
        assert_eq!(tx.send(9), Err(SendError(9)));
        assert_eq!(tx.try_send(9), Err(TrySendError::Disconnected(9)));
        assert!((0..capacity as u8).all(|i| rx.recv() == Ok(i)));
        for _ in 0..3 {
            assert_eq!(rx.recv(), Err(RecvError));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(rx.iter().next(), None);
        }
    }
}

/// Row 9, again: a group of workers ends when the channel does, on a wait group.
#[gusty::test]
fn row_9_workers_end_with_their_channel() {
    let (group, sum) = (Arc::new(WaitGroup::new()), Arc::new(AtomicU64::new(0)));
    let alive = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = chan::bounded::<u64>(4);
    for _ in 0..10 {
        group.add(1);
        let (rx, group, sum, alive) = (rx.clone(), group.clone(), sum.clone(), alive.clone());
        go!(move || {
            alive.fetch_add(1, Ordering::Relaxed);
            for n in rx {
                sum.fetch_add(n, Ordering::Relaxed);
            }
            alive.fetch_sub(1, Ordering::Relaxed);
            group.done();
        });
    }
    (1..=1000).for_each(|n| tx.send(n).unwrap());
    tx.close();
    group.wait();
    assert_eq!(sum.load(Ordering::Relaxed), 500_500);
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}
