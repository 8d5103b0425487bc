//! Job: panics are std's: payloads reach `join`, unwinding may block, nobody else sees it, what
//!   aborts with std aborts here; and how the process ends.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::{Child, Drops, OnDrop, until};

#[gusty::test]
fn payloads_reach_join() {
    let error = gusty::spawn(|| panic_any(vec![1, 2, 3])).join().unwrap_err();
    assert_eq!(*error.downcast::<Vec<i32>>().unwrap(), [1, 2, 3]);
    let number = std::hint::black_box(7);
    let error = gusty::spawn(move || panic!("formatted {number}")).join().unwrap_err();
    assert_eq!(*error.downcast::<String>().unwrap(), "formatted 7");
    let error = gusty::spawn(|| resume_unwind(Box::new(1_u8))).join().unwrap_err();
    assert_eq!(*error.downcast::<u8>().unwrap(), 1);
}

#[gusty::test]
fn a_caught_panic_is_over() {
    let value = gusty::spawn(|| {
        for i in 0..100 {
            let caught = catch_unwind(|| {
                gusty::yield_now();
                resume_unwind(Box::new(i))
            });
            assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), i);
            assert!(!std::thread::panicking());
            gusty::yield_now();
        }
        5
    });
    assert_eq!(value.join().unwrap(), 5);
}

#[gusty::test]
fn a_payload_crosses_goroutines() {
    let inner = gusty::spawn(|| resume_unwind(Box::new("deep")));
    let outer = gusty::spawn(move || match inner.join() {
        Ok(()) => unreachable!(),
        Err(payload) => resume_unwind(payload),
    });
    assert_eq!(*outer.join().unwrap_err().downcast::<&str>().unwrap(), "deep");
}

#[test]
fn a_thousand_panics_at_once() {
    let ended = Child::of("a_thousand_panics_at_once").run(|| {
        let go = Arc::new(AtomicBool::new(false));
        let handles: Vec<_> = (0..1_000)
            .map(|i| {
                let go = go.clone();
                let builder = gusty::Builder::new().name(format!("victim-{i}"));
                builder
                    .spawn(move || {
                        until(|| go.load(Ordering::SeqCst));
                        panic!("one of many")
                    })
                    .unwrap()
            })
            .collect();
        go.store(true, Ordering::SeqCst);
        for handle in handles {
            assert!(handle.join().is_err());
        }
        assert_eq!(gusty::spawn(|| 1).join().unwrap(), 1);
    });
    ended.succeeded().says(&["goroutine", "victim-999"]);
    assert_eq!(ended.count("one of many"), 1_000);
}

/// Panics in a goroutine whose unwinding runs `blocks`; 20 at once, while others look whether
/// they are panicking.
fn unwinding_blocks(blocks: impl Fn() + Send + Sync + 'static) {
    let blocks = Arc::new(blocks);
    let (done, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let watchers: Vec<_> = (0..8)
        .map(|_| {
            let (done, seen) = (done.clone(), seen.clone());
            gusty::spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    seen.fetch_add(usize::from(std::thread::panicking()), Ordering::SeqCst);
                    gusty::yield_now();
                }
            })
        })
        .collect();
    let handles: Vec<_> = (0..20)
        .map(|_| {
            let blocks = blocks.clone();
            gusty::spawn(move || {
                let _guard = OnDrop(|| {
                    assert!(std::thread::panicking());
                    blocks();
                    assert!(std::thread::panicking());
                });
                gusty::yield_now();
                resume_unwind(Box::new("unwound"));
            })
        })
        .collect();
    for handle in handles {
        assert_eq!(*handle.join().unwrap_err().downcast::<&str>().unwrap(), "unwound");
    }
    done.store(true, Ordering::SeqCst);
    for watcher in watchers {
        watcher.join().unwrap();
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "somebody else's panic was seen");
}

#[gusty::test]
fn unwinding_yields() {
    unwinding_blocks(|| (0..20).for_each(|_| gusty::yield_now()));
}

#[gusty::test]
fn unwinding_sleeps() {
    unwinding_blocks(|| gusty::sleep(Duration::from_micros(500)));
    unwinding_blocks(|| gusty::park_timeout(Duration::from_micros(500)));
    unwinding_blocks(|| gusty::sleep(Duration::ZERO));
}

#[gusty::test]
fn unwinding_parks() {
    unwinding_blocks(|| {
        let me = gusty::current();
        gusty::spawn(move || me.unpark());
        gusty::park();
    });
}

#[gusty::test]
fn unwinding_joins_and_opens_scopes() {
    unwinding_blocks(|| assert_eq!(gusty::spawn(|| 4).join().unwrap(), 4));
    unwinding_blocks(|| {
        gusty::scope(|s| {
            s.spawn(gusty::yield_now);
        });
    });
}

#[gusty::test]
fn unwinding_waits_by_yielding_for_another_goroutine() {
    unwinding_blocks(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = flag.clone();
        gusty::spawn(move || theirs.store(true, Ordering::SeqCst));
        until(|| flag.load(Ordering::SeqCst));
    });
}

#[gusty::test]
fn unwinding_catches_panics_of_its_own() {
    unwinding_blocks(|| {
        let caught = catch_unwind(|| {
            let _guard = OnDrop(|| gusty::sleep(Duration::from_micros(50)));
            resume_unwind(Box::new("inner"))
        });
        assert!(caught.is_err());
    });
}

#[gusty::test]
fn a_mutex_is_poisoned_by_its_own_holder_only() {
    let innocent = Arc::new(Mutex::new(0));
    let theirs = innocent.clone();
    let guilty = Arc::new(Mutex::new(0));
    let held = guilty.clone();
    unwinding_blocks(move || {
        *theirs.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        gusty::spawn({
            let theirs = theirs.clone();
            move || *theirs.lock().unwrap() += 1
        })
        .join()
        .unwrap();
    });
    assert_eq!(*innocent.lock().unwrap(), 40, "a lock taken and released while unwinding is well");
    let holder = gusty::spawn(move || {
        let _guard = held.lock().unwrap();
        resume_unwind(Box::new(()));
    });
    assert!(holder.join().is_err());
    assert!(guilty.is_poisoned());
}

#[gusty::test]
fn detached_panics_harm_nobody() {
    let drops = Drops::new();
    for _ in 0..200 {
        let tracker = drops.tracker();
        drop(gusty::spawn(move || resume_unwind(Box::new(tracker))));
    }
    until(|| drops.count() == 200);
}

/// A payload whose own destructor panics, with a payload that does not.
struct Vicious(Arc<AtomicUsize>);

impl Drop for Vicious {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("vicious"));
    }
}

#[gusty::test]
fn a_payload_whose_drop_panics() {
    let count = Arc::new(AtomicUsize::new(0));
    for i in 0..50 {
        let payload = Vicious(count.clone());
        let handle = gusty::spawn(move || resume_unwind(Box::new(payload)));
        if i % 2 == 0 {
            until(|| handle.is_finished());
        }
        drop(handle);
    }
    until(|| count.load(Ordering::SeqCst) == 50);
    let payload = Vicious(count.clone());
    let joined = gusty::spawn(move || resume_unwind(Box::new(payload))).join();
    let caught = catch_unwind(AssertUnwindSafe(|| drop(joined)));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "vicious");
    assert_eq!(count.load(Ordering::SeqCst), 51);
}

#[test]
fn a_panic_in_a_destructor_while_unwinding_aborts() {
    let ended = Child::of("a_panic_in_a_destructor_while_unwinding_aborts").run(|| {
        let handle = gusty::spawn(|| {
            let _guard = OnDrop(|| panic!("second"));
            panic!("first");
        });
        let _ = handle.join();
    });
    ended.killed_by(libc::SIGABRT).says(&["first"]).says(&["second"]);
}

#[test]
fn the_message_names_the_goroutine() {
    let ended = Child::of("the_message_names_the_goroutine").run(|| {
        let named = gusty::Builder::new().name("gerda").spawn(|| panic!("told you")).unwrap();
        let id = named.goroutine().id();
        assert!(named.join().is_err());
        println!("id={id}.");
    });
    ended.succeeded().says(&["goroutine", "[gerda]"]).says(&["told you"]);
    let id = ended.stdout.split("id=").nth(1).unwrap().split('.').next().unwrap();
    ended.says(&[&format!("goroutine {id} [gerda]")]);
}

#[test]
fn a_nameless_goroutine_is_named_by_its_id() {
    let ended = Child::of("a_nameless_goroutine_is_named_by_its_id").run(|| {
        let handle = gusty::spawn(|| panic!("who"));
        let id = handle.goroutine().id();
        assert!(handle.join().is_err());
        println!("id={id}.");
    });
    let id = ended.succeeded().stdout.split("id=").nth(1).unwrap().split('.').next().unwrap();
    ended.says(&[&format!("goroutine {id}")]);
}

#[inline(never)]
fn the_spawned_function() -> String {
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    std::hint::black_box(trace)
}

#[gusty::test]
fn a_backtrace_ends_at_the_goroutine() {
    let trace = gusty::spawn(the_spawned_function).join().unwrap();
    assert!(trace.contains("the_spawned_function"), "{trace}");
    assert!(trace.lines().count() < 200, "{trace}");
    assert!(!trace.contains("m_main"), "the scheduler's own stack is another one:\n{trace}");
}

#[test]
fn a_panic_with_a_backtrace_ends() {
    let test = "a_panic_with_a_backtrace_ends";
    for kind in ["1", "full"] {
        let ended = Child::of(test).run(|| {
            // SAFETY: no other thread of this process reads the environment yet.
            unsafe { std::env::set_var("RUST_BACKTRACE", kind) };
            let handle = gusty::spawn(|| {
                let trace = the_spawned_function();
                panic!("after {} bytes", trace.len().min(1))
            });
            assert!(handle.join().is_err());
        });
        ended.succeeded().says(&["after 1 bytes"]).says(&["stack backtrace"]);
    }
}

mod entry {
    #[gusty::main]
    pub(super) fn main() {
        panic!("main is lost");
    }
}

#[test]
fn a_panic_of_main_is_status_101() {
    let ended = Child::of("a_panic_of_main_is_status_101").run(entry::main);
    ended.exited(101).says(&["goroutine", "[main]"]).says(&["main is lost"]);
}

mod fails {
    #[gusty::main]
    pub(super) fn main() -> Result<(), String> {
        gusty::yield_now();
        Err("unwell".into())
    }
}

#[test]
fn an_error_of_main_is_status_1() {
    use std::process::{ExitCode, Termination};
    let ended = Child::of("an_error_of_main_is_status_1").run(|| {
        let failed = fails::main().report() == ExitCode::FAILURE;
        std::process::exit(if failed { 1 } else { 99 });
    });
    ended.exited(1).says(&["unwell"]);
}

mod leaves {
    use std::time::Duration;

    #[gusty::main]
    pub(super) fn main() -> u8 {
        assert_eq!(gusty::current().name(), Some("main"));
        assert!(gusty::is_goroutine());
        for i in 0..100 {
            gusty::spawn(move || match i % 4 {
                0 => gusty::park(),
                1 => gusty::sleep(Duration::MAX),
                2 => loop {
                    gusty::yield_now();
                },
                _ => drop(super::OnDrop(gusty::park)),
            });
        }
        gusty::yield_now();
        77
    }
}

#[test]
fn main_returns_whatever_the_others_do() {
    let test = "main_returns_whatever_the_others_do";
    Child::of(test).run(|| std::process::exit(i32::from(leaves::main()))).exited(77);
    // A goroutine that never lets go cannot keep the process either, if main still runs.
    Child::of(test).env("GOMAXPROCS", 2).run(|| unreachable!()).exited(77);
}

#[test]
fn any_goroutine_can_exit_the_process() {
    let ended = Child::of("any_goroutine_can_exit_the_process").run(|| {
        for _ in 0..10 {
            gusty::spawn(gusty::park);
        }
        gusty::spawn(|| std::process::exit(33));
        gusty::park();
    });
    ended.exited(33);
}

#[test]
fn any_goroutine_can_abort_the_process() {
    let ended = Child::of("any_goroutine_can_abort_the_process").run(|| {
        gusty::spawn(|| std::process::abort());
        gusty::park();
    });
    ended.killed_by(libc::SIGABRT);
}

#[test]
fn a_hook_of_the_application_replaces_ours() {
    let ended = Child::of("a_hook_of_the_application_replaces_ours").run(|| {
        gusty::spawn(|| ()).join().unwrap();
        std::panic::set_hook(Box::new(|info| eprintln!("mine: {info}")));
        assert!(gusty::spawn(|| panic!("seen")).join().is_err());
    });
    ended.succeeded().says(&["mine: "]);
    assert_eq!(ended.count("goroutine "), 0, "{}", ended.stderr);
}
