//! Job: goroutines that compute take turns, wherever they are queued, and are left alone while nobody
//!   waits for a turn.
//! Not here: those that the network or a timer wakes (`wakeup`), how equal the shares are (`benches`).

mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::Child;
use gusty::spawn;

/// `n` goroutines that never call the runtime count until the slowest has counted `rounds` millions;
/// what each has counted.
fn count(n: usize, millions: u64) -> Vec<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Vec<_> = (0..n).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let all: Vec<_> = counts
        .iter()
        .map(|count| {
            let (count, stop) = (count.clone(), stop.clone());
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    black_box(count.fetch_add(1, Ordering::Relaxed));
                }
            })
        })
        .collect();
    let read = || counts.iter().map(|count| count.load(Ordering::Relaxed));
    while read().min() < Some(millions * 1_000_000) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let result = read().collect();
    stop.store(true, Ordering::Relaxed);
    all.into_iter().for_each(|one| one.join().unwrap());
    result
}

fn own_tls() -> bool {
    gusty::runtime::features().tls.is_own() // else they are only asked to stop
}

#[test]
fn turns_are_shared() {
    for (procs, n) in [(1, 3), (2, 8), (4, 9)] {
        let child = Child::of("turns_are_shared");
        let child = child.env("GOMAXPROCS", procs).env("GUSTY_SLICE_US", 1_000).env("N", n);
        child
            .run(|| {
                let n = std::env::var("N").unwrap().parse().unwrap();
                if own_tls() {
                    let counts = count(n, if cfg!(debug_assertions) { 2 } else { 20 });
                    let mean = counts.iter().sum::<u64>() / n as u64;
                    assert!(counts.iter().all(|&one| one > mean / 2), "{counts:?}");
                }
            })
            .succeeded();
    }
}

#[test]
fn with_a_p_for_each_nobody_is_stopped() {
    let child = Child::of("with_a_p_for_each_nobody_is_stopped");
    child
        .env("GOMAXPROCS", 2)
        .env("GUSTY_SLICE_US", 100)
        .run(|| {
            count(2, 1);
            let before = gusty::runtime::metrics();
            count(2, 5);
            let after = gusty::runtime::metrics();
            // Those of the first count may still be stopped while the last two begin.
            assert!(after.kicks - before.kicks <= 4, "{before:?} {after:?}");
        })
        .succeeded();
}
