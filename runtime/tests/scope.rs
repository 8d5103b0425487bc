//! Job: `scope`: goroutines borrow from their parent, and the parent outlives them whatever
//!   happens.

mod common;

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Drops, OnDrop, watched};

#[gusty::test]
fn children_borrow() {
    let mut counts = vec![0_usize; 1_000];
    let base = 5;
    gusty::scope(|s| {
        for (i, count) in counts.iter_mut().enumerate() {
            let base = &base;
            s.spawn(move || {
                gusty::yield_now();
                *count = i + base;
            });
        }
    });
    assert!(counts.iter().enumerate().all(|(i, &count)| count == i + 5));
}

#[test]
fn a_plain_thread_opens_a_scope() {
    watched("a_plain_thread_opens_a_scope", || {
        for n in 0..200 {
            let sum = AtomicUsize::new(0);
            let result = gusty::scope(|s| {
                let handles: Vec<_> =
                    (0..n).map(|i| s.spawn(move || i)).chain([s.spawn(|| 0)]).collect();
                for handle in handles {
                    sum.fetch_add(handle.join().unwrap(), Ordering::Relaxed);
                }
                "value"
            });
            assert_eq!((result, sum.into_inner()), ("value", (0..n).sum()));
        }
    });
}

#[gusty::test]
fn an_empty_scope_returns() {
    assert_eq!(gusty::scope(|_| 3), 3);
}

#[gusty::test]
fn children_may_block_in_every_way() {
    let done = AtomicUsize::new(0);
    gusty::scope(|s| {
        for i in 0..300 {
            let done = &done;
            let handle = s.spawn(move || {
                match i % 3 {
                    0 => gusty::sleep(Duration::from_micros(200)),
                    1 => gusty::park(),
                    _ => gusty::yield_now(),
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
            if i % 3 == 1 {
                handle.goroutine().unpark();
            }
        }
    });
    assert_eq!(done.into_inner(), 300);
}

#[gusty::test]
fn scopes_nest_and_children_spawn_siblings() {
    let count = AtomicUsize::new(0);
    gusty::scope(|outer| {
        for _ in 0..10 {
            outer.spawn(|| {
                gusty::scope(|inner| {
                    for _ in 0..10 {
                        inner.spawn(|| count.fetch_add(1, Ordering::Relaxed));
                    }
                });
                outer.spawn(|| {
                    gusty::yield_now();
                    count.fetch_add(100, Ordering::Relaxed)
                });
            });
        }
    });
    assert_eq!(count.into_inner(), 1_100);
}

#[gusty::test]
fn a_panic_of_an_unjoined_child_reaches_the_scope_after_the_others() {
    let done = AtomicUsize::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| {
        gusty::scope(|s| {
            s.spawn(|| resume_unwind(Box::new("child")));
            for _ in 0..50 {
                s.spawn(|| {
                    gusty::sleep(Duration::from_micros(300));
                    done.fetch_add(1, Ordering::SeqCst)
                });
            }
        });
    }));
    assert!(result.is_err());
    assert_eq!(done.into_inner(), 50);
}

#[gusty::test]
fn a_panic_of_a_joined_child_is_its_joiners() {
    gusty::scope(|s| {
        let handle = s.spawn(|| -> u8 { panic_any("joined") });
        assert_eq!(*handle.join().unwrap_err().downcast::<&str>().unwrap(), "joined");
    });
}

#[gusty::test]
fn a_panic_of_the_parent_waits_for_the_children() {
    let done = AtomicUsize::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| {
        gusty::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| {
                    gusty::sleep(Duration::from_micros(300));
                    done.fetch_add(1, Ordering::SeqCst)
                });
            }
            resume_unwind(Box::new("parent"));
        })
    }));
    let payload: Box<dyn std::any::Any + Send> = result.unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "parent");
    assert_eq!(done.into_inner(), 50);
}

#[gusty::test]
fn parent_and_child_panic_the_parent_wins() {
    let result = catch_unwind(AssertUnwindSafe(|| {
        gusty::scope(|s| {
            s.spawn(|| resume_unwind(Box::new("child")));
            resume_unwind(Box::new("parent"));
        })
    }));
    let payload: Box<dyn std::any::Any + Send> = result.unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "parent");
}

#[gusty::test]
fn a_scope_inside_an_unwinding_destructor() {
    let sum = AtomicUsize::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _guard = OnDrop(|| {
            gusty::scope(|s| {
                for i in 0..20 {
                    let sum = &sum;
                    s.spawn(move || {
                        gusty::yield_now();
                        sum.fetch_add(i, Ordering::SeqCst)
                    });
                }
            });
        });
        resume_unwind(Box::new(()));
    }));
    assert!(result.is_err());
    assert_eq!(sum.into_inner(), 190);
}

#[gusty::test]
fn a_forgotten_handle_still_holds_the_scope() {
    let done = AtomicUsize::new(0);
    gusty::scope(|s| {
        for _ in 0..20 {
            let handle = s.spawn(|| {
                gusty::sleep(Duration::from_micros(300));
                done.fetch_add(1, Ordering::SeqCst)
            });
            let _forgotten = ManuallyDrop::new(handle);
        }
    });
    assert_eq!(done.into_inner(), 20);
}

/// A result whose destructor looks at what the goroutine borrowed.
struct Touches<'a>(&'a Mutex<Vec<usize>>, usize);

impl Drop for Touches<'_> {
    fn drop(&mut self) {
        gusty::yield_now();
        self.0.lock().unwrap().push(self.1);
    }
}

#[gusty::test]
fn results_that_touch_borrows_are_dropped_inside() {
    for round in 0..50 {
        let log = Mutex::new(Vec::new());
        gusty::scope(|s| {
            let log = &log;
            drop(s.spawn(move || Touches(log, 0)));
            let finished = s.spawn(move || Touches(log, 1));
            if round % 2 == 0 {
                common::until(|| finished.is_finished());
            }
            drop(finished);
            drop(s.spawn(move || Touches(log, 2)).join());
            s.spawn(move || Touches(log, 3));
        });
        let mut log = log.into_inner().unwrap();
        log.sort_unstable();
        assert_eq!(log, [0, 1, 2, 3]);
    }
}

#[gusty::test]
fn a_scoped_result_is_dropped_once() {
    let drops = Drops::new();
    for round in 0..500 {
        gusty::scope(|s| {
            let handle = s.spawn(|| drops.tracker());
            if round % 3 == 0 {
                drop(handle.join());
            } else if round % 3 == 1 {
                gusty::yield_now();
                drop(handle);
            }
        });
        assert_eq!(drops.count(), round + 1);
    }
}

#[gusty::test]
fn a_spawn_that_fails_leaves_the_scope_whole() {
    let drops = Drops::new();
    gusty::scope(|s| {
        let tracker = drops.tracker();
        let error = gusty::Builder::new().stack_size(0).spawn_scoped(s, move || drop(tracker));
        assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(drops.count(), 1);
        s.spawn(gusty::yield_now);
    });
    let name = gusty::scope(|s| {
        let builder = gusty::Builder::new().name("scoped").stack_size(1 << 20);
        let handle = builder.spawn_scoped(s, gusty::current).unwrap();
        let id = handle.goroutine().id();
        let inside = handle.join().unwrap();
        assert_eq!(inside.id(), id);
        inside.name().map(str::to_owned)
    });
    assert_eq!(name.as_deref(), Some("scoped"));
}

#[gusty::test]
fn ten_thousand_children() {
    let sum = AtomicUsize::new(0);
    gusty::scope(|s| {
        for i in 0..10_000 {
            let sum = &sum;
            s.spawn(move || sum.fetch_add(i, Ordering::Relaxed));
        }
    });
    assert_eq!(sum.into_inner(), (0..10_000).sum());
}

#[gusty::test]
fn scopes_end_as_their_last_child_does() {
    // The child decrements as the parent looks: thousands of chances to go wrong.
    for i in 0..common::scaled(20_000) {
        let mut local = i;
        gusty::scope(|s| {
            s.spawn(|| local += 1);
        });
        assert_eq!(local, i + 1);
    }
}

#[gusty::test]
fn a_cell_is_borrowed_mutably_in_turn() {
    let mut cell = Cell::new(0);
    for _ in 0..100 {
        gusty::scope(|s| {
            let cell = &mut cell;
            s.spawn(move || *cell.get_mut() += 1);
        });
    }
    assert_eq!(cell.into_inner(), 100);
}
