//! Job: what is true only if a goroutine has thread-local storage of its own. Each test runs in
//!   children that make every park go through the global queue, on 2, 4 and 8 Ps.

mod common;
#[path = "tls/killers.rs"]
mod killers;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::time::Duration;

use common::{Child, scaled};
use gusty::runtime::{TlsLevel, features};

/// Runs `scenario` in children in which goroutines change threads at their parks.
fn migrating(test: &'static str, scenario: impl Fn()) {
    for procs in [2, 4, 8] {
        let child = Child::of(test).env("GUSTYDEBUG", "migrate=1").env("GOMAXPROCS", procs);
        child.run(&scenario).succeeded();
    }
}

/// Runs `f` on `count` goroutines at once and waits for all.
fn on_many(count: usize, f: impl Fn(usize) + Clone + Send + 'static) {
    let start = |i| {
        let f = f.clone();
        gusty::spawn(move || f(i))
    };
    let handles: Vec<_> = (0..count).map(start).collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

#[test]
fn the_level_is_told() {
    Child::of("the_level_is_told")
        .run(|| assert_eq!((features().tls, features().tls_reason), (TlsLevel::Own, "")))
        .succeeded();
}

#[test]
fn the_level_can_be_lowered() {
    let ended = Child::of("the_level_can_be_lowered").env("GUSTY_TLS", "shared").run(|| {
        assert_eq!(features().tls, TlsLevel::Shared);
        assert!(!features().tls_reason.is_empty());
        on_many(50, |_| gusty::yield_now());
    });
    ended.succeeded();
}

#[test]
fn bad_settings_are_reported() {
    let child = Child::of("bad_settings_are_reported")
        .env("GUSTY_TLS", "none")
        .env("GUSTY_TLS_SURPLUS", "some");
    let ended = child.run(|| assert_eq!(features().tls, TlsLevel::Own));
    ended
        .succeeded()
        .says(&["GUSTY_TLS=", "own, pthread, pinned, shared"])
        .says(&["GUSTY_TLS_SURPLUS", "keep"]);
}

#[test]
fn room_for_later_libraries_can_be_kept() {
    let child = Child::of("room_for_later_libraries_can_be_kept").env("GUSTY_TLS_SURPLUS", "keep");
    let ended = child.run(|| {
        assert!(features().tls_surplus);
        on_many(200, |_| gusty::yield_now());
    });
    ended.succeeded();
}

#[test]
fn borrows_and_values_stay_with_the_goroutine() {
    std::thread_local! {
        static LIST: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
    migrating("borrows_and_values_stay_with_the_goroutine", || {
        on_many(200, |i| {
            for k in 0..scaled(500) {
                LIST.with_borrow_mut(|list| {
                    list.push(i + k);
                    gusty::yield_now();
                    assert_eq!(list.last(), Some(&(i + k)));
                });
            }
            assert_eq!(LIST.take().len(), scaled(500));
        });
    });
}

#[test]
fn std_parks_and_unparks_goroutines_by_their_own_tokens() {
    migrating("std_parks_and_unparks_goroutines_by_their_own_tokens", || {
        on_many(50, |_| {
            for _ in 0..20 {
                std::thread::current().unpark();
                gusty::yield_now();
                std::thread::park(); // this goroutine's token is there
            }
        });
    });
}

#[test]
fn lines_of_a_thousand_goroutines_stay_whole() {
    let ended = Child::of("lines_of_a_thousand_goroutines_stay_whole")
        .env("GUSTYDEBUG", "migrate=1")
        .env("GOMAXPROCS", 4)
        .run(|| {
            on_many(1_000, |i| {
                for k in 0..5 {
                    println!("<{i} {k}>");
                    gusty::yield_now();
                }
            });
        });
    ended.succeeded();
    for (i, k) in (0..1_000).flat_map(|i| (0..5).map(move |k| (i, k))) {
        assert!(ended.stdout.contains(&format!("<{i} {k}>\n")), "{i} {k} in pieces");
    }
}

#[test]
fn panics_unwind_over_parks() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            (0..5).for_each(|_| gusty::yield_now());
            assert!(std::thread::panicking());
        }
    }
    migrating("panics_unwind_over_parks", || {
        on_many(100, |i| {
            for _ in 0..10 {
                let caught = std::panic::catch_unwind(|| {
                    let _parks = (i % 2 == 0).then(|| Parks);
                    gusty::yield_now();
                    std::panic::resume_unwind(Box::new(i));
                });
                assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), i);
                assert!(!std::thread::panicking());
            }
        });
    });
}

#[test]
fn destructors_run_once_over_many_reuses() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted(Cell<u32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            gusty::yield_now(); // they may park
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    std::thread_local! {
        static COUNTED: Counted = {
            MADE.fetch_add(1, Ordering::Relaxed);
            Counted(Cell::new(3))
        };
    }
    migrating("destructors_run_once_over_many_reuses", || {
        let rounds = scaled(1_000);
        for _ in 0..rounds {
            on_many(100, |i| {
                assert_eq!(COUNTED.with(|counted| counted.0.replace(4)), 3);
                if i % 3 == 0 {
                    gusty::yield_now();
                }
            });
        }
        let counts = (MADE.load(Ordering::Relaxed), DROPPED.load(Ordering::Relaxed));
        assert_eq!(counts, (100 * rounds, 100 * rounds));
    });
}

#[test]
fn locks_and_channels_of_std_never_corrupt() {
    migrating("locks_and_channels_of_std_never_corrupt", || {
        let sum = Arc::new((Mutex::new(0_usize), Condvar::new()));
        let (sender, receiver) = mpsc::channel();
        on_many(100, {
            let sum = sum.clone();
            move |i| {
                sender.send(i).unwrap();
                gusty::yield_now();
                *sum.0.lock().unwrap() += i;
                sum.1.notify_all();
            }
        });
        assert_eq!(receiver.iter().sum::<usize>(), 4_950);
        let guard = sum.1.wait_while(sum.0.lock().unwrap(), |sum| *sum < 4_950).unwrap();
        assert_eq!(*guard, 4_950);
    });
}

#[test]
fn a_barrier_of_std_lets_all_pass() {
    // Each blocks its thread, so there must be as many Ps.
    let ended = Child::of("a_barrier_of_std_lets_all_pass").env("GOMAXPROCS", 8).run(|| {
        let barrier = Arc::new(Barrier::new(4));
        on_many(4, move |_| {
            barrier.wait();
        });
    });
    ended.succeeded();
}

#[test]
fn programs_and_names_are_found() {
    migrating("programs_and_names_are_found", || {
        on_many(8, |_| {
            gusty::yield_now();
            assert!(std::process::Command::new("true").status().unwrap().success());
            let trace = std::backtrace::Backtrace::force_capture().to_string();
            assert!(trace.contains("gusty"));
            use std::net::ToSocketAddrs;
            assert!("localhost:80".to_socket_addrs().is_ok());
        });
    });
}

#[test]
fn a_process_ends_while_goroutines_are_parked() {
    let ended = Child::of("a_process_ends_while_goroutines_are_parked").run(|| {
        (0..200).for_each(|_| drop(gusty::spawn(gusty::park)));
        gusty::sleep(Duration::ZERO);
        gusty::spawn(|| std::process::exit(7)).join().unwrap();
    });
    ended.exited(7);
}
