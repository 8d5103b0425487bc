//! Job: what a user can get wrong or ask too much of: settings, limits, sizes, durations, places
//!   to call from. Nothing crashes, nothing is lost, errors name the limit.

mod common;

use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::{Child, Drops, OnDrop, until, watched};
use gusty::Builder;

/// A thousand goroutines that park once each.
fn a_thousand_work() {
    let handles: Vec<_> = (0..1_000)
        .map(|i| {
            gusty::spawn(move || {
                gusty::yield_now();
                gusty::park();
                i
            })
        })
        .collect();
    for (i, handle) in handles.into_iter().enumerate() {
        handle.goroutine().unpark();
        assert_eq!(handle.join().unwrap(), i);
    }
}

#[gusty::test]
fn impossible_stack_sizes_are_errors() {
    for bytes in [0, (1 << 30) + 1, 1 << 40, usize::MAX] {
        let drops = Drops::new();
        let tracker = drops.tracker();
        let error = Builder::new().stack_size(bytes).spawn(move || drop(tracker)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&bytes.to_string()), "{error}");
        assert_eq!(drops.count(), 1, "the closure is dropped");
    }
}

#[gusty::test]
fn odd_stack_sizes_are_rounded_up() {
    for bytes in [1, 4_096, 65_535, 65_537, 100_000, 1 << 20, (1 << 20) + 1, 1 << 30] {
        let handle = Builder::new().stack_size(bytes).spawn(move || {
            let frame = [bytes; 512];
            gusty::yield_now();
            frame.iter().all(|&word| word == bytes)
        });
        assert!(handle.unwrap().join().unwrap());
    }
}

#[gusty::test]
fn stacks_of_all_sizes_side_by_side() {
    let handles: Vec<_> = (0..300)
        .map(|i| {
            let builder = Builder::new().stack_size(1 << (16 + i % 9));
            builder.spawn(gusty::park).unwrap()
        })
        .collect();
    for handle in handles {
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

#[test]
fn an_absurd_gomaxprocs_is_one_warning() {
    let test = "an_absurd_gomaxprocs_is_one_warning";
    for value in ["0", "-1", "abc", "100000", "1.5", "99999999999999999999999", "1 2"] {
        let ended = Child::of(test).env("GOMAXPROCS", value).run(|| {
            a_thousand_work();
            assert_eq!(gusty::runtime::gomaxprocs(0), gusty::runtime::num_cpu());
        });
        ended.succeeded().says(&["GOMAXPROCS", value]);
        assert_eq!(ended.count("GOMAXPROCS"), 1, "{}", ended.stderr);
    }
    for value in ["", " 2 ", "2"] {
        let ended = Child::of(test).env("GOMAXPROCS", value).run(|| unreachable!());
        assert_eq!(ended.count("GOMAXPROCS"), 0, "{}", ended.stderr);
    }
}

#[test]
fn a_sensible_gomaxprocs_is_taken() {
    for value in ["1", "3", " 7 ", "1024"] {
        let ended =
            Child::of("a_sensible_gomaxprocs_is_taken").env("GOMAXPROCS", value).run(|| {
                a_thousand_work();
                let asked: usize = std::env::var("GOMAXPROCS").unwrap().trim().parse().unwrap();
                assert_eq!(gusty::runtime::gomaxprocs(0), asked);
            });
        assert_eq!(ended.succeeded().count("gusty:"), 0, "{}", ended.stderr);
    }
}

#[test]
fn an_absurd_stack_size_is_one_warning() {
    for value in ["0", "-5", "big", "2000000000", "99999999999999999999999"] {
        let ended = Child::of("an_absurd_stack_size_is_one_warning")
            .env("GUSTY_STACK_SIZE", value)
            .run(a_thousand_work);
        ended.succeeded().says(&["GUSTY_STACK_SIZE", value]);
        assert_eq!(ended.count("GUSTY_STACK_SIZE"), 1, "{}", ended.stderr);
    }
}

#[test]
fn the_stack_size_of_the_environment_is_taken() {
    for value in ["1", "65536", "100000", "1000000", "1073741824"] {
        let ended = Child::of("the_stack_size_of_the_environment_is_taken")
            .env("GUSTY_STACK_SIZE", value)
            .run(a_thousand_work);
        assert_eq!(ended.succeeded().count("gusty:"), 0, "{}", ended.stderr);
    }
}

#[test]
fn every_kind_of_guard_works() {
    let test = "every_kind_of_guard_works";
    for value in ["auto", "madvise", "uffd", "mprotect", "bogus"] {
        let ended = Child::of(test).env("GUSTY_STACK_GUARD", value).run(a_thousand_work);
        ended.succeeded();
        if value == "bogus" {
            ended.says(&["GUSTY_STACK_GUARD", "bogus"]);
        }
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 8]);
    if std::hint::black_box(depth) == u64::MAX { 0 } else { recurse(depth + 1) + frame[3] }
}

#[test]
fn every_kind_of_guard_guards() {
    let test = "every_kind_of_guard_guards";
    for value in ["madvise", "uffd", "mprotect"] {
        let ended = Child::of(test).env("GUSTY_STACK_GUARD", value).run(|| {
            a_thousand_work();
            let _ = Builder::new().name("digger").spawn(|| recurse(0)).unwrap().join();
        });
        ended.killed_by(libc::SIGABRT).says(&["[digger]: stack overflow"]);
    }
}

#[test]
fn an_endless_sleep_disturbs_nobody() {
    watched("an_endless_sleep_disturbs_nobody", || {
        for _ in 0..10 {
            gusty::spawn(|| gusty::sleep(Duration::MAX));
            gusty::spawn(|| gusty::park_timeout(Duration::MAX));
        }
        a_thousand_work();
        gusty::spawn(|| gusty::sleep(Duration::from_millis(1))).join().unwrap();
    });
}

#[gusty::test]
fn absurd_durations() {
    gusty::sleep(Duration::ZERO);
    gusty::sleep(Duration::from_nanos(1));
    gusty::park_timeout(Duration::ZERO);
    gusty::park_timeout(Duration::from_nanos(1));
    gusty::sleep_until(std::time::Instant::now() - Duration::from_millis(1));
    let parked = gusty::spawn(|| gusty::park_timeout(Duration::MAX));
    parked.goroutine().unpark();
    parked.join().unwrap();
    let years = gusty::spawn(|| gusty::park_timeout(Duration::from_secs(u64::from(u32::MAX))));
    years.goroutine().unpark();
    years.join().unwrap();
    let before = std::time::Instant::now();
    gusty::sleep(Duration::from_millis(3));
    assert!(before.elapsed() >= Duration::from_millis(3), "never early");
}

#[test]
fn absurd_durations_on_a_plain_thread() {
    watched("absurd_durations_on_a_plain_thread", || {
        gusty::sleep(Duration::ZERO);
        gusty::park_timeout(Duration::ZERO);
        gusty::park_timeout(Duration::from_micros(50));
        let me = gusty::current();
        gusty::spawn(move || me.unpark());
        gusty::park_timeout(Duration::MAX);
        let before = std::time::Instant::now();
        gusty::sleep(Duration::from_millis(2));
        assert!(before.elapsed() >= Duration::from_millis(2), "never early");
    });
}

#[test]
fn spawning_from_every_place() {
    watched("spawning_from_every_place", || {
        let count = Arc::new(AtomicUsize::new(0));
        let add = |count: &Arc<AtomicUsize>| {
            let count = count.clone();
            drop(gusty::spawn(move || count.fetch_add(1, Ordering::SeqCst)));
        };
        add(&count); // a plain thread
        let theirs = count.clone();
        drop(gusty::spawn(move || {
            let _guard = OnDrop(|| add(&theirs)); // a destructor on a goroutine
            add(&theirs);
        }));
        let theirs = count.clone();
        drop(gusty::spawn(move || {
            let _guard = OnDrop(|| add(&theirs)); // a destructor while unwinding
            std::panic::resume_unwind(Box::new(()));
        }));
        let theirs = count.clone();
        // A result nobody asks for, and a payload's destructor.
        drop(gusty::spawn(move || OnDrop(move || add(&theirs))));
        until(|| count.load(Ordering::SeqCst) == 5);
    });
}

type AtExit = OnDrop<Box<dyn FnMut()>>;

std::thread_local! {
    static AT_EXIT: Cell<Option<AtExit>> = const { Cell::new(None) };
}

#[test]
fn a_threads_destructors_may_spawn_join_and_park() {
    watched("a_threads_destructors", || {
        let count = Arc::new(AtomicUsize::new(0));
        for i in 0..100 {
            let count = count.clone();
            let thread = std::thread::spawn(move || {
                let at_exit: Box<dyn FnMut()> = Box::new(move || {
                    let theirs = count.clone();
                    let handle = gusty::spawn(move || theirs.fetch_add(1, Ordering::SeqCst));
                    handle.join().unwrap();
                    gusty::park_timeout(Duration::from_micros(10));
                });
                // Before or after the runtime's own thread-locals are set up.
                if i % 2 == 0 {
                    gusty::current();
                }
                AT_EXIT.set(Some(OnDrop(at_exit)));
                if i % 4 == 1 {
                    gusty::current();
                }
            });
            thread.join().unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 100);
    });
}

#[test]
fn spawning_at_exit() {
    extern "C" fn last_words() {
        let value = gusty::spawn(|| {
            gusty::yield_now();
            11
        });
        println!("at exit: {}", value.join().unwrap());
    }
    let ended = Child::of("spawning_at_exit").run(|| {
        // SAFETY: a function of the right type.
        unsafe { libc::atexit(last_words) };
        gusty::spawn(gusty::park);
    });
    assert!(ended.succeeded().stdout.contains("at exit: 11"), "{}", ended.stdout);
}

#[test]
fn sixty_four_threads_start_the_runtime() {
    for procs in ["1", "2", "64"] {
        let ended =
            Child::of("sixty_four_threads_start_the_runtime").env("GOMAXPROCS", procs).run(|| {
                let barrier = Arc::new(Barrier::new(64));
                let starter = |i: usize| {
                    let barrier = barrier.clone();
                    std::thread::spawn(move || {
                        barrier.wait();
                        let handles: Vec<_> =
                            (0..100).map(|k| gusty::spawn(move || i * k)).collect();
                        handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
                    })
                };
                let threads: Vec<_> = (0..64).map(starter).collect();
                let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
                assert_eq!(sum, (0..64).sum::<usize>() * (0..100).sum::<usize>());
            });
        ended.succeeded();
    }
}

#[gusty::test]
fn absurd_names() {
    let long = "long ".repeat(100_000);
    for name in ["", "a\0b", "two\nlines", "\u{1F980} crab", long.as_str()] {
        let handle = Builder::new().name(name).spawn(|| {
            gusty::yield_now();
            gusty::current().name().map(str::to_owned)
        });
        let handle = handle.unwrap();
        assert_eq!(handle.goroutine().name(), Some(name));
        assert_eq!(handle.join().unwrap().as_deref(), Some(name));
    }
}

#[test]
fn absurd_names_in_reports() {
    let test = "absurd_names_in_reports";
    for kind in ["overflow", "panic"] {
        let ended = Child::of(test).env("KIND", kind).run(|| {
            let name = format!("a\0b\nc{}", "x".repeat(100_000));
            let overflow = std::env::var("KIND").unwrap() == "overflow";
            let run = move || if overflow { recurse(0) } else { panic!("named") };
            let _ = Builder::new().name(name).spawn(run).unwrap().join();
        });
        ended.says(&["goroutine "]).says(&["cxxx"]);
        if kind == "overflow" {
            ended.killed_by(libc::SIGABRT).says(&["stack overflow"]);
        } else {
            ended.succeeded().says(&["named"]);
        }
    }
}
