//! Job: spawning, joining, parking, panics, scopes: what every goroutine relies on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[gusty::test]
fn a_value_comes_back() {
    assert_eq!(gusty::spawn(|| 6 * 7).join().unwrap(), 42);
}

#[test]
fn a_plain_thread_joins() {
    assert_eq!(gusty::spawn(|| String::from("x")).join().unwrap(), "x");
}

#[gusty::test]
fn many_yields_interleave() {
    let sum = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let sum = sum.clone();
            gusty::spawn(move || {
                for _ in 0..1_000 {
                    sum.fetch_add(1, Ordering::Relaxed);
                    gusty::yield_now();
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    assert_eq!(sum.load(Ordering::Relaxed), 100_000);
}

#[gusty::test]
fn sleepers_wake() {
    let handles: Vec<_> = (0..200u64)
        .map(|i| gusty::spawn(move || gusty::sleep(Duration::from_micros(i * 10))))
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
}

#[gusty::test]
fn panics_are_results() {
    let error = gusty::spawn(|| panic!("boom")).join().unwrap_err();
    assert_eq!(*error.downcast_ref::<&str>().unwrap(), "boom");
}

#[gusty::test]
fn park_and_unpark() {
    let handle = gusty::spawn(|| {
        for _ in 0..1_000 {
            gusty::park();
        }
    });
    let goroutine = handle.goroutine();
    while !handle.is_finished() {
        goroutine.unpark();
        gusty::yield_now();
    }
    handle.join().unwrap();
}
