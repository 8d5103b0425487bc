//! `park`: two goroutines that wake each other by `unpark` and wait by `park`, in turn. The cost of
//! blocking and being woken with nothing else around it: what every lock and channel is built on.
//!
//! Time is for a round trip: two wake-ups, two parks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};

use super::{on_goroutine, on_tokio};

const ROUND_TRIP: &[Metric] = &[Metric::nanos("a round trip")];

pub(super) fn benches() -> Vec<Bench> {
    vec![Bench { name: "park", procs: &[1, 2], metrics: ROUND_TRIP, fresh: false, contenders }]
}

fn contenders(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(1_000, 1_000_000);
    let thread_trips = scale.pick(50, 20_000);
    vec![
        Contender::new("gusty", move || on_goroutine(move || goroutines(n))),
        Contender::new("tokio Notify", move || on_tokio(tasks(n))),
        Contender::new("threads", move || threads(thread_trips)),
    ]
}

/// Whose turn it is; even numbers are the first one's.
type Turn = Arc<AtomicUsize>;

fn goroutines(n: usize) -> f64 {
    let turn = Turn::default();
    let (first, theirs) = (gusty::current(), Arc::clone(&turn));
    let second = gusty::spawn(move || {
        for i in 0..n {
            while theirs.load(Ordering::Acquire) != 2 * i + 1 {
                gusty::park();
            }
            theirs.store(2 * i + 2, Ordering::Release);
            first.unpark();
        }
    });
    let other = second.goroutine();
    let took = per_op(n, || {
        for i in 0..n {
            turn.store(2 * i + 1, Ordering::Release);
            other.unpark();
            while turn.load(Ordering::Acquire) != 2 * i + 2 {
                gusty::park();
            }
        }
    });
    second.join().expect("no panic");
    took
}

async fn tasks(n: usize) -> f64 {
    let (ping, pong) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (their_ping, their_pong) = (Arc::clone(&ping), Arc::clone(&pong));
    let second = tokio::spawn(async move {
        for _ in 0..n {
            their_ping.notified().await;
            their_pong.notify_one();
        }
    });
    let begun = std::time::Instant::now();
    for _ in 0..n {
        ping.notify_one();
        pong.notified().await;
    }
    let took = each(begun.elapsed(), n);
    second.await.expect("no panic");
    took
}

fn threads(n: usize) -> f64 {
    let turn = Turn::default();
    let (first, theirs) = (std::thread::current(), Arc::clone(&turn));
    let second = std::thread::spawn(move || {
        for i in 0..n {
            while theirs.load(Ordering::Acquire) != 2 * i + 1 {
                std::thread::park();
            }
            theirs.store(2 * i + 2, Ordering::Release);
            first.unpark();
        }
    });
    let other = second.thread().clone();
    let took = per_op(n, || {
        for i in 0..n {
            turn.store(2 * i + 1, Ordering::Release);
            other.unpark();
            while turn.load(Ordering::Acquire) != 2 * i + 2 {
                std::thread::park();
            }
        }
    });
    second.join().expect("no panic");
    took
}
