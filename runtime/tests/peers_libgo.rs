//! Job: what libgo's tests and tutorials check and applies here: masses of coroutines, channels of
//!   every capacity, switching. (Its mutexes and condition variables are with `gusty::sync`'s own
//!   tests, its hooks and timers with theirs.)

mod common;
mod waiters;

use common::{Drops, scaled, until};
use gusty::chan::{self, Receiver, Sender};
use gusty::sync::WaitGroup;
use gusty::{go, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use waiters::{sweep, until_parked};

/// mass_co: 100, 1,000 and 10,000 at a time, each of which waits once.
#[test]
fn mass_co() {
    sweep("mass_co", || {
        for n in [100, 1_000, scaled(10_000)] {
            let (group, count) = (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)));
            let (open, gate) = chan::bounded::<()>(0);
            for _ in 0..n {
                let (gate, count) = (gate.clone(), count.clone());
                group.go(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    gate.recv().unwrap_err();
                });
            }
            until(|| count.load(Ordering::Relaxed) == n);
            drop(open);
            group.wait();
        }
    });
}

/// Switch_1 and Switch_1000 of its comparison: the yields of all come to an end.
#[test]
fn switches() {
    sweep("switches", || {
        for (goroutines, yields) in [(1, scaled(20_000)), (1_000, 20)] {
            let count = AtomicUsize::new(0);
            gusty::scope(|s| {
                for _ in 0..goroutines {
                    s.spawn(|| {
                        for _ in 0..yields {
                            gusty::yield_now();
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(count.into_inner(), goroutines * yields);
        }
    });
}

/// channel: capacity 0, 1 and N, with values and without.
#[test]
fn channel_capacities() {
    fn all<T: Send + 'static>(capacity: usize, n: usize, make: fn(usize) -> T) -> Vec<T> {
        let (tx, rx) = chan::bounded(capacity);
        go!(move || (0..n).try_for_each(|i| tx.send(make(i))).unwrap());
        rx.iter().collect()
    }
    sweep("channel_capacities", || {
        for capacity in [0, 1, 10_000] {
            assert_eq!(all(capacity, 500, |i| i), (0..500).collect::<Vec<_>>());
            assert_eq!(all(capacity, 500, drop).len(), 500);
        }
    });
}

/// channel: who waits to read when it is closed is let go; what is in it can still be read.
#[test]
fn channel_close() {
    sweep("channel_close", || {
        let (tx, rx) = chan::bounded::<u8>(2);
        let theirs = rx.clone();
        let reader = spawn(move || theirs.recv());
        until_parked([&reader]);
        tx.close();
        assert!(reader.join().unwrap().is_err());
        let (tx, rx) = chan::bounded(2);
        tx.send(1).unwrap();
        tx.close();
        assert_eq!(rx.recv(), Ok(1));
        assert!(rx.recv().is_err());
    });
}

/// channel: N writers, N readers, every value once; the timed forms among them.
#[test]
fn channel_many_to_many() {
    fn writer(tx: &Sender<usize>, from: usize, n: usize) {
        for i in from..from + n {
            let mut value = i;
            while let Err(error) = tx.send_timeout(value, Duration::from_micros(50)) {
                value = error.into_inner();
            }
        }
    }
    fn reader(rx: &Receiver<usize>) -> usize {
        let mut sum = 0;
        loop {
            match rx.recv_timeout(Duration::from_micros(50)) {
                Ok(value) => sum += value,
                Err(error) if error.is_timeout() => {}
                Err(_) => return sum,
            }
        }
    }
    sweep("channel_many_to_many", || {
        for capacity in [0, 1, 16] {
            let (tx, rx) = chan::bounded(capacity);
            let n = scaled(400);
            let readers: Vec<_> = (0..8)
                .map(|_| {
                    let rx = rx.clone();
                    spawn(move || reader(&rx))
                })
                .collect();
            for i in 0..8 {
                let tx = tx.clone();
                go!(move || writer(&tx, i * n, n));
            }
            drop(tx);
            let sum: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
            assert_eq!(sum, (0..8 * n).sum());
        }
    });
}

/// testRollback: what a coroutine owns is destroyed however it ends.
#[test]
fn rollback() {
    sweep("rollback", || {
        let drops = Drops::new();
        let (returns, panics, parked) = (drops.tracker(), drops.tracker(), drops.tracker());
        spawn(move || drop(returns)).join().unwrap();
        let panicked = spawn(move || {
            let _panics = panics;
            std::panic::resume_unwind(Box::new("expected by the test"));
        });
        assert!(panicked.join().is_err());
        let (tx, rx) = chan::bounded::<()>(0);
        let ended = spawn(move || {
            let _parked = parked;
            rx.recv()
        });
        until_parked([&ended]);
        assert_eq!(drops.count(), 2);
        drop(tx); // what a wait is ended by is what it waits for
        assert!(ended.join().unwrap().is_err());
        assert_eq!(drops.count(), 3);
    });
}
