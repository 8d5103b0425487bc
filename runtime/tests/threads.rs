//! Job: how many threads the scheduler makes, keeps and ends.

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Child, until};
use gusty::spawn;

/// Blocks `n` goroutines on a std mutex at once, and lets them go again; how many threads there were.
fn burst(n: usize) -> usize {
    let gate = Arc::new(std::sync::Mutex::new(()));
    let begun = Arc::new(AtomicUsize::new(0));
    let held = gate.lock().unwrap();
    let blocked: Vec<_> = (0..n)
        .map(|_| {
            let (gate, begun) = (gate.clone(), begun.clone());
            spawn(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                gusty::blocking(|| drop(gate.lock().unwrap()));
            })
        })
        .collect();
    until(|| begun.load(Ordering::SeqCst) == n);
    let threads = gusty::runtime::num_threads();
    drop(held);
    blocked.into_iter().for_each(|handle| handle.join().unwrap());
    threads
}

#[test]
fn threads_of_a_burst_end_when_they_idle() {
    let child = Child::of("threads_of_a_burst_end_when_they_idle");
    let child = child.env("GUSTY_THREAD_IDLE_MS", 20).env("GOMAXPROCS", 2);
    let ended = child.run(|| {
        const N: usize = 500;
        for _ in 0..3 {
            assert!(burst(N) > N / 2, "not a burst");
            while gusty::runtime::num_threads() > 2 + 2 {
                std::thread::yield_now();
            }
        }
        // With those that are left everything works.
        let (tx, rx) = gusty::chan::bounded(0);
        gusty::go!(move || tx.send(7).unwrap());
        assert_eq!(rx.recv(), Ok(7));
    });
    ended.succeeded();
}

#[test]
fn the_limit_on_threads_is_named() {
    let child = Child::of("the_limit_on_threads_is_named").env("GUSTY_MAX_THREADS", 12);
    let ended = child.env("GOMAXPROCS", 1).run(|| {
        burst(50);
    });
    ended.killed_by(libc::SIGABRT).says(&["thread exhaustion", "12", "GUSTY_MAX_THREADS"]);
}

/// Threads with goroutines that stay on them are kept, however long they idle, and end afterwards.
#[test]
fn threads_end_only_when_nobody_stays_on_them() {
    const N: usize = 24;
    let child = Child::of("threads_end_only_when_nobody_stays_on_them");
    let child = child.env("GUSTY_THREAD_IDLE_MS", 5).env("GOMAXPROCS", 2);
    let ended = child.run(|| {
        let gate = Arc::new(std::sync::Mutex::new(()));
        let begun = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = gusty::chan::bounded::<()>(0);
        let held = gate.lock().unwrap();
        let threads = Arc::new(std::sync::Mutex::new(HashSet::new()));
        let pinned: Vec<_> = (0..N)
            .map(|_| {
                let (gate, begun, rx) = (gate.clone(), begun.clone(), rx.clone());
                let threads = threads.clone();
                gusty::go!(pinned, move || {
                    let mine = std::fs::read_link("/proc/thread-self").unwrap();
                    threads.lock().unwrap().insert(mine.clone());
                    begun.fetch_add(1, Ordering::SeqCst);
                    gusty::blocking(|| drop(gate.lock().unwrap()));
                    begun.fetch_add(1, Ordering::SeqCst);
                    assert!(rx.recv().is_err());
                    assert_eq!(std::fs::read_link("/proc/thread-self").unwrap(), mine);
                })
            })
            .collect();
        until(|| begun.load(Ordering::SeqCst) == N); // nearly each on a thread of its own
        drop(held);
        until(|| begun.load(Ordering::SeqCst) == 2 * N);
        for _ in 0..3 {
            assert!(burst(50) >= N);
            while gusty::runtime::num_threads() > N + 4 {
                std::thread::yield_now(); // the others end
            }
        }
        assert!(gusty::runtime::num_threads() >= threads.lock().unwrap().len());
        drop(tx);
        pinned.into_iter().for_each(|handle| handle.join().unwrap());
        while gusty::runtime::num_threads() > 2 + 2 {
            std::thread::yield_now();
        }
    });
    ended.succeeded();
}
