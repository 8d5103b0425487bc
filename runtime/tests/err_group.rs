//! Job: `ErrGroup`: the first error, limits, contexts, panics. The rows' numbers are of the scheduler's
//!   catalogue; Go's own tests of errgroup are named where there is no number.

mod common;
mod waiters;

use common::{Drops, until, watched};
use gusty::context::{self, Error};
use gusty::spawn;
use gusty::sync::ErrGroup;
use gusty::time::sleep_ctx;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use waiters::{everywhere, until_parked};

/// As Go's TestZeroGroup: the first error of several, whatever comes after.
#[test]
fn the_first_error_is_returned_once() {
    everywhere("the_first_error_is_returned_once", || {
        for errors in
            [vec![], vec![None], vec![Some(1)], vec![None, Some(1)], vec![Some(1), Some(2)]]
        {
            let group = ErrGroup::new();
            group.set_limit(1); // one after the other, so that it is known which is first
            for error in errors.clone() {
                group.go(move || error.map_or(Ok(()), Err));
            }
            let expected = errors.into_iter().flatten().next().map_or(Ok(()), Err);
            assert_eq!(group.wait(), expected);
            assert_eq!(group.wait(), Ok(()), "it was returned once");
        }
    });
}

#[test]
fn an_error_waits_for_the_others() {
    everywhere("an_error_waits_for_the_others", || {
        let (group, done) = (ErrGroup::new(), Arc::new(AtomicUsize::new(0)));
        group.go(|| Err("first"));
        for _ in 0..20 {
            let done = done.clone();
            group.go(move || {
                gusty::sleep(Duration::from_micros(300));
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
        }
        assert_eq!(group.wait(), Err("first"));
        assert_eq!(done.load(Ordering::Relaxed), 20);
        group.go(|| Err("of a later round"));
        assert_eq!(group.wait(), Ok(()), "one error for each group");
    });
}

/// As Go's TestWithContext: the first error ends the context; so does `wait`.
#[test]
fn the_context_ends_with_the_first_error_or_with_wait() {
    everywhere("the_context_ends_with_the_first_error_or_with_wait", || {
        let (group, ctx) = ErrGroup::with_context(&context::background());
        for _ in 0..10 {
            let ctx = ctx.clone();
            group.go(move || sleep_ctx(&ctx, Duration::MAX));
        }
        group.go(|| Err(Error::DeadlineExceeded));
        assert_eq!(group.wait(), Err(Error::DeadlineExceeded));
        assert_eq!(ctx.err(), Some(Error::Cancelled));

        let (group, ctx) = ErrGroup::<()>::with_context(&context::background());
        group.go(|| Ok(()));
        assert_eq!(group.wait(), Ok(()));
        assert_eq!(ctx.err(), Some(Error::Cancelled));

        let (parent, cancel) = context::with_cancel(&context::background());
        let (group, ctx) = ErrGroup::with_context(&parent);
        group.go(move || sleep_ctx(&ctx, Duration::MAX));
        cancel.cancel();
        assert_eq!(group.wait(), Err(Error::Cancelled));
    });
}

#[test]
fn a_dropped_group_leaves_its_goroutines_alone() {
    everywhere("a_dropped_group_leaves_its_goroutines_alone", || {
        let (group, ctx) = ErrGroup::<Error>::with_context(&context::background());
        let (tx, rx) = gusty::chan::bounded(0);
        let theirs = ctx.clone();
        group.go(move || {
            rx.recv().unwrap();
            tx_result(&theirs)
        });
        drop(group);
        tx.send(()).unwrap();
        until(|| ctx.err().is_some()); // with the last of them
    });
    fn tx_result(ctx: &context::Context) -> Result<(), Error> {
        ctx.err().map_or(Ok(()), Err)
    }
}

/// As Go's TestGoLimit: never more than the limit at a time.
#[test]
fn a_limit_holds() {
    everywhere("a_limit_holds", || {
        let group = ErrGroup::<()>::new();
        group.set_limit(3);
        let active = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        for _ in 0..200 {
            let active = active.clone();
            group.go(move || {
                active.1.fetch_max(active.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gusty::yield_now();
                active.0.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            });
        }
        group.wait().unwrap();
        assert!((1..=3).contains(&active.1.load(Ordering::SeqCst)));
    });
}

/// As Go's TestTryGo: refused at the limit, started below it and without one.
#[test]
fn try_go_starts_or_says_no() {
    everywhere("try_go_starts_or_says_no", || {
        let (group, drops) = (ErrGroup::<()>::new(), Drops::new());
        assert!(group.try_go(|| Ok(())));
        group.wait().unwrap();
        group.set_limit(2);
        let (tx, rx) = gusty::chan::bounded::<()>(0);
        for _ in 0..2 {
            let rx = rx.clone();
            assert!(group.try_go(move || {
                rx.recv().unwrap_err();
                Ok(())
            }));
        }
        let tracker = drops.tracker();
        assert!(!group.try_go(move || {
            drop(tracker);
            Ok(())
        }));
        assert_eq!(drops.count(), 1, "the refused closure is gone");
        let refused = catch_unwind(AssertUnwindSafe(|| group.set_limit(5)));
        assert!(refused.is_err(), "two are running");
        drop(tx);
        group.wait().unwrap();
        assert!(group.try_go(|| Ok(())));
        group.wait().unwrap();
        group.set_limit(usize::MAX);
        assert!((0..100).all(|_| group.try_go(|| Ok(()))));
        group.wait().unwrap();
    });
}

/// Row 71, 81: a panic ends its goroutine only; the group says so to who waits.
#[test]
fn a_panic_reaches_wait_and_ends_the_context() {
    everywhere("a_panic_reaches_wait_and_ends_the_context", || {
        let (group, ctx) = ErrGroup::with_context(&context::background());
        let theirs = ctx.clone();
        group.go(move || sleep_ctx(&theirs, Duration::MAX));
        group.go(|| panic_any("expected by the test"));
        let payload = catch_unwind(AssertUnwindSafe(|| group.wait())).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"expected by the test"));
        assert_eq!(group.wait(), Ok(()), "resumed once");
        assert_eq!(ctx.err(), Some(Error::Cancelled));
    });
}

#[test]
fn wait_timeout_gives_up_and_loses_nothing() {
    watched("wait_timeout_gives_up_and_loses_nothing", || {
        let group = Arc::new(ErrGroup::new());
        let (tx, rx) = gusty::chan::bounded::<()>(0);
        group.go(move || rx.recv());
        assert_eq!(group.wait_timeout(Duration::from_millis(1)), None);
        let theirs = group.clone();
        let waiter = spawn(move || theirs.wait());
        until_parked([&waiter]);
        drop(tx);
        assert!(waiter.join().unwrap().is_err());
    });
}
