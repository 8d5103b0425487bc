//! Job: `Mutex` and `WaitGroup`: exclusion, poisoning, fairness, wake-ups; from goroutines, from
//!   plain threads and from both.

mod common;

use common::{until, watched};
use gusty::sync::{Mutex, WaitGroup};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);

/// Waits until all these goroutines are parked for `reason`, as a dump shows it.
fn until_parked<'a, T: 'a>(
    handles: impl IntoIterator<Item = &'a gusty::JoinHandle<T>> + Clone,
    reason: &str,
) {
    until(|| {
        let dump = gusty::runtime::dump();
        let lines = dump.lines().filter_map(|line| line.split_inclusive(']').next());
        let parked: HashSet<&str> = lines.collect();
        let line = |id| format!("goroutine {id} [{reason}]");
        let mut handles = handles.clone().into_iter();
        handles.all(|handle| parked.contains(line(handle.goroutine().id()).as_str()))
    });
}

#[test]
fn goroutines_and_threads_exclude_each_other() {
    const EACH: usize = 1_000;
    watched("goroutines_and_threads_exclude_each_other", || {
        // Two halves that must agree: an update that overlaps another would tear them.
        let pair = Arc::new(Mutex::new((0usize, 0usize)));
        let work = |pair: Arc<Mutex<(usize, usize)>>, yields: bool| {
            move || {
                for i in 0..EACH {
                    let mut pair = pair.lock().unwrap();
                    assert_eq!(pair.0, pair.1);
                    pair.0 += 1;
                    if yields && i % 64 == 0 {
                        gusty::yield_now(); // the guard moves to another thread, perhaps
                    }
                    pair.1 += 1;
                }
            }
        };
        let goroutines: Vec<_> =
            (0..64).map(|i| gusty::spawn(work(pair.clone(), i % 2 == 0))).collect();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(work(pair.clone(), true))).collect();
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(*pair.lock().unwrap(), (68 * EACH, 68 * EACH));
    });
}

#[gusty::test]
fn a_panic_in_the_section_poisons_and_the_value_is_still_reachable() {
    let mutex = Arc::new(Mutex::new(1));
    let clone = mutex.clone();
    let panicked = gusty::spawn(move || {
        let mut guard = clone.lock().unwrap();
        *guard = 2;
        panic!("expected by the test");
    });
    assert!(panicked.join().is_err());
    assert!(mutex.is_poisoned());
    assert_eq!(*mutex.lock().unwrap_err().into_inner(), 2);
    assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    mutex.clear_poison();
    assert_eq!(*mutex.lock().unwrap(), 2);

    let mut mutex = Mutex::new(5);
    let poison = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        panic!("expected by the test");
    }));
    assert!(poison.is_err());
    assert_eq!(*mutex.get_mut().unwrap_err().into_inner(), 5);
    assert_eq!(mutex.into_inner().unwrap_err().into_inner(), 5);
}

#[gusty::test]
fn a_lock_taken_and_released_while_unwinding_does_not_poison() {
    struct Locks(Arc<Mutex<u32>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let mutex = Arc::new(Mutex::new(0));
    let locks = Locks(mutex.clone());
    let panicked = gusty::spawn(move || {
        let _locks = locks;
        panic!("expected by the test");
    });
    assert!(panicked.join().is_err());
    assert!(!mutex.is_poisoned());
    assert_eq!(*mutex.lock().unwrap(), 1);
}

#[test]
fn a_holder_that_locks_again_at_once_cannot_keep_others_out() {
    watched("a_holder_that_locks_again_at_once_cannot_keep_others_out", || {
        for waiter_is_thread in [false, true] {
            let mutex = Arc::new(Mutex::new(()));
            let entered = Arc::new(AtomicBool::new(false));
            let guard = mutex.lock().unwrap(); // so that it finds the mutex held
            let enter = {
                let (mutex, entered) = (mutex.clone(), entered.clone());
                move || {
                    let _guard = mutex.lock().unwrap();
                    entered.store(true, Ordering::Release);
                }
            };
            let waiter: Box<dyn FnOnce()> = if waiter_is_thread {
                let handle = thread::spawn(enter);
                Box::new(move || handle.join().unwrap())
            } else {
                let handle = gusty::spawn(enter);
                Box::new(move || handle.join().unwrap())
            };
            drop(guard);
            // Never without the lock for longer than it takes to lock again; each hold is short,
            // too: only the hand-off lets the waiter in reliably.
            for _ in 0..5_000 {
                if entered.load(Ordering::Acquire) {
                    break;
                }
                let _guard = mutex.lock().unwrap();
                let from = Instant::now();
                while from.elapsed() < Duration::from_micros(200) {
                    std::hint::spin_loop();
                }
            }
            assert!(entered.load(Ordering::Acquire), "one second of holds, and nobody got in");
            waiter();
        }
    });
}

#[gusty::test]
fn waiters_of_a_long_hold_get_the_mutex_in_order() {
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let waiters: Vec<_> = (0..8)
        .map(|i| {
            let mutex = mutex.clone();
            let waiter = gusty::spawn(move || mutex.lock().unwrap().push(i));
            until_parked([&waiter], "sync.Mutex.lock");
            waiter
        })
        .collect();
    gusty::sleep(SHORT); // longer than anybody must wait before the mutex is handed over
    drop(guard);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(*mutex.lock().unwrap(), (0..8).collect::<Vec<_>>());
}

#[test]
fn try_lock_fails_only_while_it_is_held() {
    let mutex = Mutex::new(String::from("x"));
    let guard = mutex.lock().unwrap();
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked>, poisoned: false, .. }");
    assert_eq!(format!("{guard:?} {guard}"), "\"x\" x");
    drop(guard);
    mutex.try_lock().unwrap().push('y');
    assert_eq!(format!("{mutex:?}"), "Mutex { data: \"xy\", poisoned: false, .. }");
    assert_eq!(mutex.into_inner().unwrap(), "xy");
    assert_eq!(*Mutex::from(3).lock().unwrap(), 3);
    assert_eq!(*Mutex::<u8>::default().lock().unwrap(), 0);
    let unsized_value: &Mutex<[u8]> = &Mutex::new([1, 2, 3]);
    assert_eq!(unsized_value.lock().unwrap().len(), 3);
}

#[test]
fn guards_of_sync_values_are_sync_and_mutexes_survive_panics() {
    fn sync<T: Sync>(_: &T) {}
    fn safe<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    safe::<Mutex<std::cell::Cell<u8>>>();
    safe::<WaitGroup>();
    sync(&Mutex::new(0).lock().unwrap_or_else(PoisonError::into_inner));
}

#[gusty::test]
fn a_wait_group_can_be_used_again_at_once() {
    let group = Arc::new(WaitGroup::new());
    let count = Arc::new(AtomicUsize::new(0));
    for round in 1..=200 {
        group.add(4);
        for _ in 0..4 {
            let (group, count) = (group.clone(), count.clone());
            gusty::spawn(move || {
                count.fetch_add(1, Ordering::Relaxed);
                group.done();
            });
        }
        group.wait();
        assert_eq!(count.load(Ordering::Relaxed), 4 * round);
    }
    group.wait();
}

#[gusty::test]
fn every_waiter_of_a_wait_group_is_woken() {
    let group = Arc::new(WaitGroup::new());
    group.add(1);
    let n = common::scaled(10_000);
    let goroutines: Vec<_> = (0..n)
        .map(|i| {
            let group = group.clone();
            gusty::spawn(move || match i % 2 {
                0 => group.wait(),
                _ => assert!(group.wait_timeout(Duration::from_secs(3600))),
            })
        })
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let group = group.clone();
            thread::spawn(move || group.wait())
        })
        .collect();
    until_parked(&goroutines, "sync.WaitGroup.wait");
    group.done();
    goroutines.into_iter().for_each(|handle| handle.join().unwrap());
    threads.into_iter().for_each(|handle| handle.join().unwrap());
}

#[test]
fn a_negative_or_overflowing_counter_panics_and_changes_nothing() {
    let group = WaitGroup::new();
    let message = |f: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).expect("a message")
    };
    assert!(message(&|| group.done()).contains("negative WaitGroup counter"));
    group.wait();
    group.add(1);
    assert!(message(&|| group.add(u32::MAX as usize)).contains("overflow"));
    assert!(message(&|| group.add(usize::MAX)).contains("overflow"));
    assert_eq!(format!("{group:?}"), "WaitGroup { counter: 1, .. }");
    group.done();
    assert!(group.wait_timeout(Duration::ZERO));
}

#[test]
fn a_wait_that_times_out_leaves_the_group_usable() {
    watched("a_wait_that_times_out_leaves_the_group_usable", || {
        let group = Arc::new(WaitGroup::new());
        for on_goroutine in [true, false] {
            group.add(1);
            let clone = group.clone();
            let times_out = move || {
                assert!(!clone.wait_timeout(Duration::ZERO));
                assert!(!clone.wait_timeout(SHORT));
                assert!(!clone.wait_timeout(SHORT));
            };
            if on_goroutine {
                gusty::spawn(times_out).join().unwrap();
            } else {
                times_out();
            }
            group.done();
            assert!(group.wait_timeout(SHORT));
        }
    });
}
