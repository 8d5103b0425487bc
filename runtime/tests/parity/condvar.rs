//! Job: `Condvar` as std's tests know it.

use super::sync::{Arc, Condvar, Mutex, WaitTimeoutResult, mpsc};
use super::{LONG, SHORT, run, thread};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

#[test]
fn notifying_nobody_is_nothing() {
    run(|| {
        static CONDVAR: Condvar = Condvar::new();
        CONDVAR.notify_one();
        CONDVAR.notify_all();
        assert_eq!(
            format!("{CONDVAR:?} {:?}", Condvar::default()),
            "Condvar { .. } Condvar { .. }"
        );
    });
}

#[test]
fn notify_one_wakes_a_waiter() {
    run(|| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let clone = pair.clone();
        let guard = pair.0.lock().unwrap();
        thread::spawn(move || {
            let _guard = clone.0.lock().unwrap();
            clone.1.notify_one();
        });
        drop(pair.1.wait(guard).unwrap());
    });
}

#[test]
fn notify_all_wakes_everybody() {
    run(|| {
        const N: usize = 10;
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let (tx, rx) = mpsc::channel();
        for _ in 0..N {
            let (shared, tx) = (shared.clone(), tx.clone());
            thread::spawn(move || {
                let (lock, condvar) = &*shared;
                let mut count = lock.lock().unwrap();
                *count += 1;
                if *count == N {
                    tx.send(()).unwrap();
                }
                while *count != 0 {
                    count = condvar.wait(count).unwrap();
                }
                tx.send(()).unwrap();
            });
        }
        drop(tx);
        rx.recv().unwrap();
        let mut count = shared.0.lock().unwrap();
        *count = 0;
        shared.1.notify_all();
        drop(count);
        assert_eq!(rx.iter().count(), N);
    });
}

#[test]
fn wait_while_waits_as_long_as_it_holds() {
    run(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let clone = pair.clone();
        thread::spawn(move || {
            for _ in 0..5 {
                *clone.0.lock().unwrap() += 1;
                clone.1.notify_one();
            }
        });
        let n = pair.1.wait_while(pair.0.lock().unwrap(), |n| *n < 5).unwrap();
        assert_eq!(*n, 5);
        drop(n);
        let mut asked = 0;
        drop(pair.1.wait_while(pair.0.lock().unwrap(), |_| {
            asked += 1;
            false
        }));
        assert_eq!(asked, 1);
    });
}

#[test]
fn a_wait_that_nobody_ends_times_out_and_has_the_mutex_again() {
    run(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        let mut guard = mutex.lock().unwrap();
        loop {
            let from = Instant::now();
            let (again, result) = condvar.wait_timeout(guard, SHORT).unwrap();
            guard = again;
            if result.timed_out() {
                assert!(from.elapsed() >= SHORT);
                break;
            }
        }
        assert!(mutex.try_lock().is_err());
        #[expect(deprecated, reason = "it is there")]
        let (_guard, notified) = condvar.wait_timeout_ms(guard, 1).unwrap();
        assert!(!notified);
        let _: fn(&WaitTimeoutResult) -> bool = WaitTimeoutResult::timed_out;
    });
}

#[test]
fn a_zero_timeout_lets_others_have_the_mutex_or_not_but_returns() {
    run(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        let guard = mutex.lock().unwrap();
        let (guard, result) = condvar.wait_timeout(guard, Duration::ZERO).unwrap();
        assert!(result.timed_out());
        let (_guard, result) =
            condvar.wait_timeout_while(guard, Duration::ZERO, |n| *n == 1).unwrap();
        assert!(result.timed_out());
    });
}

#[test]
fn wait_timeout_while_ends_by_time_by_condition_or_at_once() {
    run(|| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let wait = |timeout, done| {
            let guard = pair.0.lock().unwrap();
            pair.1.wait_timeout_while(guard, timeout, |set| *set != done).unwrap().1.timed_out()
        };
        assert!(wait(SHORT, true)); // nobody sets it
        assert!(!wait(Duration::ZERO, false)); // is not set anyway
        let clone = pair.clone();
        let setter = thread::spawn(move || {
            *clone.0.lock().unwrap() = true;
            clone.1.notify_one();
        });
        assert!(!wait(LONG, true));
        setter.join().unwrap();
    });
}

#[test]
fn a_notification_ends_a_wait_with_a_timeout() {
    run(|| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let clone = pair.clone();
        let guard = pair.0.lock().unwrap();
        let notifier = thread::spawn(move || {
            let _guard = clone.0.lock().unwrap();
            clone.1.notify_one();
        });
        let (guard, result) = pair.1.wait_timeout(guard, LONG).unwrap();
        assert!(!result.timed_out());
        drop(guard);
        notifier.join().unwrap();
    });
}

#[test]
fn what_a_condvar_is() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    is::<Condvar>();
}
