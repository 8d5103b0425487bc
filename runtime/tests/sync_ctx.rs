//! Job: waits of `sync` that end with a context: nothing is held, owed or lost afterwards.

mod common;

use common::{Rng, scaled, until, watched};
use gusty::context::{self, Error};
use gusty::sync::atomic::{AtomicUsize, Ordering};
use gusty::sync::{
    Arc, Barrier, Condvar, Mutex, Notify, Once, OnceLock, RwLock, Semaphore, SingleFlight,
    WaitGroup,
};
use std::time::Duration;

#[test]
fn each_wait_ends_with_its_context() {
    let waits = || {
        let (ctx, cancel) = context::with_cancel(&context::background());
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let (held, written) = (mutex.lock().unwrap(), lock.write().unwrap());
        gusty::go!(move || cancel.cancel());
        assert_eq!(mutex.lock_ctx(&ctx).err(), Some(Error::Cancelled));
        assert_eq!(lock.read_ctx(&ctx).err(), Some(Error::Cancelled));
        assert_eq!(lock.write_ctx(&ctx).err(), Some(Error::Cancelled));
        assert_eq!(Once::new().wait_ctx(&ctx), Err(Error::Cancelled));
        assert_eq!(OnceLock::<u8>::new().wait_ctx(&ctx), Err(Error::Cancelled));
        assert_eq!(Barrier::new(2).wait_ctx(&ctx).err(), Some(Error::Cancelled));
        let (held, notified) = Condvar::new().wait_ctx(held, &ctx).unwrap();
        assert_eq!(notified, Err(Error::Cancelled));
        drop((held, written));
        assert_eq!(*mutex.lock_ctx(&context::background()).unwrap().unwrap(), 1);
        assert_eq!(*lock.write_ctx(&context::background()).unwrap().unwrap(), 1);
        assert_eq!(*lock.read_ctx(&context::background()).unwrap().unwrap(), 1);
    };
    watched("each_wait_ends_with_its_context", || {
        waits();
        gusty::spawn(waits).join().unwrap();
    });
}

/// The rule of all calls whose names end in `_ctx`.
#[test]
fn under_an_ended_context_nothing_is_done() {
    let calls = || {
        let (ctx, cancel) = context::with_cancel(&context::background());
        cancel.cancel();
        let over = Error::Cancelled;
        let (mutex, lock, condvar) = (Mutex::new(1), RwLock::new(1), Condvar::new());
        assert_eq!(mutex.lock_ctx(&ctx).err(), Some(over));
        assert_eq!(lock.read_ctx(&ctx).err(), Some(over));
        assert_eq!(lock.write_ctx(&ctx).err(), Some(over));
        let (held, notified) = condvar.wait_ctx(mutex.lock().unwrap(), &ctx).unwrap();
        assert_eq!((*held, notified), (1, Err(over)));
        assert!(mutex.try_lock().is_err(), "not even unlocked");
        let once = Once::new();
        once.call_once(|| ());
        assert_eq!(once.wait_ctx(&ctx), Err(over));
        assert_eq!(OnceLock::from(5).wait_ctx(&ctx), Err(over));
        assert_eq!(Barrier::new(1).wait_ctx(&ctx).err(), Some(over));
        let semaphore = Semaphore::new(1);
        assert_eq!(semaphore.acquire_ctx(&ctx).err(), Some(over));
        assert_eq!(semaphore.available_permits(), 1);
        let notify = Notify::new();
        notify.notify_one();
        assert_eq!(notify.notified_ctx(&ctx), Err(over));
        assert!(notify.notified_timeout(Duration::ZERO), "the permit is still there");
        assert_eq!(WaitGroup::new().wait_ctx(&ctx), Err(over));
        let flights = SingleFlight::new();
        assert_eq!(flights.run_ctx(&ctx, 1, || unreachable!("not run")), Err::<((), _), _>(over));
        assert_eq!(gusty::time::sleep_ctx(&ctx, Duration::ZERO), Err(over));
        let ended = gusty::spawn(|| 7);
        until(|| ended.is_finished());
        assert_eq!(ended.join_ctx(&ctx).unwrap_err().join().unwrap(), 7);
    };
    watched("under_an_ended_context_nothing_is_done", || {
        calls();
        gusty::spawn(calls).join().unwrap();
    });
}

#[test]
fn a_storm_of_cancelled_waits_loses_nobody() {
    watched("a_storm_of_cancelled_waits_loses_nobody", || {
        let shared = Arc::new((Mutex::new(0usize), RwLock::new(0usize), AtomicUsize::new(0)));
        let worker = |seed: u64| {
            let shared = shared.clone();
            move || {
                let mut rng = Rng(seed);
                for _ in 0..scaled(500) {
                    let (ctx, cancel) = context::with_cancel(&context::background());
                    let pause = rng.below(4);
                    gusty::go!(move || {
                        (0..pause).for_each(|_| gusty::yield_now());
                        cancel.cancel();
                    });
                    let yields = rng.below(2) == 0;
                    let add = |n: &mut usize| {
                        *n += 1;
                        shared.2.fetch_add(1, Ordering::Relaxed);
                        if yields {
                            gusty::yield_now();
                        }
                    };
                    match rng.below(4) {
                        0 => drop(shared.0.lock_ctx(&ctx).map(|n| add(&mut n.unwrap()))),
                        1 => drop(shared.1.write_ctx(&ctx).map(|n| add(&mut n.unwrap()))),
                        2 => drop(shared.1.read_ctx(&ctx).map(|n| *n.unwrap())),
                        _ => add(&mut shared.0.lock().unwrap()),
                    }
                }
            }
        };
        let goroutines: Vec<_> = (0..16).map(|seed| gusty::spawn(worker(seed))).collect();
        let threads = [16, 17].map(|seed| std::thread::spawn(worker(seed)));
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        let total = *shared.0.try_lock().unwrap() + *shared.1.try_write().unwrap();
        assert_eq!(total, shared.2.load(Ordering::Relaxed));
    });
}

#[gusty::test]
fn a_cancelled_waiter_takes_no_notification_with_it() {
    for round in 0..scaled(500) {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let (ctx, cancel) = context::with_cancel(&context::background());
        let clone = shared.clone();
        let first = gusty::spawn(move || {
            let mut waiting = clone.0.lock().unwrap();
            *waiting += 1;
            clone.1.wait_ctx(waiting, &ctx).unwrap().1.is_ok()
        });
        until(|| *shared.0.lock().unwrap() == 1);
        let clone = shared.clone();
        let second = gusty::spawn(move || {
            let mut waiting = clone.0.lock().unwrap();
            *waiting += 1;
            clone.1.wait_timeout(waiting, Duration::from_secs(3600)).unwrap().1.timed_out()
        });
        until(|| *shared.0.lock().unwrap() == 2);
        if round % 2 == 0 {
            gusty::go!(move || cancel.cancel());
        } else {
            cancel.cancel();
        }
        shared.1.notify_one();
        if first.join().unwrap() {
            shared.1.notify_one(); // the first one had it; another one is due
        }
        assert!(!second.join().unwrap());
    }
}
