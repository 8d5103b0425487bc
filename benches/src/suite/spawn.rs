//! How much it costs to start something small, and to wait for it.
//!
//! `spawn/1` and `spawn/32`: a detached task that does not park, in batches of 1 and of 32, then
//! the spawner yields so that they run. Counts spawn, switch, run and exit. A real program starts
//! tasks in bursts, so the batch of 32 shows how well the caches hold them.
//!
//! `join`: spawn one, wait for its value. Here the spawner parks. `scope`: the same with a borrow
//! instead of a value.
//!
//! Threads start and join one at a time: they have no way to batch that would help them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};

use super::{on_goroutine, on_tokio};

const TASK: &[Metric] = &[Metric::nanos_at_most("a task", 60.0)];
const SCOPE: &[Metric] = &[Metric::nanos("scope + spawn")];
const JOIN: &[Metric] = &[Metric::nanos_at_most("spawn + join", 150.0)];

pub(super) fn benches() -> Vec<Bench> {
    let bench = |name, metrics, contenders| Bench {
        name,
        procs: &[1, 2],
        metrics,
        fresh: false,
        contenders,
    };
    vec![
        bench("spawn/1", TASK, |scale| detached(scale, 1)),
        bench("spawn/32", TASK, |scale| detached(scale, 32)),
        bench("join", JOIN, joined),
        bench("scope", SCOPE, scoped),
    ]
}

fn detached(scale: Scale, batch: usize) -> Vec<Contender> {
    let batches = scale.pick(1_000, 3_200_000) / batch;
    let tasks = batches * batch;
    let threads = scale.pick(20, 2_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                let ran = counter();
                per_op(tasks, || {
                    for _ in 0..batches {
                        for _ in 0..batch {
                            drop(gusty::spawn(move || count(ran)));
                        }
                        gusty::yield_now();
                    }
                    while ran.load(Ordering::Relaxed) < tasks {
                        gusty::yield_now();
                    }
                })
            })
        }),
        Contender::new("tokio", move || {
            on_tokio(async move {
                let ran = counter();
                let begun = Instant::now();
                for _ in 0..batches {
                    for _ in 0..batch {
                        drop(tokio::spawn(async move { count(ran) }));
                    }
                    tokio::task::yield_now().await;
                }
                while ran.load(Ordering::Relaxed) < tasks {
                    tokio::task::yield_now().await;
                }
                each(begun.elapsed(), tasks)
            })
        }),
        Contender::new("threads", move || {
            let ran = counter();
            let took = per_op(threads, || {
                for _ in 0..threads {
                    std::thread::spawn(move || count(ran)).join().expect("a thread");
                }
            });
            assert_eq!(ran.load(Ordering::Relaxed), threads);
            took
        }),
    ]
}

/// What the tasks count on. Leaked: two reference counts a task would be a good part of its time.
fn counter() -> &'static AtomicUsize {
    Box::leak(Box::default())
}

fn count(ran: &AtomicUsize) {
    ran.fetch_add(1, Ordering::Relaxed);
}

fn joined(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(1_000, 1_000_000);
    let threads = scale.pick(20, 2_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                per_op(n, || {
                    let sum: usize =
                        (0..n).map(|i| gusty::spawn(move || i).join().expect("no panic")).sum();
                    assert_eq!(sum, n * (n - 1) / 2);
                })
            })
        }),
        Contender::new("tokio", move || {
            on_tokio(async move {
                let begun = Instant::now();
                let mut sum = 0;
                for i in 0..n {
                    sum += tokio::spawn(async move { i }).await.expect("no panic");
                }
                assert_eq!(sum, n * (n - 1) / 2);
                each(begun.elapsed(), n)
            })
        }),
        Contender::new("threads", move || {
            per_op(threads, || {
                let sum: usize = (0..threads)
                    .map(|i| std::thread::spawn(move || i).join().expect("no panic"))
                    .sum();
                assert_eq!(sum, threads * (threads - 1) / 2);
            })
        }),
    ]
}

fn scoped(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(1_000, 1_000_000);
    let threads = scale.pick(20, 2_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                let mut sum = 0;
                let took = per_op(n, || {
                    for i in 0..n {
                        let sum = &mut sum;
                        gusty::scope(|s| {
                            s.spawn(|| *sum += i);
                        });
                    }
                });
                assert_eq!(sum, n * (n - 1) / 2);
                took
            })
        }),
        Contender::new("threads", move || {
            let mut sum = 0;
            let took = per_op(threads, || {
                for i in 0..threads {
                    let sum = &mut sum;
                    std::thread::scope(|s| {
                        s.spawn(|| *sum += i);
                    });
                }
            });
            assert_eq!(sum, threads * (threads - 1) / 2);
            took
        }),
    ]
}
