//! Job: goroutines that are locked to their thread.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{alone, scaled, until, watched};
use gusty::{chan, lock_os_thread, spawn, unlock_os_thread, yield_now};

fn tid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

/// Goroutines that yield and see who else runs on their thread.
fn crowd(stop: &Arc<AtomicBool>) -> Vec<gusty::JoinHandle<HashSet<i32>>> {
    let run = |stop: Arc<AtomicBool>| {
        let mut seen = HashSet::new();
        while !stop.load(Ordering::SeqCst) {
            seen.insert(tid());
            yield_now();
        }
        seen
    };
    (0..8)
        .map(|_| {
            spawn({
                let stop = stop.clone();
                move || run(stop)
            })
        })
        .collect()
}

fn on_each(name: &str, f: impl Fn()) {
    let _alone = alone();
    for procs in [1, 2, 8] {
        let before = gusty::runtime::gomaxprocs(procs);
        watched(name, &f);
        gusty::runtime::gomaxprocs(before);
    }
}

#[test]
fn a_locked_goroutine_has_its_thread_to_itself() {
    on_each("alone on its thread", || {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = chan::bounded(0);
        let locked = spawn(move || {
            lock_os_thread();
            ready.send(()).unwrap();
            let mine = tid();
            let (tx, rx) = chan::bounded(0);
            let echo = spawn(move || rx.iter().inspect(|_| assert_ne!(tid(), mine)).sum::<usize>());
            for i in 0..scaled(300) {
                match i % 3 {
                    0 => yield_now(),
                    1 => tx.send(1).unwrap(),
                    _ => gusty::sleep(Duration::from_micros(20)),
                }
                assert_eq!(tid(), mine);
            }
            drop(tx);
            assert_eq!(echo.join().unwrap(), scaled(300) / 3);
            assert_eq!(tid(), mine);
            mine
        });
        is_ready.recv().unwrap();
        let others = crowd(&stop);
        let mine = locked.join().unwrap();
        stop.store(true, Ordering::SeqCst);
        for other in others {
            assert!(!other.join().unwrap().contains(&mine));
        }
    });
}

#[test]
fn locks_nest_and_end() {
    on_each("nesting", || {
        spawn(|| {
            unlock_os_thread(); // without a lock: nothing
            lock_os_thread();
            lock_os_thread();
            let mine = tid();
            unlock_os_thread();
            for _ in 0..50 {
                gusty::sleep(Duration::from_micros(10));
                assert_eq!(tid(), mine);
            }
            unlock_os_thread();
            unlock_os_thread();
        })
        .join()
        .unwrap();
        // Its thread is everybody's again.
        spawn(yield_now).join().unwrap();
    });
}

#[test]
fn a_goroutine_that_ends_locked_ends_its_thread() {
    on_each("end", || {
        let thread = spawn(|| {
            lock_os_thread();
            tid()
        });
        let tid = thread.join().unwrap();
        let task = format!("/proc/self/task/{tid}");
        until(|| !std::path::Path::new(&task).exists());
        assert_eq!(spawn(|| 5).join().unwrap(), 5);
    });
}

#[test]
fn a_locked_goroutine_may_block_its_thread() {
    on_each("blocking", || {
        spawn(|| {
            lock_os_thread();
            let mine = tid();
            for i in 0..5 {
                let busy = spawn(|| (0..50).for_each(|_| yield_now()));
                if i % 2 == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                } else {
                    gusty::blocking(|| std::thread::sleep(Duration::from_millis(2)));
                }
                assert_eq!(tid(), mine);
                busy.join().unwrap();
                assert_eq!(tid(), mine);
            }
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_plain_thread_is_left_alone() {
    lock_os_thread();
    unlock_os_thread();
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
}
