//! Job: `Once` as std's tests know it.

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Arc, Once, mpsc};
use super::{panic_of, run, thread};
use std::panic::{RefUnwindSafe, UnwindSafe};

#[test]
fn it_runs_once() {
    run(|| {
        static ONCE: Once = Once::new();
        let mut runs = 0;
        ONCE.call_once(|| runs += 1);
        ONCE.call_once(|| runs += 1);
        ONCE.call_once_force(|_| runs += 1);
        assert_eq!(runs, 1);
        assert!(ONCE.is_completed());
        ONCE.wait();
        ONCE.wait_force();
        assert_eq!(format!("{ONCE:?}"), "Once { .. }");
    });
}

#[test]
fn everybody_in_a_stampede_sees_it_done() {
    run(|| {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let (tx, rx) = mpsc::channel();
        for _ in 0..10 {
            let (shared, tx) = (shared.clone(), tx.clone());
            thread::spawn(move || {
                (0..4).for_each(|_| thread::yield_now());
                shared.0.call_once(|| {
                    (0..10).for_each(|_| thread::yield_now());
                    // Nobody else runs it or has passed.
                    assert_eq!(shared.1.fetch_add(1, Ordering::Relaxed), 0);
                });
                assert_eq!(shared.1.load(Ordering::Relaxed), 1);
                tx.send(()).unwrap();
            });
        }
        drop(tx);
        assert_eq!(rx.iter().count(), 10);
    });
}

#[test]
fn poison_spreads_until_somebody_forces() {
    run(|| {
        let once = Once::new();
        panic_of(|| once.call_once(|| panic!("expected by the test")));
        assert!(!once.is_completed());
        for _ in 0..2 {
            let message = panic_of(|| once.call_once(|| ()));
            assert_eq!(message, "Once instance has previously been poisoned");
            panic_of(|| once.wait());
        }
        panic_of(|| once.call_once_force(|_| panic!("expected by the test")));
        let mut forced = false;
        once.call_once_force(|state| {
            forced = true;
            assert!(state.is_poisoned());
            assert_eq!(format!("{state:?}"), "OnceState { poisoned: true }");
        });
        assert!(forced && once.is_completed());
        once.call_once(|| unreachable!());
        Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
    });
}

#[test]
fn who_comes_while_it_is_forced_waits_and_is_not_poisoned() {
    run(|| {
        let once = Arc::new(Once::new());
        panic_of(|| once.call_once(|| panic!("expected by the test")));
        let (inside, is_inside) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel();
        let clone = once.clone();
        let forcing = thread::spawn(move || {
            clone.call_once_force(|state| {
                assert!(state.is_poisoned());
                inside.send(()).unwrap();
                may_finish.recv().unwrap();
            });
        });
        is_inside.recv().unwrap();
        let clone = once.clone();
        let mut called = false;
        let waiting = thread::spawn(move || {
            clone.call_once(|| called = true);
            assert!(!called);
        });
        let clone = once.clone();
        let awaiting = thread::spawn(move || clone.wait());
        (0..10).for_each(|_| thread::yield_now());
        finish.send(()).unwrap();
        forcing.join().unwrap();
        waiting.join().unwrap();
        awaiting.join().unwrap();
    });
}

#[test]
fn a_wait_ends_with_the_run_by_its_panic_too_unless_it_is_forced() {
    run(|| {
        let once = Arc::new(Once::new());
        let (inside, is_inside) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel();
        let clone = once.clone();
        let runner = thread::spawn(move || {
            clone.call_once(|| {
                inside.send(()).unwrap();
                may_finish.recv().unwrap();
                panic!("expected by the test");
            });
        });
        is_inside.recv().unwrap();
        let clone = once.clone();
        let forced = thread::spawn(move || clone.wait_force());
        let clone = once.clone();
        let plain = thread::spawn(move || clone.wait());
        (0..10).for_each(|_| thread::yield_now());
        finish.send(()).unwrap();
        assert!(runner.join().is_err());
        assert!(plain.join().is_err());
        once.call_once_force(|_| ());
        forced.join().unwrap();
    });
}

#[test]
fn what_a_once_is() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    is::<Once>();
}
