//! Job: storms of selects: whatever happens at once, every value arrives once, whole, and is dropped
//!   once.

mod common;

use common::{scaled, watched};
use gusty::chan::{self, Receiver, Select, Sender};
use gusty::{select, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A value that knows whether it is whole, and counts itself.
struct Counted {
    alive: Arc<AtomicIsize>,
    from: u64,
    check: u64,
    text: String,
}

impl Counted {
    fn new(alive: &Arc<AtomicIsize>, from: u64) -> Counted {
        alive.fetch_add(1, Ordering::Relaxed);
        Counted { alive: alive.clone(), from, check: !from, text: from.to_string() }
    }

    fn open(self) -> u64 {
        assert!(self.check == !self.from && self.text == self.from.to_string());
        self.from
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts `f` on a goroutine or on a thread.
fn start<T: Send + 'static>(
    on_thread: bool,
    f: impl FnOnce() -> T + Send + 'static,
) -> Box<dyn FnOnce() -> T> {
    if on_thread {
        let handle = thread::spawn(f);
        Box::new(move || handle.join().unwrap())
    } else {
        let handle = spawn(f);
        Box::new(move || handle.join().unwrap())
    }
}

type Ends<T> = (Sender<T>, Receiver<T>);

/// Sends `n` values with the help of every kind of select; returns how many it has given away.
fn produce(kind: usize, n: u64, alive: &Arc<AtomicIsize>, ends: [Ends<Counted>; 3]) -> u64 {
    let [(a, _), (b, _), (c, _)] = &ends;
    let mut sum = 0;
    for i in 0..n {
        let value = || Counted::new(alive, i);
        let sent = match (i as usize + kind) % 5 {
            0 => 'given_up: {
                select! {
                // Sometimes leaves the select with what it has decided.
                send(a, if i % 64 == 0 { break 'given_up false } else { value() }) -> sent => sent.is_ok(),
                send(b, value()) -> sent => sent.is_ok(),
                send(c, value()) -> sent => sent.is_ok(),
                }
            }
            1 => select! {
                send(b, value()) -> sent => sent.is_ok(),
                send(a, value()) -> sent => sent.is_ok(),
                default => c.send(value()).is_ok(),
            },
            2 => select! {
                send(a, value()) -> sent => sent.is_ok(),
                send(c, value()) -> sent => sent.is_ok(),
                default(Duration::from_micros(50)) => b.send(value()).is_ok(),
            },
            3 => {
                let mut select = Select::new();
                let senders = [a, b, c];
                senders.iter().for_each(|tx| assert!(select.send(tx) < 3));
                let operation = select.select();
                let tx = senders[operation.index()];
                operation.send(tx, value()).is_ok()
            }
            _ => {
                let mut select = Select::new();
                select.send(c);
                select.ready();
                c.try_send(value()).is_ok()
            }
        };
        sum += u64::from(sent) * (i + 1);
    }
    sum
}

/// Receives until all channels are closed; returns the sum of what came.
fn consume(kind: usize, ends: [Ends<Counted>; 3]) -> u64 {
    let [a, b, c] = ends.map(|(tx, rx)| {
        drop(tx);
        rx
    });
    let mut sum = 0;
    let mut round = kind;
    loop {
        round += 1;
        let value = match round % 3 {
            0 => select! { recv(a) -> v => v, recv(b) -> v => v, recv(c) -> v => v },
            1 => {
                let mut select = Select::new();
                let receivers = [&c, &b, &a];
                receivers.iter().for_each(|rx| assert!(select.recv(rx) < 3));
                let operation = select.select();
                let rx = receivers[operation.index()];
                operation.recv(rx)
            }
            _ => select! {
                recv(b) -> v => v,
                recv(a) -> v => v,
                default(Duration::from_micros(20)) => continue,
            },
        };
        match value {
            Ok(value) => sum += value.open() + 1,
            // Every sender is done before the channels are closed: what is left can be collected.
            Err(_) => {
                let rest = [&a, &b, &c].map(|rx| rx.iter().map(|v| v.open() + 1).sum::<u64>());
                return sum + rest.into_iter().sum::<u64>();
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_in_a_storm() {
    let _one = common::alone();
    watched("nothing_is_lost_or_doubled_in_a_storm", || {
        for capacities in [[0, 0, 0], [0, 1, 2], [1, 3, usize::MAX]] {
            let alive = Arc::new(AtomicIsize::new(0));
            let ends = capacities.map(chan::bounded::<Counted>);
            let n = scaled(4_000) as u64;
            let producers: Vec<_> = (0..6)
                .map(|kind| {
                    let (alive, ends) = (alive.clone(), ends.clone());
                    start(kind % 3 == 0, move || produce(kind, n, &alive, ends))
                })
                .collect();
            let consumers: Vec<_> = (0..6)
                .map(|kind| {
                    let ends = ends.clone();
                    start(kind % 3 == 0, move || consume(kind, ends))
                })
                .collect();
            let sent: u64 = producers.into_iter().map(|producer| producer()).sum();
            ends.iter().for_each(|(tx, _)| assert!(tx.close()));
            let received: u64 = consumers.into_iter().map(|consumer| consumer()).sum();
            drop(ends);
            assert_eq!(sent, received, "capacities {capacities:?}");
            assert_eq!(alive.load(Ordering::Relaxed), 0, "dropped once each");
        }
    });
}

#[test]
fn values_of_any_size_and_alignment_go_through_selects() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(4096))]
    struct Aligned(u64);

    fn check<T: Clone + PartialEq + Send + 'static>(value: T) {
        for capacity in [0, 1, 7] {
            for dynamic in [false, true] {
                let (tx, rx) = chan::bounded::<T>(capacity);
                let never = chan::never::<u8>();
                let expected = value.clone();
                let value = value.clone();
                let sender = spawn(move || {
                    for _ in 0..10 {
                        select! {
                            send(tx, value.clone()) -> sent => assert!(sent.is_ok()),
                            recv(chan::never::<u8>()) -> _ => unreachable!(),
                        }
                    }
                });
                for _ in 0..10 {
                    let got = if dynamic {
                        let mut select = Select::new();
                        select.recv(&rx);
                        select.recv(&never);
                        select.select().recv(&rx)
                    } else {
                        select! { recv(rx) -> got => got, recv(never) -> _ => unreachable!() }
                    };
                    assert!(got.is_ok_and(|got| got == expected));
                }
                sender.join().unwrap();
            }
        }
    }
    watched("values_of_any_size_and_alignment_go_through_selects", || {
        check(());
        check(7_u8);
        check("text".to_owned());
        check(Aligned(0x1234_5678_9abc_def0));
        check(vec![1_u8; 1 << 20]);
        check([5_u64; 4096]);
    });
}

#[test]
fn timeouts_that_race_with_values_lose_none() {
    let _one = common::alone();
    watched("timeouts_that_race_with_values_lose_none", || {
        for capacity in [0, 1] {
            let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(capacity), chan::bounded(capacity));
            let n = scaled(5_000);
            let timeouts = Arc::new(AtomicUsize::new(0));
            let count = timeouts.clone();
            let sender = spawn(move || {
                let (mut next, mut round) = (0, 0);
                while next < n {
                    round += 1; // two that never wait for long would never meet
                    select! {
                        send(tx1, next) -> sent => { sent.unwrap(); next += 1 }
                        send(tx2, next) -> sent => { sent.unwrap(); next += 1 }
                        default(Duration::from_micros(round % 30)) => {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
            let mut seen = vec![false; n];
            let (mut left, mut round) = (n, 0);
            while left > 0 {
                round += 1;
                let got = select! {
                    recv(rx1) -> got => got,
                    recv(rx2) -> got => got,
                    default(Duration::from_micros(round % 40)) => continue,
                };
                let Ok(got) = got else { continue }; // closed, and the other has one left
                assert!(!std::mem::replace(&mut seen[got], true));
                left -= 1;
            }
            sender.join().unwrap();
        }
    });
}
