//! Job: `context::after_func`: runs once, in a goroutine of its own, unless it is stopped.

mod common;

use common::{Drops, alone, scaled, until, watched};
use gusty::chan::{self, TryRecvError};
use gusty::context::{after_func, background, with_cancel, with_timeout, with_value};
use gusty::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Row 97 (called after an end, by a handle and by a deadline; for a context that has ended).
#[test]
fn it_runs_once_after_the_end_in_a_goroutine_of_its_own() {
    fn scenario() {
        let (tx, rx) = chan::unbounded();
        let (ctx, cancel) = with_cancel(&background());
        let (below, _below) = with_cancel(&ctx);
        let me = gusty::current().id();
        for ctx in [&ctx, &below, &with_value(&ctx, 1)] {
            let (tx, ctx) = (tx.clone(), ctx.clone());
            after_func(&ctx.clone(), move || {
                assert!(gusty::is_goroutine() && gusty::current().id() != me);
                tx.send(ctx.err().is_some()).unwrap();
            });
        }
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        cancel.cancel();
        cancel.cancel();
        assert!(rx.iter().take(3).all(|ended| ended));

        let (ctx, _cancel) = with_timeout(&background(), Duration::from_micros(200));
        let on_time = tx.clone();
        let handle = after_func(&ctx, move || on_time.send(true).unwrap());
        assert_eq!(rx.recv(), Ok(true));
        assert!(!handle.stop());
        let late = after_func(&ctx, move || tx.send(true).unwrap());
        assert!(!late.stop());
        assert_eq!(rx.iter().count(), 1, "every sender is gone: each has run once");
    }
    watched("it_runs_once_after_the_end_in_a_goroutine_of_its_own", || {
        gusty::spawn(scenario).join().unwrap();
        thread::spawn(scenario).join().unwrap();
    });
}

/// Row 97 (stopped before the end; a context that never ends).
#[gusty::test]
fn what_was_stopped_does_not_run_and_is_dropped() {
    let drops = Drops::new();
    let (ctx, cancel) = with_cancel(&background());
    let tracked = || {
        let tracker = drops.tracker();
        move || {
            let _tracker = &tracker;
            unreachable!("stopped");
        }
    };
    assert!(after_func(&ctx, tracked()).stop());
    assert_eq!(drops.count(), 1);
    assert!(after_func(&background(), tracked()).stop());
    assert_eq!(drops.count(), 2);
    cancel.cancel();
}

#[gusty::test]
fn a_function_whose_context_is_freed_without_an_end_is_dropped() {
    let (tx, rx) = chan::bounded::<()>(0);
    let (ctx, cancel) = with_cancel(&background());
    after_func(&background(), move || tx.send(()).unwrap());
    assert!(rx.recv().is_err());
    drop((ctx, cancel));
}

/// Row 97 (not called by the one that ends the context, so it may block).
#[gusty::test]
fn the_end_does_not_wait_for_it() {
    let (ctx, cancel) = with_cancel(&background());
    let (go_on, wait) = chan::bounded::<()>(0);
    let (tx, rx) = chan::bounded(0);
    after_func(&ctx, move || {
        wait.recv().unwrap();
        tx.send(()).unwrap();
    });
    cancel.cancel();
    go_on.send(()).unwrap();
    rx.recv().unwrap();
}

#[gusty::test]
fn a_panic_ends_its_goroutine_only() {
    let (ctx, cancel) = with_cancel(&background());
    let (tx, rx) = chan::bounded(1);
    after_func(&ctx, || panic!("a panic on purpose"));
    after_func(&ctx, move || tx.send(()).unwrap());
    cancel.cancel();
    rx.recv().unwrap();
}

/// Each function runs or was stopped, never both.
#[test]
fn stops_that_race_with_the_end() {
    let _alone = alone();
    watched("stops_that_race_with_the_end", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            for round in 0..scaled(100) {
                let (ctx, cancel) = with_cancel(&background());
                let runs = Arc::new(AtomicUsize::new(0));
                let handles: Vec<_> = (0..64)
                    .map(|_| {
                        let runs = runs.clone();
                        after_func(&ctx, move || _ = runs.fetch_add(1, Ordering::SeqCst))
                    })
                    .collect();
                let stopper = gusty::spawn(move || {
                    handles.into_iter().map(|handle| usize::from(handle.stop())).sum::<usize>()
                });
                let ender = thread::spawn(move || {
                    (0..round % 16).for_each(|_| thread::yield_now());
                    cancel.cancel();
                });
                let stopped = stopper.join().unwrap();
                ender.join().unwrap();
                until(|| runs.load(Ordering::SeqCst) + stopped == 64);
            }
        }
        gusty::runtime::gomaxprocs(before);
    });
}
