//! Job: limits: on goroutines, on stacks, on memory. At a limit spawning waits or names it, and what
//!   runs goes on.

mod common;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Child, scaled, until};
use gusty::Builder;

/// Spawns `n` goroutines that do not park; all of them run.
fn all_run(n: usize) {
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..n {
        let count = count.clone();
        drop(gusty::spawn(move || count.fetch_add(1, Ordering::SeqCst)));
    }
    until(|| count.load(Ordering::SeqCst) == n);
}

#[test]
fn at_the_limit_a_goroutine_lets_others_end() {
    for procs in ["1", "2", "8", "64"] {
        let ended = Child::of("at_the_limit_a_goroutine_lets_others_end")
            .env("GUSTY_MAX_GOROUTINES", 1_000)
            .env("GOMAXPROCS", procs)
            .run(|| gusty::spawn(|| all_run(10_000)).join().unwrap());
        ended.succeeded();
    }
}

#[test]
fn at_the_limit_a_thread_lets_others_end() {
    for procs in ["1", "2", "8", "64"] {
        let ended = Child::of("at_the_limit_a_thread_lets_others_end")
            .env("GUSTY_MAX_GOROUTINES", 1_000)
            .env("GOMAXPROCS", procs)
            .run(|| all_run(10_000));
        ended.succeeded();
    }
}

#[test]
fn the_limit_is_named_and_harms_nobody() {
    let test = "the_limit_is_named_and_harms_nobody";
    let ended = Child::of(test).env("GUSTY_MAX_GOROUTINES", 1_000).run(|| {
        let attempt = || {
            let mut handles = Vec::new();
            loop {
                match Builder::new().spawn(gusty::park) {
                    Ok(handle) => handles.push(handle),
                    Err(error) => return (handles, error),
                }
                assert!(handles.len() <= 1_000);
            }
        };
        for _ in 0..3 {
            let (mut handles, error) = attempt();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            let text = error.to_string();
            assert!(text.contains("1000") && text.contains("GUSTY_MAX_GOROUTINES"), "{text}");
            assert!(handles.len() >= 800, "{} goroutines of 1000", handles.len());
            let last = handles.pop().unwrap();
            last.goroutine().unpark();
            last.join().unwrap();
            handles.push(Builder::new().spawn(gusty::park).unwrap()); // room again
            for handle in handles {
                handle.goroutine().unpark();
                handle.join().unwrap();
            }
        }
        let inside = gusty::spawn(move || attempt().1.to_string()).join().unwrap();
        assert!(inside.contains("1000"), "{inside}");
    });
    ended.succeeded();
}

#[test]
fn a_plain_spawn_at_the_limit_panics_with_its_name() {
    let test = "a_plain_spawn_at_the_limit_panics_with_its_name";
    let ended = Child::of(test).env("GUSTY_MAX_GOROUTINES", 100).run(|| {
        for _ in 0..200 {
            gusty::spawn(gusty::park);
        }
    });
    ended.exited(101).says(&["cannot spawn", "100", "GUSTY_MAX_GOROUTINES"]);
}

#[test]
fn more_stacks_than_mprotect_allows_wait_their_turn() {
    let test = "more_stacks_than_mprotect_allows_wait_their_turn";
    let ended = Child::of(test).env("GUSTY_STACK_GUARD", "mprotect").run(|| {
        let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let n = maps.trim().parse::<usize>().unwrap() + 1_000;
        let (open, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let sleeper = |_| {
            let (open, done) = (open.clone(), done.clone());
            gusty::spawn(move || {
                while !open.load(Ordering::SeqCst) {
                    gusty::park();
                }
                done.fetch_add(1, Ordering::SeqCst);
            })
        };
        let handles: Vec<_> = (0..n).map(sleeper).collect();
        open.store(true, Ordering::SeqCst);
        handles.iter().for_each(|handle| handle.goroutine().unpark());
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(done.load(Ordering::SeqCst), n);
    });
    ended.succeeded();
    if ended.count("gusty:") > 0 {
        ended.says(&["gusty:", "vm.max_map_count"]);
        assert_eq!(ended.count("gusty:"), 1, "{}", ended.stderr);
    }
}

#[test]
fn ten_million_spawns_in_a_loop() {
    for from in ["goroutine", "thread"] {
        let ended = Child::of("ten_million_spawns_in_a_loop").env("FROM", from).run(|| {
            let n = scaled(10_000_000);
            if std::env::var("FROM").unwrap() == "goroutine" {
                gusty::spawn(move || all_run(n)).join().unwrap();
            } else {
                all_run(n / 4);
            }
            assert!(common::peak_mib() < 3 << 10, "{} MiB", common::peak_mib());
        });
        ended.succeeded();
    }
}

#[test]
fn memory_is_reused_round_after_round() {
    let ended = Child::of("memory_is_reused_round_after_round").run(|| {
        let round = || {
            let handles: Vec<_> = (0..5_000).map(|_| gusty::spawn(gusty::park)).collect();
            for handle in handles {
                handle.goroutine().unpark();
                handle.join().unwrap();
            }
        };
        (0..3).for_each(|_| round());
        let before = common::peak_mib();
        (0..30).for_each(|_| round());
        assert!(common::peak_mib() <= before + 40, "{before} {}", common::peak_mib());
    });
    ended.succeeded();
}

#[test]
fn threads_that_come_and_go_leave_nothing() {
    let ended = Child::of("threads_that_come_and_go_leave_nothing")
        .env("GUSTY_MAX_GOROUTINES", 200)
        .run(|| {
            for _ in 0..500 {
                let thread = std::thread::spawn(|| gusty::spawn(|| 1).join().unwrap());
                assert_eq!(thread.join().unwrap(), 1);
            }
            assert!(gusty::runtime::dump().matches("thread").count() < 50);
        });
    ended.succeeded();
}
