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

/// `n` goroutines that never call the runtime count until `done` of what they have counted.
fn count(n: usize, mut done: impl FnMut(&[u64]) -> bool) {
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
    let read = || counts.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    while !done(&read()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Relaxed);
    all.into_iter().for_each(|one| one.join().unwrap());
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
                    // Some begin earlier than others: the shares show in the long run.
                    count(n, |counts| {
                        let mean = counts.iter().sum::<u64>() / n as u64;
                        mean > 5_000_000 && counts.iter().all(|&one| one > mean / 2)
                    });
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
            // At first both may be queued on one P; once each has its own, a million pass without.
            let (mut last, mut kicks) = (0, u64::MAX);
            count(2, |counts| {
                let least = *counts.iter().min().unwrap();
                if least < last + 1_000_000 {
                    return false;
                }
                last = *counts.iter().max().unwrap();
                let before = std::mem::replace(&mut kicks, gusty::runtime::metrics().kicks);
                before == kicks
            });
        })
        .succeeded();
}
