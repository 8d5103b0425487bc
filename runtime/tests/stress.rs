//! Job: random storms over everything at once, checked by content and by counts.
//! Not here: what is done and checked (`stress/rounds.rs`, `stress/waits.rs`).
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `GUSTY_STRESS_SECS` | how long | 3 |
//! | `GUSTY_STRESS_SEED` | repeats a run, as far as the scheduler lets it | from the clock |
//! | `GUSTY_STRESS_ONLY` | rounds whose name contains this | all |
//!
//! If no round ends within 20 seconds, every goroutine is printed and the process aborts.

mod common;
#[path = "stress/rounds.rs"]
mod rounds;
#[path = "stress/waits.rs"]
mod waits;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use common::{Rng, until};
use rounds::{ROUNDS, Round};
use waits::{OPERATIONS, WAITS};

/// No round takes that long unless something is lost.
const STALL: Duration = Duration::from_secs(20);

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn everything_at_once() {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = setting("GUSTY_STRESS_SEED").unwrap_or(clock.as_nanos() as u64 % 1_000_000_007);
    let seconds = Duration::from_secs(setting("GUSTY_STRESS_SECS").unwrap_or(3));
    let only: String = setting("GUSTY_STRESS_ONLY").unwrap_or_default();
    // Not through the macro: it has to be seen even if the process aborts.
    let _ = writeln!(std::io::stderr(), "stress: GUSTY_STRESS_SEED={seed} for {seconds:?}");

    let end = Instant::now() + seconds;
    let beats = Arc::new(AtomicU64::new(0));
    let chosen: Vec<_> =
        ROUNDS.into_iter().chain(WAITS).filter(|(name, _)| name.contains(&only)).collect();
    assert!(!chosen.is_empty(), "no round is called {only:?}");
    let drive = |round: Round, seed: u64| {
        let beats = beats.clone();
        move || {
            let mut rng = Rng(seed);
            while Instant::now() < end {
                round(&mut rng);
                beats.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let (mut goroutines, mut threads) = (Vec::new(), Vec::new());
    for (i, &(name, round)) in chosen.iter().enumerate() {
        let seed = seed + 1_000 * i as u64;
        for k in 0..2 {
            let builder = gusty::Builder::new().name(name);
            goroutines.push(builder.spawn(drive(round, seed + k)).unwrap());
        }
        threads.push(std::thread::spawn(drive(round, seed + 2)));
    }
    let over = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn(watchdog(beats.clone(), over.clone(), seed));
    let before = gusty::runtime::gomaxprocs(0);
    let mut rng = Rng(seed);
    while Instant::now() < end {
        gusty::runtime::gomaxprocs(1 + rng.below(16));
        std::thread::sleep(Duration::from_micros(rng.next() % 2_000));
    }
    gusty::runtime::gomaxprocs(before);
    goroutines.into_iter().for_each(|goroutine| goroutine.join().unwrap());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    until(|| gusty::runtime::num_goroutine() == 0); // nobody was left over
    over.store(true, Ordering::SeqCst);
    watch.thread().unpark();
    watch.join().unwrap();
    let (rounds, waits) = (beats.load(Ordering::Relaxed), OPERATIONS.load(Ordering::Relaxed));
    let _ = writeln!(std::io::stderr(), "stress: {rounds} rounds, with {waits} checked waits");
}

fn watchdog(beats: Arc<AtomicU64>, over: Arc<AtomicBool>, seed: u64) -> impl FnOnce() {
    move || {
        let (mut seen, mut since) = (0, Instant::now());
        while !over.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(500));
            let now = beats.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > STALL {
                let dump = gusty::runtime::dump();
                let mut err = std::io::stderr().lock();
                let _ = writeln!(err, "stress: stalled; GUSTY_STRESS_SEED={seed}\n{dump}");
                std::process::abort();
            }
        }
    }
}
