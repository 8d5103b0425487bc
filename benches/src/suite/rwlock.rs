//! Locks for reading, in a process of two Ps.
//!
//! `rwlock/read`: the section is one load, so that the time is the lock's. `rwlock/scan`: the section
//! sums up 1,000 numbers. "1 reader" and "2 readers" are the time for a read of the same total; "2
//! over 1" is their ratio, 2 at best, below 1 where the readers' count travels between two CPUs and
//! there is nothing else to do.

use std::sync::Arc;

use gusty_benches::harness::{Bench, Contender, Metric, per_op};
use gusty_benches::stats::Unit;

use super::on_goroutine;

const METRICS: &[Metric] = &[
    Metric::nanos("1 reader"),
    Metric::nanos("2 readers"),
    Metric { name: "2 over 1", unit: Unit::Times, target: None, against: None },
];

pub(super) fn benches() -> Vec<Bench> {
    let bench =
        |name, contenders| Bench { name, procs: &[2], metrics: METRICS, fresh: false, contenders };
    vec![
        bench("rwlock/read", |scale| contenders(1, scale.pick(1_000, 8_000_000))),
        bench("rwlock/scan", |scale| contenders(1_000, scale.pick(100, 1_000_000))),
    ]
}

/// A lock around numbers.
trait Numbers: Send + Sync + 'static {
    fn new(numbers: Vec<usize>) -> Self;
    /// Locks for reading, sums up, unlocks.
    fn sum(&self) -> usize;
}

impl Numbers for gusty::sync::RwLock<Vec<usize>> {
    fn new(numbers: Vec<usize>) -> Self {
        gusty::sync::RwLock::new(numbers)
    }

    fn sum(&self) -> usize {
        self.read().expect("not poisoned").iter().sum()
    }
}

impl Numbers for std::sync::RwLock<Vec<usize>> {
    fn new(numbers: Vec<usize>) -> Self {
        std::sync::RwLock::new(numbers)
    }

    fn sum(&self) -> usize {
        self.read().expect("not poisoned").iter().sum()
    }
}

impl Numbers for parking_lot::RwLock<Vec<usize>> {
    fn new(numbers: Vec<usize>) -> Self {
        parking_lot::RwLock::new(numbers)
    }

    fn sum(&self) -> usize {
        self.read().iter().sum()
    }
}

fn contenders(len: usize, n: usize) -> Vec<Contender> {
    vec![
        Contender::with_metrics("gusty", move || on_goroutine(move || goroutines(len, n))),
        Contender::with_metrics("std on threads", move || {
            threads::<std::sync::RwLock<Vec<usize>>>(len, n)
        }),
        Contender::with_metrics("parking_lot on threads", move || {
            threads::<parking_lot::RwLock<Vec<usize>>>(len, n)
        }),
    ]
}

/// `n` reads; checks each of them.
fn reads(lock: &impl Numbers, len: usize, n: usize) {
    for _ in 0..n {
        assert_eq!(lock.sum(), len);
    }
}

fn scaling(one: f64, two: f64) -> Vec<f64> {
    vec![one, two, one / two]
}

fn goroutines(len: usize, n: usize) -> Vec<f64> {
    let lock: Arc<gusty::sync::RwLock<_>> = Arc::new(Numbers::new(vec![1; len]));
    let among = |readers: usize| {
        per_op(n, || {
            let spawn = |_| {
                let lock = Arc::clone(&lock);
                gusty::spawn(move || reads(&*lock, len, n / readers))
            };
            let all: Vec<_> = (0..readers).map(spawn).collect();
            all.into_iter().for_each(|one| one.join().expect("no panic"));
        })
    };
    scaling(among(1), among(2))
}

fn threads<L: Numbers>(len: usize, n: usize) -> Vec<f64> {
    let lock = L::new(vec![1; len]);
    let among = |readers: usize| {
        per_op(n, || {
            std::thread::scope(|scope| {
                for _ in 0..readers {
                    scope.spawn(|| reads(&lock, len, n / readers));
                }
            });
        })
    };
    scaling(among(1), among(2))
}
