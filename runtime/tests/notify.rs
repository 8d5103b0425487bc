//! Job: `Notify`: one permit, waiters of now, listeners, abandoned waits.

mod common;
mod waiters;

use common::{Rng, scaled, until, watched};
use gusty::context::{self, Error};
use gusty::spawn;
use gusty::sync::Notify;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use waiters::{everywhere, until_parked};

const SHORT: Duration = Duration::from_millis(2);

#[test]
fn one_permit_is_kept() {
    everywhere("one_permit_is_kept", || {
        let notify = Notify::new();
        assert!(!notify.notified_timeout(SHORT));
        notify.notify_one();
        notify.notify_one();
        notify.notified();
        assert!(!notify.notified_timeout(Duration::ZERO));
        notify.notify_waiters();
        assert!(!notify.notified_timeout(SHORT), "kept for nobody");
        notify.notify_one();
        assert!(notify.notified_timeout(Duration::MAX));
    });
}

#[test]
fn one_wakes_in_order_and_all_wakes_all() {
    everywhere("one_wakes_in_order_and_all_wakes_all", || {
        let notify = Arc::new(Notify::new());
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut handles = Vec::new();
        for i in 0..10 {
            let (notify, order) = (notify.clone(), order.clone());
            handles.push(spawn(move || {
                notify.notified();
                order.lock().unwrap().push(i);
            }));
            until_parked(&handles);
        }
        for i in 0..4 {
            notify.notify_one();
            until(|| order.lock().unwrap().len() == i + 1);
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
        notify.notify_waiters();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert!(!notify.notified_timeout(Duration::ZERO));
    });
}

#[test]
fn a_listener_misses_nothing() {
    everywhere("a_listener_misses_nothing", || {
        let notify = Notify::new();
        let listener = notify.listen();
        notify.notify_waiters();
        listener.wait();
        let late = notify.listen();
        assert!(!late.wait_timeout(SHORT));
        let listener = notify.listen();
        notify.notify_one();
        listener.wait();
        let (one, other) = (notify.listen(), notify.listen());
        notify.notify_waiters();
        one.wait();
        assert!(other.wait_timeout(Duration::MAX));
    });
}

#[test]
fn contexts_end_waits() {
    everywhere("contexts_end_waits", || {
        let notify = Arc::new(Notify::new());
        let (ctx, cancel) = context::with_cancel(&context::background());
        let handles: Vec<_> = (0..2)
            .map(|i| {
                let (notify, ctx) = (notify.clone(), ctx.clone());
                spawn(move || match i {
                    0 => notify.notified_ctx(&ctx),
                    _ => notify.listen().wait_ctx(&ctx),
                })
            })
            .collect();
        until_parked(&handles);
        cancel.cancel();
        for handle in handles {
            assert_eq!(handle.join().unwrap(), Err(Error::Cancelled));
        }
        notify.notify_one();
        assert_eq!(notify.notified_ctx(&ctx), Err(Error::Cancelled));
        assert_eq!(notify.notified_ctx(&context::background()), Ok(()));
    });
}

/// Every `notify_one` is either taken by a wait or kept, also while waits are given up: with one
/// notification at a time under way, none is ever lost.
#[test]
fn abandoned_waits_lose_nothing() {
    watched("abandoned_waits_lose_nothing", || {
        let (notify, taken) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let work = |seed| {
            let (notify, taken, stop) = (notify.clone(), taken.clone(), stop.clone());
            move || {
                let mut rng = Rng(seed);
                while !stop.load(Ordering::Acquire) {
                    let patience = Duration::from_micros(rng.below(30) as u64);
                    if notify.notified_timeout(patience) {
                        taken.fetch_add(1, Ordering::AcqRel);
                    }
                    gusty::yield_now();
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|i| std::thread::spawn(work(i))).collect();
        let goroutines: Vec<_> = (2..6).map(|i| spawn(work(i))).collect();
        for i in 0..scaled(2_000) {
            notify.notify_one();
            until(|| taken.load(Ordering::Acquire) > i);
        }
        stop.store(true, Ordering::Release);
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(taken.load(Ordering::Acquire), scaled(2_000));
    });
}

/// Waiters that come back at once are not woken by the call that woke them.
#[test]
fn all_means_those_of_now() {
    watched("all_means_those_of_now", || {
        let shared = Arc::new((Notify::new(), AtomicUsize::new(0)));
        let handles: Vec<_> = (0..300)
            .map(|_| {
                let shared = shared.clone();
                spawn(move || {
                    for _ in 0..2 {
                        shared.0.notified();
                        shared.1.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        until_parked(&handles);
        shared.0.notify_waiters();
        until_parked(&handles);
        assert_eq!(shared.1.load(Ordering::Relaxed), 300);
        shared.0.notify_waiters();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}
