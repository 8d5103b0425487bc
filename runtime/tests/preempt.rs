//! Job: goroutines that compute without a call of the runtime do not keep others from running.

mod common;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Child, alone, scaled, watched};
use gusty::{go, spawn};

fn on_each(name: &str, f: impl Fn(usize)) {
    if gusty::runtime::features().tls != gusty::runtime::TlsLevel::Own {
        return; // only asked, not stopped
    }
    let _alone = alone();
    for procs in [1, 2, 4] {
        let before = gusty::runtime::gomaxprocs(procs);
        watched(name, || f(procs));
        gusty::runtime::gomaxprocs(before);
    }
}

#[test]
fn endless_loops_let_main_go_on() {
    on_each("endless loops", |procs| {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..procs {
            let stop = stop.clone();
            go!(move || {
                let mut x = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    x = black_box(x + 1);
                }
            });
        }
        for _ in 0..5 {
            spawn(|| gusty::sleep(std::time::Duration::from_millis(1))).join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Sums in floating point and in maps, while others preempt: the results stay right.
#[test]
fn results_stay_right() {
    fn work(seed: u64) -> (u64, f64, usize) {
        let mut map = HashMap::new();
        let (mut x, mut f) = (seed, 0.0f64);
        for i in 0..scaled(300_000) as u64 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i);
            f += (x >> 40) as f64 * 0.5;
            if i % 64 == 0 {
                map.entry(x % 1024).or_insert_with(Vec::new).push(format!("{x}"));
            }
        }
        (x, f, map.values().map(|v| v.iter().map(String::len).sum::<usize>()).sum())
    }
    on_each("results", |_| {
        let want: Vec<_> = (0..4).map(work).collect();
        let workers: Vec<_> = (0..16u64)
            .map(|i| {
                spawn(move || {
                    (0..7).for_each(|_| _ = black_box(work(i % 4)));
                    work(i % 4)
                })
            })
            .collect();
        for (i, worker) in workers.into_iter().enumerate() {
            assert_eq!(worker.join().unwrap(), want[i % 4]);
        }
    });
}

#[test]
fn everybody_gets_a_turn() {
    on_each("turns", |procs| {
        let n = 3 * procs;
        let begun = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..n)
            .map(|_| {
                let begun = begun.clone();
                spawn(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    while begun.load(Ordering::Relaxed) < n {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[gusty::preemptible]
fn spin_until(stop: &AtomicBool) -> u64 {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        rounds += 1;
    }
    rounds
}

/// Where goroutines cannot be stopped, loops that check let others run.
#[test]
fn loops_that_check_let_others_run_without_a_signal() {
    let child = |level: &str| {
        Child::of("loops_that_check_let_others_run_without_a_signal")
            .env("GUSTY_KICK", "off")
            .env("GUSTY_SLICE_US", 1000)
            .env("GUSTY_TLS", level)
            .run(|| {
                let stop = Arc::new(AtomicBool::new(false));
                let spinners: Vec<_> = (0..gusty::runtime::gomaxprocs(0))
                    .map(|_| {
                        let stop = stop.clone();
                        spawn(move || spin_until(&stop))
                    })
                    .collect();
                spawn(move || stop.store(true, Ordering::Relaxed)).join().unwrap();
                for spinner in spinners {
                    spinner.join().unwrap();
                }
                eprintln!("all went on");
            })
    };
    for level in ["own", "pinned", "shared"] {
        child(level).succeeded().says(&["all went on"]);
    }
}
