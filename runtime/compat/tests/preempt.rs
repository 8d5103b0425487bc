//! Job: long computations inside popular crates, stopped every 100 us wherever they are: others run,
//!   and the results stay right.

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/slices/mod.rs"]
mod slices;

use common::scaled;
use gusty::spawn;
use sha2::{Digest, Sha256, Sha512};
use slices::{preempted, sliced};

/// Computes on three goroutines for each P what was computed here before.
fn stays_right<R: PartialEq + std::fmt::Debug + Send + 'static>(
    test: &'static str,
    rounds: usize,
    compute: fn(u64) -> R,
) {
    sliced(test, &[1, 2, 4], || {
        let start = |seed: u64| {
            let want = compute(seed);
            spawn(move || (0..rounds).for_each(|_| assert_eq!(compute(seed), want)))
        };
        let procs = gusty::runtime::gomaxprocs(0) as u64;
        let workers: Vec<_> = (0..3 * procs).map(start).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut rng = common::Rng(seed);
    (0..count).map(|_| rng.next() as u8).collect()
}

#[test]
fn hashes_of_sha2() {
    stays_right("hashes_of_sha2", scaled(100).max(2), |seed| {
        let data = bytes(seed, 50_000);
        (Sha256::digest(&data), Sha512::digest(&data))
    });
}

/// One call that computes for long: main goes on while every P is in it.
#[test]
fn others_run_beside_one_long_hash() {
    sliced("others_run_beside_one_long_hash", &[1, 2, 4], || {
        let data = std::sync::Arc::new(bytes(1, scaled(4_000_000)));
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let order = std::sync::atomic::Ordering::Relaxed;
        let hash = |_| {
            let (data, stop) = (data.clone(), stop.clone());
            spawn(move || {
                while !stop.load(order) {
                    std::hint::black_box(Sha256::digest(&*data));
                }
            })
        };
        let hashes: Vec<_> = (0..gusty::runtime::gomaxprocs(0)).map(hash).collect();
        for _ in 0..5 {
            spawn(gusty::yield_now).join().unwrap();
        }
        stop.store(true, order);
        hashes.into_iter().for_each(|hash| hash.join().unwrap());
    });
}

#[test]
fn searches_of_regex() {
    static WORDS: std::sync::LazyLock<regex::Regex> =
        std::sync::LazyLock::new(|| regex::Regex::new(r"(\w+)-(?:\d{2,4}|[a-f]+)\b").unwrap());
    stays_right("searches_of_regex", scaled(30).max(2), |seed| {
        let mut rng = common::Rng(seed);
        let text: String = (0..3_000)
            .map(|_| match rng.below(3) {
                0 => format!("word-{} ", rng.below(100_000)),
                1 => format!("other-{:x} ", rng.next()),
                _ => "nothing, ".to_owned(),
            })
            .collect();
        let found = WORDS.captures_iter(&text).map(|found| found[1].len() + found[0].len());
        found.sum::<usize>()
    });
}

#[test]
fn documents_of_serde_json() {
    stays_right("documents_of_serde_json", scaled(100).max(2), |seed| {
        let mut rng = common::Rng(seed);
        let mut value = serde_json::json!({ "seed": seed });
        for depth in 0..60 {
            let numbers: Vec<u64> = (0..10).map(|_| rng.next()).collect();
            value = serde_json::json!({ "inner": value, "numbers": numbers, "name": depth.to_string() });
        }
        let text = serde_json::to_string(&value).unwrap();
        let again: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(again, value);
        text
    });
}

/// What the tests above rest on.
#[test]
fn they_are_stopped_inside() {
    sliced("they_are_stopped_inside", &[1], || {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let order = std::sync::atomic::Ordering::Relaxed;
        let work = |_| {
            let stop = stop.clone();
            spawn(move || {
                let data = bytes(3, 100_000);
                while !stop.load(order) {
                    std::hint::black_box(Sha512::digest(&data));
                }
            })
        };
        let workers: Vec<_> = (0..2).map(work).collect();
        preempted(20);
        stop.store(true, order);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
