//! Job: `JoinHandle` as a `Future`: polled by an executor of a plain thread, by changing wakers,
//!   too often, not to the end.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{Drops, until, watched};

struct Flag {
    woken: AtomicUsize,
    sleeper: std::thread::Thread,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        self.sleeper.unpark();
    }
}

fn flag() -> Arc<Flag> {
    Arc::new(Flag { woken: AtomicUsize::new(0), sleeper: std::thread::current() })
}

/// A plain thread's executor of one future.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let flag = flag();
    let waker = Waker::from(flag.clone());
    loop {
        let seen = flag.woken.load(Ordering::SeqCst);
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        while flag.woken.load(Ordering::SeqCst) == seen {
            std::thread::park();
        }
    }
}

fn poll_once<T>(handle: &mut gusty::JoinHandle<T>, flag: &Arc<Flag>) -> Poll<gusty::Result<T>> {
    Pin::new(handle).poll(&mut Context::from_waker(&Waker::from(flag.clone())))
}

#[test]
fn a_handle_is_a_future() {
    watched("a_handle_is_a_future", || {
        for i in 0..common::scaled(2_000) {
            let handle = gusty::spawn(move || {
                for _ in 0..i % 5 {
                    gusty::yield_now();
                }
                i
            });
            assert_eq!(block_on(handle).unwrap(), i);
        }
        let failed = gusty::spawn(|| panic_any(5_u8));
        assert_eq!(*block_on(failed).unwrap_err().downcast::<u8>().unwrap(), 5);
        let both = async {
            let (a, b) = (gusty::spawn(|| 1), gusty::spawn(|| 2));
            b.await.unwrap() + a.await.unwrap()
        };
        assert_eq!(block_on(both), 3);
    });
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    watched("the_last_waker", || {
        let mut handle = gusty::spawn(gusty::park);
        let (first, second) = (flag(), flag());
        assert!(poll_once(&mut handle, &first).is_pending());
        assert_eq!(Arc::strong_count(&first), 2);
        assert!(poll_once(&mut handle, &second).is_pending());
        assert_eq!(Arc::strong_count(&first), 1, "the replaced waker is dropped");
        handle.goroutine().unpark();
        until(|| second.woken.load(Ordering::SeqCst) == 1);
        assert_eq!(first.woken.load(Ordering::SeqCst), 0);
        assert!(poll_once(&mut handle, &first).is_ready());
        until(|| Arc::strong_count(&second) == 1);
        let again = catch_unwind(AssertUnwindSafe(|| poll_once(&mut handle, &first).is_ready()));
        assert!(again.is_err(), "polled again after it was ready");
    });
}

#[test]
fn dropping_a_polled_handle_drops_its_waker() {
    watched("dropping_a_polled_handle", || {
        let drops = Drops::new();
        let (flag, tracker) = (flag(), drops.tracker());
        let mut handle = gusty::spawn(move || {
            gusty::park();
            tracker
        });
        let goroutine = handle.goroutine();
        assert!(poll_once(&mut handle, &flag).is_pending());
        drop(handle);
        assert_eq!(Arc::strong_count(&flag), 1);
        goroutine.unpark();
        until(|| drops.count() == 1);
        assert_eq!(flag.woken.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_polled_handle_can_still_be_joined() {
    watched("a_polled_handle_can_still_be_joined", || {
        let flag = flag();
        let mut handle = gusty::spawn(|| {
            gusty::park();
            9
        });
        let goroutine = handle.goroutine();
        assert!(poll_once(&mut handle, &flag).is_pending());
        let joiner = gusty::spawn(move || handle.join().unwrap());
        gusty::spawn(move || goroutine.unpark());
        assert_eq!(joiner.join().unwrap(), 9);
    });
}

#[test]
fn a_ready_handle_that_was_polled_is_dropped_quietly() {
    watched("a_ready_handle", || {
        let drops = Drops::new();
        let (flag, tracker) = (flag(), drops.tracker());
        let mut handle = gusty::spawn(move || tracker);
        until(|| handle.is_finished());
        assert!(matches!(poll_once(&mut handle, &flag), Poll::Ready(Ok(_))));
        assert_eq!(drops.count(), 1);
        drop(handle);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn many_polls_race_with_the_end() {
    watched("many_polls_race", || {
        let flags: Vec<_> = (0..4).map(|_| flag()).collect();
        for i in 0..common::scaled(5_000) {
            let mut handle = gusty::spawn(move || i);
            let mut k = 0;
            let value = loop {
                k += 1;
                match poll_once(&mut handle, &flags[k % 4]) {
                    Poll::Ready(value) => break value,
                    Poll::Pending => std::hint::spin_loop(),
                }
            };
            assert_eq!(value.unwrap(), i);
        }
        until(|| flags.iter().all(|flag| Arc::strong_count(flag) == 1));
    });
}
