//! Job: `Semaphore`: weights, order, abandoned waits, permits in all forms; from goroutines and
//!   from plain threads.

mod common;
mod waiters;

use common::{Child, Rng, scaled, until, watched};
use gusty::context::{self, Error};
use gusty::sync::{OwnedSemaphorePermit, Semaphore, WaitGroup};
use gusty::{go, spawn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use waiters::{everywhere, until_parked};

const SHORT: Duration = Duration::from_millis(2);

#[test]
fn permits_are_counted() {
    everywhere("permits_are_counted", || {
        let semaphore = Semaphore::new(5);
        let mut three = semaphore.acquire_many(3);
        assert_eq!((three.count(), semaphore.available_permits()), (3, 2));
        assert!(semaphore.try_acquire_many(3).is_none());
        let two = semaphore.try_acquire_many(2).unwrap();
        assert!(semaphore.try_acquire().is_none());
        let one = three.split(1).unwrap();
        assert!(three.split(3).is_none());
        drop(one);
        assert_eq!((three.count(), semaphore.available_permits()), (2, 1));
        three.merge(two);
        assert_eq!(three.count(), 4);
        drop(three);
        assert_eq!(semaphore.available_permits(), 5);
        semaphore.acquire_many(2).forget();
        semaphore.add_permits(4);
        assert_eq!(semaphore.available_permits(), 7);
        let nothing = semaphore.acquire_many(0);
        assert_eq!((nothing.count(), semaphore.available_permits()), (0, 7));
    });
}

#[test]
fn misuse_panics_and_changes_nothing() {
    everywhere("misuse_panics_and_changes_nothing", || {
        let semaphore = Semaphore::new(1);
        assert!(catch_unwind(|| semaphore.add_permits(usize::MAX)).is_err());
        assert!(catch_unwind(|| semaphore.add_permits(Semaphore::MAX_PERMITS)).is_err());
        assert_eq!(semaphore.available_permits(), 1);
        assert!(catch_unwind(|| Semaphore::new(usize::MAX)).is_err());
        let other = Semaphore::new(1);
        let mixed = catch_unwind(AssertUnwindSafe(|| semaphore.acquire().merge(other.acquire())));
        assert!(mixed.is_err());
        assert_eq!((semaphore.available_permits(), other.available_permits()), (1, 1));
    });
}

#[test]
fn waiters_are_served_in_order_and_a_big_one_is_not_passed() {
    everywhere("waiters_are_served_in_order_and_a_big_one_is_not_passed", || {
        let semaphore = Arc::new(Semaphore::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut handles = Vec::new();
        for wants in [3, 1, 2] {
            let (semaphore, order) = (semaphore.clone(), order.clone());
            handles.push(spawn(move || {
                semaphore.acquire_many(wants).forget();
                order.lock().unwrap().push(wants);
            }));
            until_parked(&handles);
        }
        for (added, served) in [(2, 0), (1, 1), (1, 2), (1, 2)] {
            semaphore.add_permits(added);
            until(|| order.lock().unwrap().len() == served);
            assert!(semaphore.try_acquire().is_none(), "the queue comes first");
        }
        assert_eq!(semaphore.available_permits(), 1); // kept for the one that wants two
        semaphore.add_permits(1);
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(*order.lock().unwrap(), [3, 1, 2]);
    });
}

#[test]
fn one_release_serves_as_many_as_it_can() {
    everywhere("one_release_serves_as_many_as_it_can", || {
        let semaphore = Arc::new(Semaphore::new(0));
        let handles: Vec<_> = (0..300)
            .map(|_| {
                let semaphore = semaphore.clone();
                spawn(move || semaphore.acquire().forget())
            })
            .collect();
        until_parked(&handles);
        semaphore.add_permits(301);
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn an_abandoned_wait_lets_those_behind_it_pass() {
    everywhere("an_abandoned_wait_lets_those_behind_it_pass", || {
        let semaphore = Arc::new(Semaphore::new(1));
        let (ctx, cancel) = context::with_cancel(&context::background());
        let big = {
            let semaphore = semaphore.clone();
            spawn(move || semaphore.acquire_many_ctx(&ctx, 2).map(|_| ()))
        };
        until_parked([&big]);
        let small = {
            let semaphore = semaphore.clone();
            spawn(move || drop(semaphore.acquire()))
        };
        until_parked([&small]);
        cancel.cancel();
        assert_eq!(big.join().unwrap(), Err(Error::Cancelled));
        small.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn timeouts_and_ended_contexts() {
    everywhere("timeouts_and_ended_contexts", || {
        let semaphore = Semaphore::new(1);
        assert!(semaphore.acquire_timeout(Duration::ZERO).is_some());
        assert!(semaphore.acquire_many_timeout(2, Duration::ZERO).is_none());
        assert!(semaphore.acquire_many_timeout(2, SHORT).is_none());
        assert!(semaphore.acquire_timeout(Duration::MAX).is_some());
        let (ctx, _cancel) = context::with_timeout(&context::background(), SHORT);
        assert_eq!(semaphore.acquire_many_ctx(&ctx, 2).unwrap_err(), Error::DeadlineExceeded);
        assert!(semaphore.acquire_ctx(&ctx).is_err(), "ended before the call");
        assert!(semaphore.acquire_ctx(&context::background()).is_ok());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn owned_permits_travel() {
    everywhere("owned_permits_travel", || {
        let semaphore = Arc::new(Semaphore::new(3));
        let permit: OwnedSemaphorePermit = semaphore.clone().acquire_many_owned(2);
        let back = spawn(move || permit).join().unwrap();
        assert!(semaphore.clone().try_acquire_many_owned(2).is_none());
        go!(move || drop(back));
        semaphore.acquire_many(3).forget();
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn a_panic_gives_the_permit_back() {
    everywhere("a_panic_gives_the_permit_back", || {
        let semaphore = Arc::new(Semaphore::new(1));
        let theirs = semaphore.clone();
        let panicked = spawn(move || {
            let _permit = theirs.acquire();
            panic!("expected by the test");
        });
        assert!(panicked.join().is_err());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

/// Never more inside than there are permits; nothing is lost, whatever is given up.
#[test]
fn storm() {
    watched("storm", || {
        const PERMITS: usize = 7;
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let inside = Arc::new(AtomicUsize::new(0));
        let rounds = scaled(400);
        let work = |seed: u64| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            move || {
                let mut rng = Rng(seed);
                for _ in 0..rounds {
                    let n = 1 + rng.below(PERMITS);
                    let permit = match rng.below(4) {
                        0 => semaphore.try_acquire_many(n),
                        1 => semaphore.acquire_many_timeout(n, Duration::from_micros(20)),
                        2 => {
                            let (ctx, cancel) = context::with_cancel(&context::background());
                            go!(move || cancel.cancel());
                            semaphore.acquire_many_ctx(&ctx, n).ok()
                        }
                        _ => Some(semaphore.acquire_many(n)),
                    };
                    if let Some(permit) = permit {
                        let before = inside.fetch_add(n, Ordering::Relaxed);
                        assert!(before + n <= PERMITS);
                        if rng.below(3) == 0 {
                            gusty::yield_now();
                        }
                        inside.fetch_sub(n, Ordering::Relaxed);
                        drop(permit);
                    }
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|i| std::thread::spawn(work(i))).collect();
        let goroutines: Vec<_> = (10..40).map(|i| spawn(work(i))).collect();
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(semaphore.available_permits(), PERMITS);
    });
}

/// Row 56 (TestSemaHandoff): a permit that is given back goes to the waiter, not to whoever comes
/// next, and the waiter runs as soon as the giver lets it.
#[test]
fn a_permit_is_handed_to_the_waiter() {
    // With one P, whoever was about to wait and does not run now waits, unless it was preempted.
    let child = Child::of("a_permit_is_handed_to_the_waiter").env("GOMAXPROCS", 1);
    let ended = child.run(|| {
        let giver = spawn(|| {
            let rounds = scaled(10_000);
            let mut handed = 0;
            for _ in 0..rounds {
                let shared = Arc::new((Semaphore::new(0), AtomicUsize::new(0)));
                let theirs = shared.clone();
                let about_to_wait = Arc::new(AtomicBool::new(false));
                let flag = about_to_wait.clone();
                let waiter = spawn(move || {
                    flag.store(true, Ordering::SeqCst);
                    theirs.0.acquire().forget();
                    let _ = theirs.1.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
                });
                until(|| about_to_wait.load(Ordering::SeqCst));
                shared.0.add_permits(1);
                gusty::yield_now();
                let _ = shared.1.compare_exchange(0, 2, Ordering::SeqCst, Ordering::SeqCst);
                waiter.join().unwrap();
                handed += usize::from(shared.1.load(Ordering::SeqCst) == 1);
            }
            assert!(handed * 3 >= rounds * 2, "the waiter was first in {handed} of {rounds}");
        });
        giver.join().unwrap();
    });
    ended.succeeded();
}

#[gusty::test]
fn a_limit_of_workers() {
    let (limit, group) = (Arc::new(Semaphore::new(4)), Arc::new(WaitGroup::new()));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..200 {
        let permit = limit.clone().acquire_owned();
        let (now, most) = (now.clone(), most.clone());
        group.go(move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gusty::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
        });
    }
    group.wait();
    assert!((1..=4).contains(&most.load(Ordering::SeqCst)));
}
