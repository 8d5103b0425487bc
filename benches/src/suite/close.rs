//! `close`: a channel on which 200,000 wait is closed. "the call" is `close` itself, "until all ran"
//! the time from the call until the last of them has seen the end of the channel; both for each
//! waiter.
//!
//! Threads are left out: nobody has 200,000.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gusty::chan;
use gusty_benches::harness::{Bench, Contender, Metric, Scale, each};

use super::on_goroutine;

/// For those who said that they are about to wait to do so.
const SETTLE: Duration = Duration::from_millis(20);

pub(super) fn benches() -> Vec<Bench> {
    vec![Bench {
        name: "close",
        procs: &[1, 2],
        metrics: const { &[Metric::nanos_at_most("the call", 300.0), Metric::nanos("until all ran")] },
        fresh: false,
        contenders,
    }]
}

fn contenders(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(500, 200_000);
    vec![Contender::with_metrics("gusty", move || on_goroutine(move || close(n)))]
}

fn close(n: usize) -> Vec<f64> {
    let (tx, rx) = chan::bounded::<()>(0);
    let reached = Arc::new(AtomicUsize::new(0));
    for _ in 0..n {
        let (rx, reached) = (rx.clone(), Arc::clone(&reached));
        gusty::go!(move || {
            reached.fetch_add(1, Ordering::Relaxed);
            assert!(rx.recv().is_err(), "nothing is sent");
            reached.fetch_add(1, Ordering::Relaxed);
        });
    }
    let wait_for = |count| {
        while reached.load(Ordering::Relaxed) < count {
            gusty::yield_now();
        }
    };
    wait_for(n);
    gusty::sleep(SETTLE);
    let begun = Instant::now();
    assert!(tx.close());
    let call = begun.elapsed();
    wait_for(2 * n);
    vec![each(call, n), each(begun.elapsed(), n)]
}
