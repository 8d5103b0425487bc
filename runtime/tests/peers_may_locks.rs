//! Job: what may's suite checks of `Mutex`, `RwLock` and `Condvar` between several of a crew, from
//!   goroutines, plain threads and both, with 1, 2, 4, 8 and 64 Ps. Cancelling a coroutine is ending
//!   the context that it waits with here.
//! Not here: the cases of one locker, which are std's (`sync_parity`).

mod common;
#[path = "peers_may/crew.rs"]
mod crew;

use common::OnDrop;
use crew::{Crew, Helper, LONG, ROUNDS, SHORT, cases, linger};
use gusty::chan;
use gusty::context::{self, CancelHandle, Context, Error};
use gusty::sync::{Arc, Condvar, Mutex, RwLock};
use gusty::time::sleep_ctx;

const HELPERS: usize = 10;

fn cancellable() -> (Context, CancelHandle) {
    context::with_cancel(&context::background())
}

fn join_all<T>(helpers: Vec<Helper<T>>) -> Vec<T> {
    helpers.into_iter().map(Helper::join).collect()
}

#[test]
fn lockers_of_all_kinds_lose_no_update() {
    cases("lockers_of_all_kinds_lose_no_update", |crew| {
        let sum = Arc::new(Mutex::new(0));
        let lockers = (0..6)
            .map(|_| {
                let sum = sum.clone();
                crew.spawn(move || (0..4 * ROUNDS).for_each(|_| *sum.lock().unwrap() += 1))
            })
            .collect();
        join_all::<()>(lockers);
        assert_eq!(*sum.lock().unwrap(), 24 * ROUNDS);
    });
}

#[test]
fn a_condition_and_its_mutex_come_through_a_channel() {
    cases("a_condition_and_its_mutex_come_through_a_channel", |crew| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let (tx, rx) = chan::bounded(0);
        let setter = crew.spawn(move || {
            let pair: Arc<(Mutex<bool>, Condvar)> = rx.recv().unwrap();
            *pair.0.lock().unwrap() = true;
            pair.1.notify_one();
        });
        let held = pair.0.lock().unwrap();
        tx.send(pair.clone()).unwrap();
        assert!(*pair.1.wait_while(held, |set| !*set).unwrap());
        setter.join();
    });
}

#[test]
fn a_panic_poisons_a_mutex_for_everybody() {
    cases("a_panic_poisons_a_mutex_for_everybody", |crew| {
        let pair = Arc::new((Mutex::new(1), Condvar::new()));
        let theirs = pair.clone();
        let waiting = crew.spawn(move || {
            // It sees the poison when it wakes; if it comes late, at the lock.
            let Ok(held) = theirs.0.lock() else { return true };
            theirs.1.wait_while(held, |n| *n == 1).is_err()
        });
        linger();
        let theirs = pair.clone();
        let failing = crew.spawn(move || {
            let mut held = theirs.0.lock().unwrap();
            *held = 2;
            theirs.1.notify_all();
            std::panic::resume_unwind(Box::new("with the mutex held"));
        });
        assert!(failing.result().is_err());
        assert!(pair.0.is_poisoned() && pair.0.lock().is_err());
        assert!(waiting.join());
    });
}

#[test]
fn a_destructor_locks_while_a_panic_unwinds() {
    cases("a_destructor_locks_while_a_panic_unwinds", |crew| {
        let (mutex, lock) = (Arc::new(Mutex::new(1)), Arc::new(RwLock::new(1)));
        let theirs = (mutex.clone(), lock.clone());
        let failing = crew.spawn(move || {
            let _adds = OnDrop(|| {
                *theirs.0.lock().unwrap() += 1;
                *theirs.1.write().unwrap() += 1;
            });
            std::panic::resume_unwind(Box::new("elsewhere"));
        });
        assert!(failing.result().is_err());
        assert_eq!((*mutex.lock().unwrap(), *lock.read().unwrap()), (2, 2));
    });
}

#[test]
fn a_locker_that_is_called_off_lets_the_next_one_in() {
    cases("a_locker_that_is_called_off_lets_the_next_one_in", |crew| {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock().unwrap();
        let (ctx, cancel) = cancellable();
        let theirs = mutex.clone();
        let gives_up = crew.spawn(move || theirs.lock_ctx(&ctx).map(|_| ()));
        linger();
        let theirs = mutex.clone();
        let next = crew.spawn(move || *theirs.lock().unwrap() += 1);
        linger();
        cancel.cancel();
        assert_eq!(gives_up.join(), Err(Error::Cancelled));
        drop(held);
        next.join();
        assert_eq!(*mutex.lock().unwrap(), 1);
    });
}

#[test]
fn a_holder_whose_sleep_is_called_off_leaves_the_mutex_whole() {
    cases("a_holder_whose_sleep_is_called_off_leaves_the_mutex_whole", |crew| {
        let mutex = Arc::new(Mutex::new(0));
        let (ctx, cancel) = cancellable();
        let (locked, is_locked) = chan::bounded(0);
        let theirs = mutex.clone();
        let sleeper = crew.spawn(move || -> Result<(), Error> {
            let mut held = theirs.lock().unwrap();
            locked.send(()).unwrap();
            sleep_ctx(&ctx, LONG)?;
            *held += 10;
            Ok(())
        });
        is_locked.recv().unwrap();
        let theirs = mutex.clone();
        let next = crew.spawn(move || *theirs.lock().unwrap() += 1);
        linger();
        cancel.cancel();
        assert_eq!(sleeper.join(), Err(Error::Cancelled));
        next.join();
        assert_eq!(*mutex.lock().unwrap(), 1, "not poisoned, either");
    });
}

#[test]
fn readers_and_writers_at_random() {
    cases("readers_and_writers_at_random", |crew| {
        let lock = Arc::new(RwLock::new((0, 0)));
        let helpers = (0..HELPERS)
            .map(|seed| {
                let lock = lock.clone();
                crew.spawn(move || {
                    let mut rng = common::Rng(seed as u64);
                    let mut written = 0;
                    for _ in 0..ROUNDS {
                        if rng.below(HELPERS) == 0 {
                            let mut pair = lock.write().unwrap();
                            pair.0 += 1;
                            gusty::yield_now();
                            pair.1 += 1;
                            written += 1;
                        } else {
                            let pair = lock.read().unwrap();
                            assert_eq!(pair.0, pair.1, "half of a write");
                        }
                    }
                    written
                })
            })
            .collect();
        let written: usize = join_all(helpers).into_iter().sum();
        assert_eq!(*lock.read().unwrap(), (written, written));
    });
}

#[test]
fn one_of_the_writers_is_called_off() {
    cases("one_of_the_writers_is_called_off", |crew| {
        let lock = Arc::new(RwLock::new(Vec::new()));
        let held = lock.write().unwrap();
        let (contexts, cancels): (Vec<_>, Vec<_>) = (0..HELPERS).map(|_| cancellable()).unzip();
        let mut writers: Vec<_> = contexts
            .into_iter()
            .enumerate()
            .map(|(i, ctx)| {
                let lock = lock.clone();
                crew.spawn(move || lock.write_ctx(&ctx).map(|held| held.unwrap().push(i)))
            })
            .collect();
        linger();
        cancels[3].cancel();
        assert_eq!(writers.remove(3).join(), Err(Error::Cancelled));
        drop(held);
        assert!(join_all(writers).iter().all(Result::is_ok), "nobody else is disturbed");
        let mut written = lock.read().unwrap().clone();
        written.sort_unstable();
        assert!(written.into_iter().eq((0..HELPERS).filter(|i| *i != 3)));
    });
}

#[test]
fn a_reader_that_is_called_off_lets_a_writer_in() {
    cases("a_reader_that_is_called_off_lets_a_writer_in", |crew| {
        let lock = Arc::new(RwLock::new(0));
        let held = lock.write().unwrap();
        let (ctx, cancel) = cancellable();
        let theirs = lock.clone();
        let reader = crew.spawn(move || theirs.read_ctx(&ctx).map(|_| ()));
        linger();
        let theirs = lock.clone();
        let writer = crew.spawn(move || *theirs.write().unwrap() += 1);
        cancel.cancel();
        assert_eq!(reader.join(), Err(Error::Cancelled));
        drop(held);
        writer.join();
        assert_eq!(*lock.read().unwrap(), 1);
    });
}

#[test]
fn a_notification_ends_a_wait_with_a_limit_and_one_without() {
    cases("a_notification_ends_a_wait_with_a_limit_and_one_without", |crew| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        pair.1.notify_one();
        pair.1.notify_all(); // to nobody
        let notify = |crew: Crew| {
            let theirs = pair.clone();
            crew.spawn(move || {
                let _held = theirs.0.lock().unwrap();
                theirs.1.notify_one();
            })
        };
        let held = pair.0.lock().unwrap();
        let notifier = notify(crew);
        let held = pair.1.wait(held).unwrap();
        let (held, passed) = pair.1.wait_timeout(held, SHORT / 10).unwrap();
        assert!(passed.timed_out());
        let second = notify(crew);
        let (held, passed) = pair.1.wait_timeout(held, LONG).unwrap();
        assert!(!passed.timed_out());
        drop(held);
        notifier.join();
        second.join();
    });
}

/// Whom `calls_off` names wait with a context that ends as the others are notified.
fn a_crowd_waits(crew: Crew, calls_off: usize) {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let (ctx, cancel) = cancellable();
    let (all_here, here) = chan::bounded(1);
    let waiters: Vec<_> = (0..HELPERS)
        .map(|i| {
            let (shared, ctx, all_here) = (shared.clone(), ctx.clone(), all_here.clone());
            crew.spawn(move || {
                let mut count = shared.0.lock().unwrap();
                *count += 1;
                if *count == HELPERS {
                    all_here.send(()).unwrap();
                }
                while *count != 0 {
                    if i < calls_off {
                        let (held, notified) = shared.1.wait_ctx(count, &ctx).unwrap();
                        if notified.is_err() {
                            return false;
                        }
                        count = held;
                    } else {
                        count = shared.1.wait(count).unwrap();
                    }
                }
                true
            })
        })
        .collect();
    here.recv().unwrap();
    *shared.0.lock().unwrap() = 0;
    cancel.cancel();
    shared.1.notify_all();
    let woken = join_all(waiters);
    assert!(woken[calls_off..].iter().all(|woken| *woken));
}

#[test]
fn a_broadcast_reaches_everybody() {
    cases("a_broadcast_reaches_everybody", |crew| a_crowd_waits(crew, 0));
}

#[test]
fn a_broadcast_reaches_all_that_are_not_called_off() {
    cases("a_broadcast_reaches_all_that_are_not_called_off", |crew| a_crowd_waits(crew, 3));
}
