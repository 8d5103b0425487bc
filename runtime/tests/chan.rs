//! Job: channels: what arrives, in which order, who waits and who is woken; from goroutines, from
//!   plain threads and from both.

mod common;

use common::{until, watched};
use gusty::chan::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);
const CAPACITIES: [usize; 6] = [0, 1, 2, 64, 1000, usize::MAX];

/// Starts `f` on a goroutine or on a thread; the result waits for it.
fn start<T: Send + 'static>(
    on_thread: bool,
    f: impl FnOnce() -> T + Send + 'static,
) -> Box<dyn FnOnce() -> T> {
    if on_thread {
        let handle = thread::spawn(f);
        Box::new(move || handle.join().unwrap())
    } else {
        let handle = gusty::spawn(f);
        Box::new(move || handle.join().unwrap())
    }
}

/// Waits until all these goroutines are parked for `reason`, as a dump shows it.
fn until_parked<'a, T: 'a>(
    handles: impl IntoIterator<Item = &'a gusty::JoinHandle<T>> + Clone,
    reason: &str,
) {
    until(|| {
        let dump = gusty::runtime::dump();
        let lines = dump.lines().filter_map(|line| line.split_inclusive(']').next());
        let parked: HashSet<&str> = lines.collect();
        let line = |id| format!("goroutine {id} [{reason}]");
        let mut handles = handles.clone().into_iter();
        handles.all(|handle| parked.contains(line(handle.goroutine().id()).as_str()))
    });
}

#[test]
fn each_sender_arrives_in_order() {
    watched("each_sender_arrives_in_order", || {
        for capacity in CAPACITIES {
            for kinds in 0..4 {
                let (tx, rx) = chan::bounded(capacity);
                let sent =
                    start(kinds & 1 != 0, move || (0..500).for_each(|i| tx.send(i).unwrap()));
                let got = start(kinds & 2 != 0, move || rx.iter().collect::<Vec<_>>());
                assert_eq!(got(), (0..500).collect::<Vec<_>>(), "capacity {capacity}");
                sent();
            }
        }
    });
}

#[test]
fn eight_by_eight_lose_and_double_nothing() {
    const EACH: u64 = 2_000;
    watched("eight_by_eight_lose_and_double_nothing", || {
        for capacity in CAPACITIES {
            let (tx, rx) = chan::bounded(capacity);
            let senders: Vec<_> = (0..8)
                .map(|s| {
                    let tx: Sender<(u64, u64)> = tx.clone();
                    start(s % 4 == 0, move || (0..EACH).for_each(|i| tx.send((s, i)).unwrap()))
                })
                .collect();
            let receivers: Vec<_> = (0..8)
                .map(|r| {
                    let rx: Receiver<(u64, u64)> = rx.clone();
                    start(r % 4 == 0, move || rx.iter().collect::<Vec<_>>())
                })
                .collect();
            drop((tx, rx));
            senders.into_iter().for_each(|sender| sender());
            let mut seen = HashSet::new();
            for received in receivers.into_iter().map(|receiver| receiver()) {
                let mut last = [None; 8];
                for (s, i) in received {
                    assert!(seen.insert((s, i)), "twice: {s} {i}");
                    // One receiver sees one sender's values in order.
                    assert!(last[s as usize] < Some(i), "order: {s} {i}");
                    last[s as usize] = Some(i);
                }
            }
            assert_eq!(seen.len() as u64, 8 * EACH);
        }
    });
}

#[gusty::test]
fn waiting_receivers_and_senders_are_served_in_order() {
    let (tx, rx) = chan::bounded::<usize>(0);
    let (log, order) = chan::unbounded();
    for i in 0..10 {
        let (rx, log) = (rx.clone(), log.clone());
        let waiter = gusty::spawn(move || log.send((i, rx.recv().unwrap())).unwrap());
        until_parked([&waiter], "chan receive");
    }
    (0..10).for_each(|i| tx.send(i).unwrap());
    let mut got: Vec<_> = order.iter().take(10).collect();
    got.sort_unstable();
    assert!(got.iter().all(|(waiter, value)| waiter == value), "{got:?}");

    for i in 0..10 {
        let tx = tx.clone();
        until_parked([&gusty::spawn(move || tx.send(i).unwrap())], "chan send");
    }
    assert_eq!(rx.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[gusty::test]
fn a_receive_from_a_full_buffer_moves_the_first_waiting_sender_in() {
    let (tx, rx) = chan::bounded(2);
    tx.send(0).unwrap();
    tx.send(1).unwrap();
    for i in 2..5 {
        let tx = tx.clone();
        until_parked([&gusty::spawn(move || tx.send(i).unwrap())], "chan send");
    }
    for i in 0..5 {
        assert_eq!(rx.len(), 2.min(5 - i));
        assert_eq!(rx.recv(), Ok(i));
    }
    assert!(rx.is_empty());
}

#[gusty::test]
fn dropping_all_senders_ends_the_receivers_after_the_last_value() {
    for capacity in [1, 64, usize::MAX] {
        let (tx, rx) = chan::bounded(capacity);
        tx.send(1).unwrap();
        drop(tx.clone());
        assert!(!rx.is_closed());
        drop(tx);
        assert!(rx.is_closed());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(rx.recv(), Err(RecvError));
        assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Disconnected));
    }
    let (tx, rx) = chan::bounded::<u8>(0);
    let waiting = gusty::spawn(move || rx.recv());
    until_parked([&waiting], "chan receive");
    drop(tx);
    assert_eq!(waiting.join().unwrap(), Err(RecvError));
}

#[test]
fn close_wakes_both_sides_and_keeps_the_buffer() {
    watched("close_wakes_both_sides_and_keeps_the_buffer", || {
        for on_thread in [false, true] {
            let (tx, rx) = chan::bounded(1);
            tx.send(0).unwrap();
            let sender = {
                let tx = tx.clone();
                start(on_thread, move || tx.send(1))
            };
            assert!(rx.close());
            assert!(!tx.close() && !rx.close());
            assert!(tx.is_closed() && rx.is_closed());
            // It waited, or it came after the close: refused either way.
            assert_eq!(sender(), Err(SendError(1)));
            assert_eq!(tx.send(2), Err(SendError(2)));
            assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)));
            assert_eq!(tx.send_timeout(2, SHORT), Err(SendTimeoutError::Disconnected(2)));
            assert_eq!(rx.recv(), Ok(0));
            assert_eq!(rx.recv(), Err(RecvError));

            let (tx, rx) = chan::bounded::<u8>(0);
            let receiver = start(on_thread, move || rx.recv());
            assert!(tx.close());
            assert_eq!(receiver(), Err(RecvError));
        }
    });
}

#[gusty::test]
fn close_reaches_many_waiters() {
    let n = common::scaled(20_000);
    let (tx, rx) = chan::bounded::<u8>(0);
    let waiters: Vec<_> = (0..n)
        .map(|i| {
            let rx = rx.clone();
            gusty::spawn(move || match i % 2 {
                0 => rx.recv().is_err(),
                _ => rx.recv_timeout(Duration::from_secs(3600)).is_err(),
            })
        })
        .collect();
    until_parked(&waiters, "chan receive");
    tx.close();
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
}

#[test]
fn timeouts_pass_and_leave_the_channel_as_it_was() {
    watched("timeouts_pass_and_leave_the_channel_as_it_was", || {
        for on_thread in [false, true] {
            start(on_thread, || {
                let (tx, rx) = chan::bounded(0);
                let past = Instant::now();
                for _ in 0..3 {
                    assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
                    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Timeout));
                    assert_eq!(tx.send_timeout(1, SHORT), Err(SendTimeoutError::Timeout(1)));
                    assert_eq!(tx.send_deadline(1, past), Err(SendTimeoutError::Timeout(1)));
                }
                // Nobody is left in the queues: neither would find the other's ghost.
                assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                let long = Duration::from_secs(3600);
                let sender = gusty::spawn(move || tx.send_timeout(2, long));
                assert_eq!(rx.recv_timeout(Duration::MAX), Ok(2));
                assert_eq!(sender.join().unwrap(), Ok(()));
            })();
        }
    });
}

#[gusty::test]
fn deadlines_that_race_with_values_lose_none() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let receiver = gusty::spawn(move || {
        let mut got = Vec::new();
        loop {
            match rx.recv_timeout(Duration::from_micros(20)) {
                Ok(value) => got.push(value),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return got,
            }
        }
    });
    let mut sent = Vec::new();
    for i in 0..2_000 {
        if tx.send_timeout(i, Duration::from_micros(u64::from(i % 40))).is_ok() {
            sent.push(i);
        }
    }
    drop(tx);
    assert_eq!(receiver.join().unwrap(), sent);
}
