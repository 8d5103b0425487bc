//! Job: `WaitGroup::go` and waits under a context, and `scope_ctx`: nothing is left behind.

mod common;
mod waiters;

use common::{Drops, watched};
use gusty::context::{self, Error};
use gusty::sync::WaitGroup;
use gusty::time::sleep_ctx;
use gusty::{scope_ctx, spawn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use waiters::{everywhere, until_parked};

/// Row 81 (TestWaitGroupGo): all that was started has ended when `wait` returns.
#[test]
fn what_was_started_is_waited_for() {
    everywhere("what_was_started_is_waited_for", || {
        let (group, count) = (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)));
        for round in 1..=5 {
            for _ in 0..100 {
                let count = count.clone();
                group.go(move || {
                    gusty::yield_now();
                    count.fetch_add(1, Ordering::Relaxed)
                });
            }
            group.wait();
            assert_eq!(count.load(Ordering::Relaxed), 100 * round, "reused at once");
        }
    });
}

/// Row 81 (TestIssue76126) and row 71: a panic runs destructors and counts as done; unlike Go's, it
/// ends its goroutine only.
#[test]
fn a_panic_counts_as_done() {
    everywhere("a_panic_counts_as_done", || {
        let (group, drops) = (Arc::new(WaitGroup::new()), Drops::new());
        let (in_closure, in_body) = (drops.tracker(), drops.tracker());
        group.go(move || {
            let _both = (in_closure, in_body);
            panic!("expected by the test");
        });
        group.wait();
        assert_eq!(drops.count(), 2, "gone before it counted as done");
    });
}

/// Row 81 (TestWaitGroupMisuse): a counter below zero is a panic, and the group is as before.
#[test]
fn done_without_add_panics() {
    everywhere("done_without_add_panics", || {
        let group = Arc::new(WaitGroup::new());
        let too_many = catch_unwind(AssertUnwindSafe(|| group.done()));
        let message = too_many.unwrap_err().downcast::<&str>().unwrap();
        assert!(message.contains("negative WaitGroup counter"), "{message}");
        group.go(|| ());
        group.wait();
        assert!(catch_unwind(AssertUnwindSafe(|| group.done())).is_err());
    });
}

/// Row 81 (TestWaitGroupRace): waiting while it is used from several sides.
#[test]
fn children_start_children() {
    everywhere("children_start_children", || {
        fn tree(group: &Arc<WaitGroup>, leaves: &Arc<AtomicUsize>, depth: u32) {
            if depth == 0 {
                leaves.fetch_add(1, Ordering::Relaxed);
                return;
            }
            for _ in 0..2 {
                let (inner, leaves) = (group.clone(), leaves.clone());
                group.go(move || tree(&inner, &leaves, depth - 1));
            }
        }
        let (group, leaves) = (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)));
        tree(&group, &leaves, 8);
        group.wait();
        assert_eq!(leaves.load(Ordering::Relaxed), 256);
    });
}

#[test]
fn a_context_ends_a_wait() {
    everywhere("a_context_ends_a_wait", || {
        let group = Arc::new(WaitGroup::new());
        group.add(1);
        let (ctx, cancel) = context::with_cancel(&context::background());
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let (group, ctx) = (group.clone(), ctx.clone());
                spawn(move || group.wait_ctx(&ctx))
            })
            .collect();
        until_parked(&waiters);
        cancel.cancel();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(Error::Cancelled));
        }
        group.done();
        assert_eq!(group.wait_ctx(&context::background()), Ok(()));
        assert_eq!(group.wait_ctx(&ctx), Err(Error::Cancelled), "ended before");
    });
}

#[test]
fn an_error_ends_the_scope_s_context() {
    everywhere("an_error_ends_the_scope_s_context", || {
        let stopped = AtomicUsize::new(0);
        let result: Result<(), &str> = scope_ctx(&context::background(), |s| {
            for _ in 0..20 {
                s.spawn(|| {
                    assert!(sleep_ctx(s.context(), Duration::MAX).is_err());
                    stopped.fetch_add(1, Ordering::Relaxed)
                });
            }
            Err("early")?;
            unreachable!()
        });
        assert_eq!((result, stopped.into_inner()), (Err("early"), 20));
    });
}

#[test]
fn a_panic_ends_the_scope_s_context() {
    everywhere("a_panic_ends_the_scope_s_context", || {
        for in_child in [false, true] {
            let stopped = AtomicUsize::new(0);
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                scope_ctx(&context::background(), |s| {
                    s.spawn(|| {
                        assert!(sleep_ctx(s.context(), Duration::MAX).is_err());
                        stopped.fetch_add(1, Ordering::Relaxed)
                    });
                    if !in_child {
                        panic_any("expected by the test");
                    }
                    s.spawn(|| panic_any("expected by the test"));
                    Ok::<_, ()>(())
                })
            }));
            assert!(panicked.is_err());
            assert_eq!(stopped.into_inner(), 1);
        }
    });
}

#[test]
fn a_scope_that_ends_well_lets_its_children_finish() {
    everywhere("a_scope_that_ends_well_lets_its_children_finish", || {
        let (finished, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ctx = scope_ctx(&context::background(), |s| {
            for _ in 0..20 {
                s.spawn(|| {
                    gusty::sleep(Duration::from_micros(200));
                    kept.fetch_add(usize::from(s.context().err().is_none()), Ordering::Relaxed);
                    finished.fetch_add(1, Ordering::Relaxed)
                });
            }
            Ok::<_, ()>(s.context().clone())
        });
        assert_eq!((finished.into_inner(), kept.into_inner()), (20, 20));
        assert_eq!(ctx.unwrap().err(), Some(Error::Cancelled), "it ends with the scope");
        gusty::scope(|s| assert_eq!(s.context().err(), None));
    });
}

#[test]
fn the_parent_s_end_is_the_scope_s() {
    watched("the_parent_s_end_is_the_scope_s", || {
        let (ctx, cancel) = context::with_cancel(&context::background());
        let result = scope_ctx(&ctx, |s| {
            let child = s.spawn(|| sleep_ctx(s.context(), Duration::MAX));
            cancel.cancel();
            child.join().unwrap()
        });
        assert_eq!(result, Err(Error::Cancelled));
    });
}
