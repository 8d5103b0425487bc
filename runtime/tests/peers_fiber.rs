//! Job: what the test suite of boost.fiber checks and applies here: fibers, its two kinds of channels,
//!   futures, the examples. (Mutexes, conditions and barriers are with `gusty::sync`'s own tests;
//!   fiber-specific storage is thread-local storage here.)

mod common;
mod waiters;

use common::{Drops, scaled, until};
use gusty::chan::{self, RecvTimeoutError, SendTimeoutError, TryRecvError};
use gusty::sync::Notify;
use gusty::{spawn, thread};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use waiters::{sweep, until_parked};

const SHORT: Duration = Duration::from_millis(2);

/// test_fiber: join of a function, of a method, of a closure that owns what cannot be copied.
#[test]
fn fiber_join_variants() {
    sweep("fiber_join_variants", || {
        fn function() -> u32 {
            1
        }
        struct Object(u32);
        impl Object {
            fn method(self, n: u32) -> u32 {
                self.0 + n
            }
        }
        assert_eq!(spawn(function).join().unwrap(), 1);
        assert_eq!(spawn(|| Object(3).method(4)).join().unwrap(), 7);
        let unique = Box::new(5);
        assert_eq!(*spawn(move || unique).join().unwrap(), 5);
        let by_reference = AtomicUsize::new(0);
        gusty::scope(|s| s.spawn(|| by_reference.store(9, Ordering::Relaxed)).join().unwrap());
        assert_eq!(by_reference.into_inner(), 9);
    });
}

/// test_fiber: ids differ, and are kept by the handle when it moves.
#[test]
fn fiber_ids_and_moves() {
    sweep("fiber_ids_and_moves", || {
        let (one, other) = (spawn(thread::current), spawn(thread::current));
        let (id, other_id) = (one.thread().id(), other.thread().id());
        assert_ne!(id, other_id);
        let moved = Box::new(one);
        assert_eq!(moved.join().unwrap().id(), id);
        assert_eq!(other.join().unwrap().id(), other_id);
    });
}

/// test_fiber: two that yield to each other take turns; a detached one runs to its end.
#[test]
fn fiber_yield_and_detach() {
    sweep("fiber_yield_and_detach", || {
        let (drops, notify) = (Drops::new(), Arc::new(Notify::new()));
        for _ in 0..2 {
            let (tracker, notify) = (drops.tracker(), notify.clone());
            drop(spawn(move || {
                (0..8).for_each(|_| thread::yield_now());
                drop(tracker);
                notify.notify_one();
            }));
        }
        until(|| drops.count() == 2);
        notify.notified();
    });
}

/// test_fiber: sleep_for and sleep_until do not end early; one in the past ends at once.
#[test]
fn fiber_sleep() {
    sweep("fiber_sleep", || {
        let began = Instant::now();
        thread::sleep(SHORT);
        thread::sleep_until(began + 2 * SHORT);
        assert!(began.elapsed() >= 2 * SHORT);
        thread::sleep_until(began);
        thread::sleep(Duration::ZERO);
    });
}

/// The channel cases, for the unbuffered kind and buffered ones: push and pop, closed and not, in
/// each of the blocking, trying and timed forms.
#[test]
fn channel_push_and_pop() {
    sweep("channel_push_and_pop", || {
        for capacity in [0, 1, 2, 16] {
            let (tx, rx) = chan::bounded(capacity);
            let theirs = tx.clone();
            let pusher = spawn(move || (1..=3).try_for_each(|i| theirs.send(i)));
            assert_eq!(rx.recv(), Ok(1));
            assert_eq!(rx.recv_timeout(Duration::MAX), Ok(2));
            until(|| rx.try_recv() == Ok(3));
            pusher.join().unwrap().unwrap();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
            for i in 0..capacity {
                tx.try_send(i).unwrap();
            }
            assert!(tx.try_send(99).is_err_and(|error| error.is_full()));
            assert_eq!(tx.send_timeout(99, SHORT), Err(SendTimeoutError::Timeout(99)));
            drop(tx);
            assert_eq!(rx.iter().collect::<Vec<_>>(), (0..capacity).collect::<Vec<_>>());
            assert!(rx.recv().is_err());
            assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Disconnected));
        }
    });
}

#[test]
fn channel_push_closed() {
    sweep("channel_push_closed", || {
        for capacity in [0, 1, 16] {
            let (tx, rx) = chan::bounded(capacity);
            tx.close();
            assert!(tx.send(1).is_err());
            assert!(tx.try_send(1).is_err_and(|error| error.is_disconnected()));
            assert_eq!(tx.send_timeout(1, SHORT), Err(SendTimeoutError::Disconnected(1)));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

/// wm_1, wm_2: a producer stops at the bound and goes on when there is room.
#[test]
fn channel_watermark() {
    sweep("channel_watermark", || {
        let (tx, rx) = chan::bounded(3);
        let pushed = Arc::new(AtomicUsize::new(0));
        let theirs = pushed.clone();
        let producer = spawn(move || {
            for i in 0..8 {
                tx.send(i).unwrap();
                theirs.fetch_add(1, Ordering::SeqCst);
            }
        });
        for taken in 0..5 {
            until(|| pushed.load(Ordering::SeqCst) == taken + 3);
            until_parked([&producer]);
            assert_eq!(rx.recv(), Ok(taken));
        }
        producer.join().unwrap();
        assert_eq!(rx.iter().collect::<Vec<_>>(), [5, 6, 7]);
    });
}

/// moveable, rangefor: values that cannot be copied, and iteration up to the close.
#[test]
fn channel_moveable_and_range_for() {
    sweep("channel_moveable_and_range_for", || {
        let (tx, rx) = chan::bounded(2);
        let producer = spawn(move || (0..50).map(Box::new).try_for_each(|value| tx.send(value)));
        let mut sum = 0;
        for value in &rx {
            sum += *value;
        }
        producer.join().unwrap().unwrap();
        assert_eq!(sum, 1_225);
    });
}

/// issue_181: a value whose push ran out of time is not delivered later, and gone once.
#[test]
fn channel_issue_181() {
    sweep("channel_issue_181", || {
        let drops = Drops::new();
        let (tx, rx) = chan::bounded(0);
        for i in 0..5 {
            let back = tx.send_timeout(drops.tracker(), Duration::from_micros(100));
            assert!(back.is_err());
            drop(back);
            assert_eq!(drops.count(), i + 1);
        }
        assert!(rx.try_recv().is_err());
    });
}

/// issue_268: closing while consumers wait lets all of them go, and each value out once.
#[test]
fn channel_issue_268() {
    sweep("channel_issue_268", || {
        for capacity in [0, 8] {
            let (tx, rx) = chan::bounded(capacity);
            let consumers: Vec<_> = (0..8)
                .map(|_| {
                    let rx = rx.clone();
                    spawn(move || rx.iter().sum::<usize>())
                })
                .collect();
            until_parked(&consumers);
            (1..=100).for_each(|i| tx.send(i).unwrap());
            tx.close();
            let sums = consumers.into_iter().map(|consumer| consumer.join().unwrap());
            assert_eq!(sums.sum::<usize>(), 5_050);
        }
    });
}

/// async, future, promise, packaged_task: a value set once, taken by whoever waits; a promise that
/// is dropped without a value says so; an exception arrives.
#[test]
fn futures() {
    sweep("futures", || {
        let asynchronous = spawn(|| 3);
        assert_eq!(asynchronous.join().unwrap(), 3);
        let task = |n: i32| move || n * 2;
        assert_eq!(spawn(task(4)).join().unwrap(), 8);
        let failed = spawn(|| std::panic::resume_unwind(Box::new("expected by the test")));
        assert!(failed.join().unwrap_err().is::<&str>());
        let (promise, future) = chan::bounded(1);
        assert_eq!(future.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        spawn(move || promise.send("kept").unwrap()).join().unwrap();
        assert_eq!(future.recv(), Ok("kept"));
        let (broken, future) = chan::bounded::<()>(1);
        drop(broken);
        assert!(future.recv().is_err());
    });
}

/// example ping_pong.
#[test]
fn example_ping_pong() {
    sweep("example_ping_pong", || {
        let ((ping_tx, ping), (pong_tx, pong)) = (chan::bounded(0), chan::bounded(0));
        let rounds = scaled(2_000);
        let one = spawn(move || {
            for i in 0..rounds {
                ping_tx.send(i).unwrap();
                assert_eq!(pong.recv(), Ok(i));
            }
        });
        let other = spawn(move || ping.iter().try_for_each(|i| pong_tx.send(i)));
        one.join().unwrap();
        other.join().unwrap().unwrap();
    });
}

/// example wait_stuff: the first of several results, the first that is no failure, all of them.
#[test]
fn example_wait_stuff() {
    sweep("example_wait_stuff", || {
        let gate = Arc::new(Notify::new());
        let (tx, rx) = chan::bounded(3);
        for (i, late) in [(1, true), (2, false), (3, true)] {
            let (tx, gate) = (tx.clone(), gate.clone());
            gusty::go!(move || {
                if late {
                    gate.notified();
                }
                tx.send(if i == 2 { Err("failed") } else { Ok(i) }).unwrap();
            });
        }
        drop(tx);
        assert_eq!(rx.recv(), Ok(Err("failed")), "the first of all");
        gate.notify_one();
        let first_good = rx.iter().find_map(Result::ok).unwrap();
        gate.notify_one();
        let last: Vec<_> = rx.iter().flatten().collect();
        assert_eq!(first_good + last.iter().sum::<i32>(), 4);
    });
}

/// example work_stealing: what one P starts is run by all, each task once.
#[test]
fn example_work_stealing() {
    sweep("example_work_stealing", || {
        let count = AtomicUsize::new(0);
        gusty::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| {
                    for _ in 0..20 {
                        s.spawn(|| count.fetch_add(1, Ordering::Relaxed));
                    }
                    thread::yield_now();
                });
            }
        });
        assert_eq!(count.into_inner(), 1_000);
    });
}

/// skynet: a tree of tasks sums up what its leaves are numbered.
#[test]
fn skynet() {
    sweep("skynet", || {
        fn node(first: u64, size: u64) -> u64 {
            if size == 1 {
                return first;
            }
            let tenth = size / 10;
            let children: Vec<_> =
                (0..10).map(|i| spawn(move || node(first + i * tenth, tenth))).collect();
            children.into_iter().map(|child| child.join().unwrap()).sum()
        }
        let size = if cfg!(debug_assertions) { 1_000 } else { 100_000 };
        assert_eq!(node(0, size), size * (size - 1) / 2);
    });
}
