//! What a switch costs: goroutines that do nothing but let the next one run.
//!
//! `yield/2` is the pure switch, everything in the nearest cache. `yield/1000` goes round a thousand
//! stacks: now each switch meets memory that was last touched 999 switches ago.
//!
//! Time is for one `yield_now` of one of them. The threads of the peer share one CPU, because
//! `sched_yield` with a CPU of one's own switches to nobody.

use std::sync::Barrier;
use std::time::Instant;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};
use gusty_benches::process::pin_to_one_cpu;

use super::{on_goroutine, on_tokio};

const PROMISED: &[Metric] = &[Metric::nanos_at_most("a switch", 40.0)];
const MEASURED: &[Metric] = &[Metric::nanos("a switch")];

pub(super) fn benches() -> Vec<Bench> {
    let bench = |name, metrics, contenders| Bench {
        name,
        procs: &[1, 2],
        metrics,
        fresh: false,
        contenders,
    };
    vec![
        bench("yield/2", PROMISED, |scale| contenders(scale, 2)),
        bench("yield/1000", MEASURED, |scale| contenders(scale, 1000)),
    ]
}

fn contenders(scale: Scale, n: usize) -> Vec<Contender> {
    let each_yields = scale.pick(2_000, 4_000_000) / n;
    let thread_yields = scale.pick(200, 100_000);
    let mut list = vec![
        Contender::new("gusty", move || on_goroutine(move || goroutines(n, each_yields))),
        Contender::new("tokio", move || on_tokio(tasks(n, each_yields))),
    ];
    if n == 2 {
        list.push(Contender::new("threads on one CPU", move || threads(n, thread_yields)));
    }
    list
}

fn goroutines(n: usize, yields: usize) -> f64 {
    per_op(n * yields, || {
        let yielder = move || (0..yields).for_each(|_| gusty::yield_now());
        let all: Vec<_> = (0..n).map(|_| gusty::spawn(yielder)).collect();
        all.into_iter().for_each(|one| one.join().expect("no panic"));
    })
}

async fn tasks(n: usize, yields: usize) -> f64 {
    let begun = Instant::now();
    let yielder = move || async move {
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
    };
    let all: Vec<_> = (0..n).map(|_| tokio::spawn(yielder())).collect();
    for one in all {
        one.await.expect("no panic");
    }
    each(begun.elapsed(), n * yields)
}

fn threads(n: usize, yields: usize) -> f64 {
    let start = Barrier::new(n + 1);
    let mut begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..n {
            scope.spawn(|| {
                pin_to_one_cpu().expect("affinity");
                start.wait();
                (0..yields).for_each(|_| std::thread::yield_now());
            });
        }
        start.wait();
        begun = Instant::now();
    });
    each(begun.elapsed(), n * yields)
}
