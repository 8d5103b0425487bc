//! How late a sleeper wakes in a process that has nothing else to do.
//!
//! `sleep/50us` and `sleep/1ms`: one sleeps again and again; the number is the whole time from the
//! call to its return, so 50 us at best. Nothing else runs: the machinery has gone to sleep, too,
//! and has to be woken by the kernel. tokio counts in milliseconds by design.

use std::time::{Duration, Instant};

use gusty_benches::harness::{Bench, Contender, Metric, Scale};
use gusty_benches::stats::percentile;

use super::{on_goroutine, on_tokio};

const PROMISED: &[Metric] = &[Metric::nanos_at_most("p50", 80_000.0), Metric::nanos("p99")];
const MEASURED: &[Metric] = &[Metric::nanos("p50"), Metric::nanos("p99")];

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench {
            name: "sleep/50us",
            procs: &[1, 2],
            metrics: PROMISED,
            fresh: false,
            contenders: |scale| contenders(scale, Duration::from_micros(50), 2_000),
        },
        Bench {
            name: "sleep/1ms",
            procs: &[1, 2],
            metrics: MEASURED,
            fresh: false,
            contenders: |scale| contenders(scale, Duration::from_millis(1), 200),
        },
    ]
}

fn contenders(scale: Scale, duration: Duration, times: usize) -> Vec<Contender> {
    let n = scale.pick(10, times);
    vec![
        Contender::with_metrics("gusty", move || {
            on_goroutine(move || percentiles((0..n).map(|_| timed(|| gusty::sleep(duration)))))
        }),
        Contender::with_metrics("std::thread::sleep", move || {
            percentiles((0..n).map(|_| timed(|| std::thread::sleep(duration))))
        }),
        Contender::with_metrics("tokio", move || {
            on_tokio(async move {
                let mut all = Vec::new();
                for _ in 0..n / 5 {
                    let begun = Instant::now();
                    tokio::time::sleep(duration).await;
                    all.push(nanos(begun));
                }
                percentiles(all.into_iter())
            })
        }),
    ]
}

fn timed(sleep: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    sleep();
    nanos(begun)
}

fn nanos(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64
}

fn percentiles(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut times: Vec<f64> = times.collect();
    [50, 99].map(|percent| percentile(&mut times, percent)).to_vec()
}
