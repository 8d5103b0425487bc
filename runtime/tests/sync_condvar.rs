//! Job: `Condvar` beyond std's promises: order, no lost and no stolen notification, also when waits
//!   time out; from goroutines, from plain threads and from both.
//! Not here: std's promises (`sync_parity`).

mod common;

use common::{Rng, scaled, until, watched};
use gusty::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use gusty::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(3600);

/// Row 79: each notification wakes one waiter, the one that has waited longest.
#[gusty::test]
fn each_notification_wakes_the_first_of_those_that_wait() {
    const N: usize = 20;
    let shared = Arc::new((Mutex::new((0, Vec::new())), Condvar::new()));
    let waiters: Vec<_> = (0..N)
        .map(|i| {
            let clone = shared.clone();
            let waiter = gusty::spawn(move || {
                let mut state = clone.0.lock().unwrap();
                state.0 += 1;
                let mut state = if i % 2 == 0 {
                    clone.1.wait(state).unwrap()
                } else {
                    clone.1.wait_timeout(state, LONG).unwrap().0
                };
                state.1.push(i);
            });
            // Whoever has the mutex after its waiter counted itself finds that queued.
            until(|| shared.0.lock().unwrap().0 == i + 1);
            waiter
        })
        .collect();
    for i in 0..N {
        assert_eq!(shared.0.lock().unwrap().1.len(), i);
        shared.1.notify_one();
        until(|| shared.0.lock().unwrap().1.len() > i);
        (0..10).for_each(|_| gusty::yield_now());
    }
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(shared.0.lock().unwrap().1, (0..N).collect::<Vec<_>>());
}

/// Row 80: a notification for those that wait is not taken by one that comes later.
#[gusty::test]
fn a_later_waiter_does_not_steal_a_notification() {
    for round in 0..scaled(500) {
        let shared = Arc::new((Mutex::new(0), Condvar::new(), AtomicBool::new(false)));
        let wait = |woken: bool| {
            let clone = shared.clone();
            let before = *shared.0.lock().unwrap();
            let waiter = gusty::spawn(move || {
                let mut waiting = clone.0.lock().unwrap();
                *waiting += 1;
                drop(clone.1.wait(waiting).unwrap());
                clone.2.fetch_or(woken, Ordering::SeqCst);
            });
            until(|| *shared.0.lock().unwrap() > before);
            waiter
        };
        let first = wait(true);
        if round % 2 == 0 {
            shared.1.notify_one();
        } else {
            shared.1.notify_all();
        }
        let second = wait(false);
        first.join().unwrap(); // hangs if the second one was woken instead
        assert!(shared.2.load(Ordering::SeqCst));
        shared.1.notify_one();
        second.join().unwrap();
    }
}

/// Row 80: a broadcast wakes all that wait, again and again, on goroutines and threads.
#[test]
fn broadcasts_drive_rounds_of_many() {
    const WORKERS: usize = 20;
    watched("broadcasts_drive_rounds_of_many", || {
        let rounds = scaled(200);
        let shared = Arc::new((Mutex::new((0usize, 0usize)), Condvar::new(), Condvar::new()));
        let worker = || {
            let shared = shared.clone();
            move || {
                for round in 1..=rounds {
                    let (lock, begun, done) = &*shared;
                    let state = lock.lock().unwrap();
                    let mut state = begun.wait_while(state, |state| state.0 < round).unwrap();
                    state.1 += 1;
                    if state.1 == WORKERS {
                        done.notify_one();
                    }
                }
            }
        };
        let goroutines: Vec<_> = (0..WORKERS - 2).map(|_| gusty::spawn(worker())).collect();
        let threads = [(); 2].map(|()| std::thread::spawn(worker()));
        for round in 1..=rounds {
            let (lock, begun, done) = &*shared;
            let mut state = lock.lock().unwrap();
            *state = (round, 0);
            begun.notify_all();
            drop(done.wait_while(state, |state| state.1 < WORKERS).unwrap());
        }
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[gusty::test]
fn a_waiter_that_timed_out_takes_no_notification_with_it() {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let clone = shared.clone();
    let impatient = gusty::spawn(move || {
        let mut waiting = clone.0.lock().unwrap();
        *waiting += 1;
        clone.1.wait_timeout(waiting, SHORT).unwrap().1.timed_out()
    });
    until(|| *shared.0.lock().unwrap() == 1);
    let clone = shared.clone();
    let patient = gusty::spawn(move || {
        let mut waiting = clone.0.lock().unwrap();
        *waiting += 1;
        drop(clone.1.wait(waiting).unwrap());
    });
    until(|| *shared.0.lock().unwrap() == 2);
    assert!(impatient.join().unwrap());
    shared.1.notify_one();
    patient.join().unwrap();
}

/// Tickets are handed out one notification each; waits with timeouts race with them. A lost
/// notification leaves a ticket behind that nobody comes for.
#[test]
fn notifications_that_race_with_timeouts_are_not_lost() {
    watched("notifications_that_race_with_timeouts_are_not_lost", || {
        let tickets = scaled(5_000);
        let shared = Arc::new((Mutex::new(0usize), Condvar::new(), AtomicUsize::new(0)));
        let taker = |seed: u64, patient: bool| {
            let shared = shared.clone();
            move || {
                let mut rng = Rng(seed);
                let mut free = shared.0.lock().unwrap();
                while shared.2.load(Ordering::Relaxed) < tickets {
                    if *free > 0 {
                        *free -= 1;
                        if shared.2.fetch_add(1, Ordering::Relaxed) + 1 == tickets {
                            shared.1.notify_all();
                        }
                    } else if patient {
                        free = shared.1.wait(free).unwrap();
                    } else {
                        let timeout = Duration::from_micros(rng.next() % 50);
                        let (again, result) = shared.1.wait_timeout(free, timeout).unwrap();
                        free = again;
                        // Not a bystander: what it was notified of goes on to the next.
                        if !result.timed_out() && *free > 0 && rng.below(2) == 0 {
                            shared.1.notify_one();
                            drop(free);
                            gusty::yield_now();
                            free = shared.0.lock().unwrap();
                        }
                    }
                }
            }
        };
        let goroutines: Vec<_> =
            (0..8).map(|seed| gusty::spawn(taker(seed, seed % 4 == 0))).collect();
        let threads = [8, 9].map(|seed| std::thread::spawn(taker(seed, seed == 8)));
        for i in 0..tickets {
            *shared.0.lock().unwrap() += 1;
            shared.1.notify_one();
            if i % 64 == 0 {
                gusty::yield_now();
            }
        }
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(*shared.0.lock().unwrap(), 0);
    });
}

/// What std's documentation leaves open: each waiter unlocks and locks its own mutex.
#[gusty::test]
fn one_condvar_may_serve_two_mutexes() {
    let shared = Arc::new(([Mutex::new(0), Mutex::new(0)], Condvar::new()));
    let waiters = [0, 1].map(|i| {
        let clone = shared.clone();
        let waiter = gusty::spawn(move || {
            let mut mine = clone.0[i].lock().unwrap();
            *mine = 1;
            mine = clone.1.wait(mine).unwrap();
            *mine = 2;
        });
        until(|| *shared.0[i].lock().unwrap() == 1);
        waiter
    });
    shared.1.notify_all();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert!(shared.0.iter().all(|mutex| *mutex.lock().unwrap() == 2));
}

/// While a panic unwinds, waiting blocks the thread and works all the same.
#[gusty::test]
fn a_destructor_may_wait_while_a_panic_unwinds() {
    struct Waits(Arc<(Mutex<u32>, Condvar)>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let mut state = self.0.0.lock().unwrap();
            *state = 1;
            drop(self.0.1.wait_while(state, |state| *state == 1).unwrap());
        }
    }
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let waits = Waits(shared.clone());
    let panics = gusty::spawn(move || {
        let _waits = waits;
        panic!("expected by the test");
    });
    until(|| *shared.0.lock().unwrap() == 1);
    *shared.0.lock().unwrap() = 2;
    shared.1.notify_one();
    assert!(panics.join().is_err());
    assert!(!shared.0.is_poisoned());
}

#[gusty::test]
fn a_broadcast_wakes_thousands() {
    let n = scaled(10_000);
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let waiters: Vec<_> = (0..n)
        .map(|i| {
            let shared = shared.clone();
            gusty::spawn(move || {
                let mut waiting = shared.0.lock().unwrap();
                *waiting += 1;
                if i % 2 == 0 {
                    drop(shared.1.wait(waiting).unwrap());
                } else {
                    assert!(!shared.1.wait_timeout(waiting, LONG).unwrap().1.timed_out());
                }
            })
        })
        .collect();
    until(|| *shared.0.lock().unwrap() == n);
    shared.1.notify_all();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}
