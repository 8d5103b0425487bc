//! A million goroutines that wait: what one costs to make, to hold, to wake and to end.
//!
//! `memory`: all are started and park. Memory is what the process then holds more than before, page
//! tables included, divided by their number. Then all are woken once and park again, then woken to
//! end. Each contender has a new process each time, because memory once used is used again.
//!
//! Threads are ten thousand at most: more is beyond most systems' limits. The kernel's share of a
//! thread (16 KiB of kernel stack and more) is not the process's memory and is not counted.
//! The target is for the first contender; the others hold something else for each waiter, too.
//! tokio's tasks have no stack: what they hold across an `.await` is in their future, here nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, Target, each};
use gusty_benches::process::memory;
use gusty_benches::stats::Unit;

use super::{on_goroutine, on_tokio};

const PHASES: &[Metric] = &[
    Metric {
        name: "held",
        unit: Unit::Bytes,
        target: Some(Target::AtMost(4_800.0)),
        against: None,
    },
    Metric::nanos("create + park"),
    Metric::nanos("wake + park"),
    Metric::nanos("wake + exit"),
];

pub(super) fn benches() -> Vec<Bench> {
    vec![Bench { name: "memory", procs: &[1], metrics: PHASES, fresh: true, contenders }]
}

fn contenders(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(1_000, 1_000_000);
    let threads = scale.pick(50, 10_000);
    vec![
        Contender::with_metrics("gusty, one channel", move || on_goroutine(move || one_channel(n))),
        Contender::with_metrics("gusty, park", move || on_goroutine(move || parked(n))),
        Contender::with_metrics("gusty, a channel each", move || {
            on_goroutine(move || own_channels(n))
        }),
        Contender::with_metrics("tokio Notify", move || on_tokio(tasks(n))),
        Contender::with_metrics("threads (at most 10,000)", move || parked_threads(threads)),
    ]
}

/// Stopwatch over the three phases of `n` waiters.
struct Phases {
    n: usize,
    before: u64,
    begun: Instant,
    numbers: Vec<f64>,
}

impl Phases {
    fn begin(n: usize) -> Phases {
        let before = memory().expect("procfs");
        Phases { n, before, begun: Instant::now(), numbers: Vec::new() }
    }

    /// All of them wait: time and memory.
    fn created(&mut self) {
        let took = each(self.begun.elapsed(), self.n);
        let held = memory().expect("procfs").saturating_sub(self.before);
        self.numbers = vec![held as f64 / self.n as f64, took];
        self.begun = Instant::now();
    }

    /// All of them did what they were woken for.
    fn woken(&mut self) {
        self.numbers.push(each(self.begun.elapsed(), self.n));
        self.begun = Instant::now();
    }
}

/// How often any of them has come to the next point.
fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

/// All wait for values on the same unbuffered channel: what is held is the goroutines' own.
fn one_channel(n: usize) -> Vec<f64> {
    let reached = counter();
    let wait_for = |count| {
        while reached.load(Ordering::Acquire) < count {
            gusty::yield_now();
        }
    };
    let (tx, rx) = gusty::chan::bounded::<()>(0);
    let mut phases = Phases::begin(n);
    for _ in 0..n {
        let (reached, rx) = (Arc::clone(&reached), rx.clone());
        gusty::go!(move || {
            for _ in 0..2 {
                reached.fetch_add(1, Ordering::Release);
                rx.recv().expect("a sender");
            }
            reached.fetch_add(1, Ordering::Release);
        });
    }
    wait_for(n);
    phases.created();
    for round in 2..=3 {
        (0..n).for_each(|_| tx.send(()).expect("a receiver"));
        wait_for(round * n);
        phases.woken();
    }
    phases.numbers
}

/// As [`one_channel`], by `park`: its permit, and the handle to unpark by, come on top.
fn parked(n: usize) -> Vec<f64> {
    let reached = counter();
    let wait_for = |count| {
        while reached.load(Ordering::Acquire) < count {
            gusty::yield_now();
        }
    };
    let mut phases = Phases::begin(n);
    let all: Vec<gusty::Goroutine> = (0..n)
        .map(|_| {
            let reached = Arc::clone(&reached);
            let handle = gusty::spawn(move || {
                for _ in 0..2 {
                    reached.fetch_add(1, Ordering::Release);
                    gusty::park();
                }
                reached.fetch_add(1, Ordering::Release);
            });
            handle.goroutine()
        })
        .collect();
    wait_for(n);
    phases.created();
    for round in 2..=3 {
        all.iter().for_each(gusty::Goroutine::unpark);
        wait_for(round * n);
        phases.woken();
    }
    phases.numbers
}

/// As [`one_channel`], each on a channel of its own, which comes on top.
fn own_channels(n: usize) -> Vec<f64> {
    let reached = counter();
    let wait_for = |count| {
        while reached.load(Ordering::Acquire) < count {
            gusty::yield_now();
        }
    };
    let mut phases = Phases::begin(n);
    let all: Vec<gusty::chan::Sender<()>> = (0..n)
        .map(|_| {
            let (reached, (tx, rx)) = (Arc::clone(&reached), gusty::chan::bounded(0));
            gusty::go!(move || {
                for _ in 0..2 {
                    reached.fetch_add(1, Ordering::Release);
                    rx.recv().expect("a sender");
                }
                reached.fetch_add(1, Ordering::Release);
            });
            tx
        })
        .collect();
    wait_for(n);
    phases.created();
    for round in 2..=3 {
        all.iter().for_each(|one| one.send(()).expect("a receiver"));
        wait_for(round * n);
        phases.woken();
    }
    phases.numbers
}

async fn tasks(n: usize) -> Vec<f64> {
    let reached = counter();
    let wait_for = async |count| {
        while reached.load(Ordering::Acquire) < count {
            tokio::task::yield_now().await;
        }
    };
    let mut phases = Phases::begin(n);
    let all: Vec<Arc<tokio::sync::Notify>> = (0..n)
        .map(|_| {
            let (reached, notify) = (Arc::clone(&reached), Arc::<tokio::sync::Notify>::default());
            let theirs = Arc::clone(&notify);
            drop(tokio::spawn(async move {
                for _ in 0..2 {
                    reached.fetch_add(1, Ordering::Release);
                    theirs.notified().await;
                }
                reached.fetch_add(1, Ordering::Release);
            }));
            notify
        })
        .collect();
    wait_for(n).await;
    phases.created();
    for round in 2..=3 {
        all.iter().for_each(|one| one.notify_one());
        wait_for(round * n).await;
        phases.woken();
    }
    phases.numbers
}

fn parked_threads(wanted: usize) -> Vec<f64> {
    let reached = counter();
    let wait_for = |count| {
        while reached.load(Ordering::Acquire) < count {
            std::thread::yield_now();
        }
    };
    let mut phases = Phases::begin(wanted);
    let start = |_| {
        let reached = Arc::clone(&reached);
        std::thread::Builder::new().spawn(move || {
            for _ in 0..2 {
                reached.fetch_add(1, Ordering::Release);
                std::thread::park();
            }
            reached.fetch_add(1, Ordering::Release);
        })
    };
    // Fewer where the system refuses.
    let all: Vec<_> = (0..wanted).map_while(|i| start(i).ok()).collect();
    let n = all.len();
    phases.n = n.max(1);
    wait_for(n);
    phases.created();
    all.iter().for_each(|one| one.thread().unpark());
    wait_for(2 * n);
    phases.woken();
    all.into_iter().for_each(|one| {
        one.thread().unpark();
        one.join().expect("no panic");
    });
    phases.woken();
    phases.numbers
}
