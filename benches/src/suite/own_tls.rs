//! What thread-local storage of its own costs a goroutine that is short-lived.
//!
//! `tls/exit`: batches of 32, each awaited, of tasks that use no thread-local, and of tasks that use
//! one with a destructor: it is registered, run at the exit, and the block is made as new for the next.
//!
//! `tls/park`: the same of tasks that give way once, so that each has a stack and a block to itself;
//! these were used before and come from the pool.
//!
//! A thread is joined before the next starts. tokio's tasks have no thread-locals of their own.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};

use super::{on_goroutine, on_tokio};

const TASK: &[Metric] = &[Metric::nanos("a task")];
const BATCH: usize = 32;

pub(super) fn benches() -> Vec<Bench> {
    let bench =
        |name, contenders| Bench { name, procs: &[1, 2], metrics: TASK, fresh: false, contenders };
    vec![bench("tls/exit", exits), bench("tls/park", parks)]
}

static RAN: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Noted(Cell<usize>);

impl Drop for Noted {
    fn drop(&mut self) {
        DROPPED.fetch_add(self.0.get(), Ordering::Relaxed);
    }
}

std::thread_local! {
    static NOTED: Noted = const { Noted(Cell::new(0)) };
}

fn clean() {
    RAN.fetch_add(1, Ordering::Relaxed);
}

fn dirty() {
    NOTED.with(|noted| noted.0.set(noted.0.get() + 1));
    clean();
}

fn giving_way() {
    gusty::yield_now();
    clean();
}

fn exits(scale: Scale) -> Vec<Contender> {
    let threads = scale.pick(20, 2_000);
    let on_threads = move |task: fn()| {
        per_op(threads, || {
            for _ in 0..threads {
                std::thread::spawn(task).join().expect("a thread");
            }
        })
    };
    vec![
        Contender::new("gusty, nothing used", move || batches(scale, clean)),
        Contender::new("gusty, one destructor", move || {
            let before = DROPPED.load(Ordering::Relaxed);
            let took = batches(scale, dirty);
            let dropped = DROPPED.load(Ordering::Relaxed) - before;
            assert_eq!(dropped, tasks(scale));
            took
        }),
        Contender::new("threads, nothing used", move || on_threads(clean)),
        Contender::new("threads, one destructor", move || on_threads(dirty)),
    ]
}

fn parks(scale: Scale) -> Vec<Contender> {
    vec![
        Contender::new("gusty", move || batches(scale, giving_way)),
        Contender::new("tokio", move || {
            on_tokio(async move {
                RAN.store(0, Ordering::Relaxed);
                let begun = Instant::now();
                for batch in 1..=tasks(scale) / BATCH {
                    for _ in 0..BATCH {
                        drop(tokio::spawn(async {
                            tokio::task::yield_now().await;
                            clean();
                        }));
                    }
                    while RAN.load(Ordering::Relaxed) < batch * BATCH {
                        tokio::task::yield_now().await;
                    }
                }
                each(begun.elapsed(), tasks(scale))
            })
        }),
    ]
}

fn tasks(scale: Scale) -> usize {
    scale.pick(1_024, 1_600_000)
}

/// Runs `task` on so many goroutines, a batch after the other; the time of one. Returns after the last
/// has ended.
fn batches(scale: Scale, task: fn()) -> f64 {
    let before = gusty::runtime::num_goroutine();
    let took = on_goroutine(move || {
        RAN.store(0, Ordering::Relaxed);
        per_op(tasks(scale), || {
            for batch in 1..=tasks(scale) / BATCH {
                for _ in 0..BATCH {
                    drop(gusty::spawn(task));
                }
                while RAN.load(Ordering::Relaxed) < batch * BATCH {
                    gusty::yield_now();
                }
            }
        })
    });
    while gusty::runtime::num_goroutine() > before {
        std::thread::yield_now();
    }
    took
}
