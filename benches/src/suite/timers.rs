//! Many timers at once.
//!
//! `timer/arm`: 100,000 timers that exist, and were stopped, are armed one after the other, for 1 to
//! 100 s, and then cancelled one after the other; the time for each.
//!
//! `timer/late`: 100,000 functions are to run between 1 and 100 ms after the last was armed, so a
//! thousand in each millisecond, in a process that has nothing else to do; the number is how late one
//! runs. gusty and Go start a goroutine for each, tokio's tasks sleep and count in milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gusty_benches::harness::{Bench, Contender, Metric, Scale, per_op};
use gusty_benches::stats::percentile;

use super::{on_goroutine, on_tokio};

/// Time to arm all of them before the first is due.
const AHEAD: Duration = Duration::from_millis(300);

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn benches() -> Vec<Bench> {
    let bench = |name, metrics, contenders| Bench {
        name,
        procs: &[1, 2],
        metrics,
        fresh: false,
        contenders,
    };
    vec![
        bench(
            "timer/arm",
            const { &[Metric::nanos_at_most("arm", 60.0), Metric::nanos_at_most("cancel", 60.0)] },
            arm,
        ),
        bench(
            "timer/late",
            const { &[Metric::nanos("p50"), Metric::nanos_at_most("p99", 300_000.0)] },
            late,
        ),
    ]
}

/// The `i`th of `n` numbers between 0 and `range`, all different, in no order.
fn scattered(i: usize, n: usize, range: u64) -> u64 {
    // A prime that divides no `n` of ours.
    const STRIDE: usize = 48_271;
    ((i * STRIDE) % n) as u64 * range / n as u64
}

fn arm(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(500, 100_000);
    vec![Contender::with_metrics("gusty", move || {
        on_goroutine(move || {
            let timers: Vec<_> = (0..n)
                .map(|_| gusty::time::after_func(HOUR, || unreachable!("too early")))
                .inspect(|timer| assert!(timer.stop()))
                .collect();
            let arm = per_op(n, || {
                for (i, timer) in timers.iter().enumerate() {
                    let seconds = Duration::from_secs(1);
                    timer.reset(seconds + Duration::from_nanos(scattered(i, n, 99_000_000_000)));
                }
            });
            let cancel = per_op(n, || timers.iter().for_each(|timer| assert!(timer.stop())));
            vec![arm, cancel]
        })
    })]
}

/// What the sleepers report.
struct Lateness {
    nanos: Vec<AtomicU64>,
    reported: AtomicUsize,
}

impl Lateness {
    fn of(n: usize) -> Arc<Lateness> {
        let nanos = (0..n).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Lateness { nanos, reported: AtomicUsize::new(0) })
    }

    /// `i` was to run at `due` and does so now.
    fn report(&self, i: usize, due: Instant) {
        let late = Instant::now().saturating_duration_since(due).as_nanos() as u64;
        self.nanos[i].store(late, Ordering::Relaxed);
        // Release: whoever sees the last report sees every number.
        self.reported.fetch_add(1, Ordering::Release);
    }

    fn is_complete(&self) -> bool {
        self.reported.load(Ordering::Acquire) == self.nanos.len()
    }

    fn percentiles(&self) -> Vec<f64> {
        let mut all: Vec<f64> =
            self.nanos.iter().map(|one| one.load(Ordering::Relaxed) as f64).collect();
        [50, 99].map(|percent| percentile(&mut all, percent)).to_vec()
    }
}

fn late(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(500, 100_000);
    let due = move |begun: Instant, i| {
        begun + AHEAD + Duration::from_micros(1_000 + scattered(i, n, 99_000))
    };
    vec![
        Contender::with_metrics("gusty", move || {
            on_goroutine(move || {
                let (all, begun) = (Lateness::of(n), Instant::now());
                for i in 0..n {
                    let (all, due) = (Arc::clone(&all), due(begun, i));
                    let until = due.saturating_duration_since(Instant::now());
                    gusty::time::after_func(until, move || all.report(i, due));
                }
                while !all.is_complete() {
                    gusty::sleep(AHEAD);
                }
                all.percentiles()
            })
        }),
        Contender::with_metrics("tokio", move || {
            on_tokio(async move {
                let (all, begun) = (Lateness::of(n), Instant::now());
                for i in 0..n {
                    let (all, due) = (Arc::clone(&all), due(begun, i));
                    tokio::spawn(async move {
                        tokio::time::sleep_until(due.into()).await;
                        all.report(i, due);
                    });
                }
                while !all.is_complete() {
                    tokio::time::sleep(AHEAD).await;
                }
                all.percentiles()
            })
        }),
    ]
}
