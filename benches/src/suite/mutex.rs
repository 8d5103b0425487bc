//! Locks. `mutex/free`: one locks and unlocks, nobody else is there; this should be two atomic
//! operations, whoever's lock it is. `mutex/contended`: eight lock the same one for a short addition.
//!
//! With GOMAXPROCS=1 goroutines meet at a lock only if one is preempted inside; with 2, always. On
//! threads the eight use both CPUs and the kernel preempts them where it likes.

use std::sync::Arc;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, per_op};

use super::{on_goroutine, on_tokio};

/// Who contend.
const MANY: usize = 8;

const FREE: &[Metric] = &[Metric::nanos("lock + unlock").within(1.1, "parking_lot")];
const CONTENDED: &[Metric] = &[Metric::nanos("lock + unlock").within(0.5, "Go")];

pub(super) fn benches() -> Vec<Bench> {
    let bench =
        |name, procs, metrics, contenders| Bench { name, procs, metrics, fresh: false, contenders };
    vec![
        bench("mutex/free", &[1], FREE, free),
        bench("mutex/contended", &[1, 2], CONTENDED, contended),
    ]
}

/// Something with a lock around a number.
trait Counter: Default + Send + Sync + 'static {
    /// Locks, adds one, unlocks; returns the new number.
    fn add(&self) -> usize;
}

impl Counter for gusty::sync::Mutex<usize> {
    fn add(&self) -> usize {
        let mut n = self.lock().expect("not poisoned");
        *n += 1;
        *n
    }
}

impl Counter for std::sync::Mutex<usize> {
    fn add(&self) -> usize {
        let mut n = self.lock().expect("not poisoned");
        *n += 1;
        *n
    }
}

impl Counter for parking_lot::Mutex<usize> {
    fn add(&self) -> usize {
        let mut n = self.lock();
        *n += 1;
        *n
    }
}

fn alone<C: Counter>(n: usize) -> f64 {
    let counter = C::default();
    let took = per_op(n, || {
        (0..n).for_each(|_| {
            std::hint::black_box(counter.add());
        });
    });
    assert_eq!(counter.add(), n + 1);
    took
}

fn free(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(10_000, 10_000_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || alone::<gusty::sync::Mutex<usize>>(n))
        }),
        Contender::new("std", move || alone::<std::sync::Mutex<usize>>(n)),
        Contender::new("parking_lot", move || alone::<parking_lot::Mutex<usize>>(n)),
    ]
}

fn contended(scale: Scale) -> Vec<Contender> {
    let share = scale.pick(1_000, 200_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                let counter = Arc::new(gusty::sync::Mutex::default());
                per_op(MANY * share, || {
                    let all: Vec<_> = (0..MANY)
                        .map(|_| {
                            let counter = Arc::clone(&counter);
                            gusty::spawn(move || add_times(&*counter, share))
                        })
                        .collect();
                    all.into_iter().for_each(|one| one.join().expect("no panic"));
                    assert_eq!(counter.add(), MANY * share + 1);
                })
            })
        }),
        Contender::new("tokio", move || on_tokio(tasks(share))),
        Contender::new("std, 8 threads", move || threads::<std::sync::Mutex<usize>>(share)),
        Contender::new("parking_lot, 8 threads", move || {
            threads::<parking_lot::Mutex<usize>>(share)
        }),
    ]
}

fn add_times(counter: &impl Counter, n: usize) {
    for _ in 0..n {
        counter.add();
    }
}

fn threads<C: Counter>(share: usize) -> f64 {
    let counter = C::default();
    per_op(MANY * share, || {
        std::thread::scope(|scope| {
            for _ in 0..MANY {
                scope.spawn(|| add_times(&counter, share));
            }
        });
        assert_eq!(counter.add(), MANY * share + 1);
    })
}

async fn tasks(share: usize) -> f64 {
    let counter = Arc::new(tokio::sync::Mutex::new(0));
    let begun = std::time::Instant::now();
    let all: Vec<_> = (0..MANY)
        .map(|_| {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                for _ in 0..share {
                    *counter.lock().await += 1;
                }
            })
        })
        .collect();
    for one in all {
        one.await.expect("no panic");
    }
    assert_eq!(*counter.lock().await, MANY * share);
    gusty_benches::harness::each(begun.elapsed(), MANY * share)
}
