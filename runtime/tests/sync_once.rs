//! Job: `Once`, `OnceLock`, `LazyLock` and `Barrier` beyond std's promises: waiting for a limited
//!   time, crowds, mixed kinds of waiters.
//! Not here: std's promises (`sync_parity`).

mod common;

use common::{Rng, scaled, watched};
use gusty::sync::atomic::{AtomicUsize, Ordering};
use gusty::sync::{Arc, Barrier, LazyLock, Once, OnceLock};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(3600);

/// Row 82: of a crowd of goroutines and threads one runs the closure, which parks, and all see what
/// it did.
#[test]
fn a_crowd_waits_for_the_one_that_runs() {
    watched("a_crowd_waits_for_the_one_that_runs", || {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let enter = || {
            let shared = shared.clone();
            move || {
                shared.0.call_once(|| {
                    gusty::sleep(SHORT);
                    shared.1.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(shared.1.load(Ordering::Relaxed), 1);
            }
        };
        let goroutines: Vec<_> = (0..scaled(10_000)).map(|_| gusty::spawn(enter())).collect();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(enter())).collect();
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// Row 82: after a panic the others are told, or try, each one in its own way; nobody is left.
#[test]
fn panics_pass_the_turn_on() {
    watched("panics_pass_the_turn_on", || {
        for _ in 0..scaled(100) {
            let shared = Arc::new((OnceLock::new(), AtomicUsize::new(0), Once::new()));
            let handles: Vec<_> = (0..200)
                .map(|i| {
                    let shared = shared.clone();
                    gusty::spawn(move || match i % 4 {
                        0 => *shared.0.wait(),
                        1 => {
                            shared.2.wait_force();
                            7
                        }
                        _ => *shared.0.get_or_init(|| {
                            gusty::yield_now();
                            if shared.1.fetch_add(1, Ordering::SeqCst) < 3 {
                                std::panic::resume_unwind(Box::new("expected by the test"));
                            }
                            shared.2.call_once(gusty::yield_now);
                            7
                        }),
                    })
                })
                .collect();
            let ends: Vec<_> = handles.into_iter().map(gusty::JoinHandle::join).collect();
            assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 3);
            assert!(ends.iter().flatten().all(|value| *value == 7));
            assert_eq!(shared.1.load(Ordering::SeqCst), 4);
        }
    });
}

#[test]
fn waiting_for_a_limited_time() {
    watched("waiting_for_a_limited_time", || {
        let in_time = || {
            let (once, cell) = (Once::new(), OnceLock::new());
            assert!(!once.wait_timeout(Duration::ZERO) && !once.wait_timeout(SHORT));
            assert_eq!((cell.wait_timeout(Duration::ZERO), cell.wait_timeout(SHORT)), (None, None));
            once.call_once(|| cell.set(5).unwrap());
            assert!(once.wait_timeout(Duration::ZERO) && once.wait_timeout(LONG));
            assert_eq!(cell.wait_timeout(Duration::ZERO), Some(&5));
        };
        in_time();
        gusty::spawn(in_time).join().unwrap();
        let cell = Arc::new(OnceLock::new());
        let clone = cell.clone();
        let waiter = gusty::spawn(move || clone.wait_timeout(LONG).copied());
        cell.set(6).unwrap();
        assert_eq!(waiter.join().unwrap(), Some(6));
    });
}

#[gusty::test]
fn lazy_values_that_need_each_other_on_goroutines() {
    static BASE: LazyLock<u64> = LazyLock::new(|| {
        gusty::sleep(SHORT);
        20
    });
    static SUM: LazyLock<u64> =
        LazyLock::new(|| *BASE + 1 + gusty::spawn(|| *BASE).join().unwrap());
    let readers: Vec<_> = (0..64).map(|_| gusty::spawn(|| *SUM)).collect();
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == 41));
}

#[test]
fn a_big_barrier_of_goroutines_and_threads() {
    watched("a_big_barrier_of_goroutines_and_threads", || {
        const THREADS: usize = 4;
        const ROUNDS: usize = 5;
        let n = scaled(5_000) + THREADS;
        let shared = Arc::new((Barrier::new(n), AtomicUsize::new(0)));
        let run = || {
            let shared = shared.clone();
            move || {
                let mut led = 0;
                for round in 1..=ROUNDS {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    led += usize::from(shared.0.wait().is_leader());
                    assert!(shared.1.load(Ordering::Relaxed) >= round * n);
                }
                led
            }
        };
        let goroutines: Vec<_> = (THREADS..n).map(|_| gusty::spawn(run())).collect();
        let threads: Vec<_> = (0..THREADS).map(|_| std::thread::spawn(run())).collect();
        let mut led: usize = goroutines.into_iter().map(|handle| handle.join().unwrap()).sum();
        led += threads.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>();
        assert_eq!(led, ROUNDS);
    });
}

#[gusty::test]
fn who_leaves_a_barrier_does_not_count() {
    let barrier = Arc::new(Barrier::new(2));
    for _ in 0..3 {
        assert!(barrier.wait_timeout(Duration::ZERO).is_none());
        assert!(barrier.wait_timeout(SHORT).is_none());
    }
    let clone = barrier.clone();
    let other = gusty::spawn(move || clone.wait_timeout(LONG).unwrap().is_leader());
    let mine = barrier.wait().is_leader();
    assert!(mine ^ other.join().unwrap());
}

/// Waits that time out race with rounds that complete: each round has as many as the barrier is
/// for, and a leader.
#[test]
fn timeouts_that_race_with_a_barrier() {
    watched("timeouts_that_race_with_a_barrier", || {
        const SIZE: usize = 4;
        let rounds = scaled(500);
        let shared = Arc::new((Barrier::new(SIZE), AtomicUsize::new(0), AtomicUsize::new(0)));
        let run = |seed: u64| {
            let shared = shared.clone();
            move || {
                let (barrier, passed, led) = &*shared;
                let mut rng = Rng(seed);
                while led.load(Ordering::SeqCst) < rounds {
                    let timeout = Duration::from_micros(rng.next() % 100);
                    if let Some(result) = barrier.wait_timeout(timeout) {
                        passed.fetch_add(1, Ordering::SeqCst);
                        led.fetch_add(usize::from(result.is_leader()), Ordering::SeqCst);
                    }
                }
            }
        };
        let handles: Vec<_> = (0..8).map(|seed| gusty::spawn(run(seed))).collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        let (passed, led) = (&shared.1, &shared.2);
        assert_eq!(passed.load(Ordering::SeqCst), SIZE * led.load(Ordering::SeqCst));
    });
}
