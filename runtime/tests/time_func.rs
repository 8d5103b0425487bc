//! Job: `time::after_func`, `time::timeout` and the sleeps that a context ends.

mod common;

use common::{Drops, Rng, alone, scaled, until, watched};
use gusty::chan;
use gusty::context::{self, Error};
use gusty::time::{self, Duration, Instant, after_func, timeout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const LONG: Duration = Duration::from_secs(3600);

fn micros(n: usize) -> Duration {
    Duration::from_micros(n as u64)
}

/// Row 84: a chain of functions, each set by the one before.
#[gusty::test]
fn functions_run_in_goroutines_of_their_own_and_not_before_their_time() {
    let (tx, rx) = chan::unbounded();
    for us in [0, 1, 100, 2_000] {
        let (tx, begin) = (tx.clone(), Instant::now());
        after_func(micros(us), move || {
            assert!(gusty::is_goroutine());
            tx.send((begin.elapsed() >= micros(us), gusty::current().id())).unwrap();
        });
    }
    let ran: Vec<_> = rx.iter().take(4).collect();
    assert!(ran.iter().all(|(in_time, _)| *in_time));
    let me = gusty::current().id();
    assert!(ran.iter().all(|(_, id)| *id != me));
}

/// Row 89.
#[gusty::test]
fn stop_and_reset_say_whether_a_run_was_outstanding() {
    let drops = Drops::new();
    let (tx, rx) = chan::unbounded();
    let tracker = drops.tracker();
    let handle = after_func(LONG, move || {
        let _tracker = &tracker;
        tx.send(()).unwrap();
    });
    assert!(handle.stop());
    assert!(!handle.stop());
    assert!(!handle.reset(Duration::MAX));
    assert!(handle.reset(Duration::ZERO));
    assert!(rx.recv().is_ok());
    assert!(!handle.stop(), "it has run");
    assert!(!handle.reset(LONG));
    assert!(handle.stop());
    assert!(rx.try_recv().is_err());
    assert_eq!(drops.count(), 0);
    drop(handle);
    assert!(rx.recv().is_err(), "the function is dropped with its last user");
    assert_eq!(drops.count(), 1);
}

#[gusty::test]
fn a_dropped_handle_changes_nothing_and_a_run_drops_the_function() {
    let drops = Drops::new();
    let (tx, rx) = chan::unbounded();
    let tracker = drops.tracker();
    drop(after_func(micros(300), move || {
        let _tracker = &tracker;
        tx.send(1).unwrap();
    }));
    assert_eq!(rx.iter().sum::<i32>(), 1); // ends when the function is gone
    until(|| drops.count() == 1);
}

#[gusty::test]
fn runs_do_not_overlap_and_a_panic_ends_one_of_them_only() {
    let running = Arc::new(AtomicBool::new(false));
    let runs = Arc::new(AtomicUsize::new(0));
    let (inside, count) = (running.clone(), runs.clone());
    let handle = after_func(Duration::ZERO, move || {
        assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
        gusty::yield_now();
        let run = count.fetch_add(1, Ordering::SeqCst);
        inside.store(false, Ordering::SeqCst);
        assert!(!run.is_multiple_of(50), "a panic on purpose");
    });
    let mut set = 1;
    while set < 300 {
        set += usize::from(!handle.reset(Duration::ZERO));
        gusty::yield_now();
    }
    until(|| runs.load(Ordering::SeqCst) == set);
}

/// Rows 85 and 89: each setting runs or was taken back.
#[test]
fn every_setting_runs_or_is_taken_back() {
    fn account(seed: u64) {
        let mut rng = Rng(seed);
        let runs = Arc::new(AtomicUsize::new(0));
        let count = runs.clone();
        let handle = after_func(LONG, move || _ = count.fetch_add(1, Ordering::SeqCst));
        let (mut set, mut taken_back) = (1, 0);
        for _ in 0..scaled(3_000) {
            taken_back += usize::from(if rng.below(4) == 0 {
                handle.stop()
            } else {
                set += 1;
                handle.reset(micros(rng.below(30)))
            });
            if rng.below(3) == 0 {
                gusty::sleep(micros(rng.below(30)));
            }
        }
        taken_back += usize::from(handle.stop());
        until(|| runs.load(Ordering::SeqCst) + taken_back == set);
    }
    let _alone = alone();
    watched("every_setting_runs_or_is_taken_back", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            let users: Vec<_> = (0..8).map(|i| gusty::spawn(move || account(i))).collect();
            let thread = thread::spawn(|| account(99));
            users.into_iter().for_each(|user| user.join().unwrap());
            thread.join().unwrap();
        }
        gusty::runtime::gomaxprocs(before);
    });
}

/// Row 86: two goroutines that keep one P to themselves do not keep timers from firing.
#[test]
fn a_busy_pair_does_not_starve_a_timer() {
    let _alone = alone();
    watched("a_busy_pair_does_not_starve_a_timer", || {
        let before = gusty::runtime::gomaxprocs(1);
        let (ping, pinged) = chan::bounded::<()>(0);
        let (pong, ponged) = chan::bounded::<()>(0);
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, set) = (stop.clone(), stop);
        let pair = gusty::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                ping.send(()).unwrap();
                ponged.recv().unwrap();
            }
        });
        let partner = gusty::spawn(move || pinged.iter().for_each(|()| pong.send(()).unwrap()));
        after_func(micros(500), move || set.store(true, Ordering::SeqCst));
        pair.join().unwrap();
        partner.join().unwrap();
        gusty::runtime::gomaxprocs(before);
    });
}

/// Row 87.
#[test]
fn sleeps_end_with_their_context() {
    fn sleeps() {
        let (ctx, cancel) = context::with_cancel(&context::background());
        assert_eq!(time::sleep_ctx(&ctx, Duration::ZERO), Ok(()));
        assert_eq!(time::sleep_ctx(&ctx, micros(100)), Ok(()));
        assert_eq!(time::sleep_until_ctx(&ctx, Instant::now()), Ok(()));
        let begin = Instant::now();
        assert_eq!(time::sleep_ctx(&context::background(), micros(300)), Ok(()));
        assert!(begin.elapsed() >= micros(300));
        let (below, _cancel) = context::with_timeout(&ctx, micros(200));
        assert_eq!(time::sleep_ctx(&below, LONG), Err(Error::DeadlineExceeded));
        gusty::go!(move || cancel.cancel());
        assert_eq!(time::sleep_ctx(&ctx, Duration::MAX), Err(Error::Cancelled));
        assert_eq!(time::sleep_ctx(&ctx, Duration::ZERO), Err(Error::Cancelled));
        assert_eq!(time::sleep_until_ctx(&ctx, begin), Err(Error::Cancelled));
    }
    watched("sleeps_end_with_their_context", || {
        gusty::spawn(sleeps).join().unwrap();
        thread::spawn(sleeps).join().unwrap();
    });
}

#[test]
fn a_timeout_gives_the_value_the_panic_or_an_error() {
    fn timeouts() {
        assert_eq!(timeout(LONG, |_| 7), Ok(7));
        assert_eq!(timeout(Duration::MAX, |ctx| (ctx.err(), ctx.deadline())), Ok((None, None)));
        assert!(timeout(LONG, |ctx| ctx.deadline()).unwrap().is_some());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ = timeout(LONG, |_| panic!("a panic on purpose"));
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"a panic on purpose"));

        let drops = Drops::new();
        let (tx, rx) = chan::bounded(1);
        let tracker = drops.tracker();
        let slow = timeout(micros(200), move |ctx| {
            let slept = time::sleep_ctx(ctx, Duration::MAX);
            tx.send(slept).unwrap();
            tracker
        });
        let elapsed = slow.err().expect("it sleeps for ever");
        assert_eq!(elapsed.to_string(), "deadline has elapsed");
        assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(rx.recv(), Ok(Err(Error::DeadlineExceeded)));
        until(|| drops.count() == 1);
    }
    watched("a_timeout_gives_the_value_the_panic_or_an_error", || {
        gusty::spawn(timeouts).join().unwrap();
        thread::spawn(timeouts).join().unwrap();
    });
}

#[gusty::test]
fn many_timeouts_at_once() {
    let n = scaled(10_000);
    let all: Vec<_> = (0..n)
        .map(|i| {
            gusty::spawn(move || match i % 2 {
                0 => timeout(LONG, move |_| i) == Ok(i),
                _ => timeout(micros(i % 500), |ctx| time::sleep_ctx(ctx, LONG)).is_err(),
            })
        })
        .collect();
    assert!(all.into_iter().all(|handle| handle.join().unwrap()));
}
