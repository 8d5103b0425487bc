//! Job: stack overflows: named and fatal in a goroutine, std's own affair elsewhere, and no other
//!   fault is taken for one.

mod common;

use std::hint::black_box;

use common::Child;

/// Uses some 100 bytes a level and never returns a value the optimiser could know.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 8]);
    if black_box(depth) == u64::MAX { 0 } else { recurse(depth + 1) + frame[3] }
}

#[inline(never)]
fn one_huge_frame<const N: usize>() -> u8 {
    let mut frame = [0_u8; N];
    black_box(&mut frame)[N / 2]
}

/// Bytes of a default stack.
const DEFAULT: usize = if cfg!(debug_assertions) { 1 << 20 } else { 256 << 10 };

/// Row 68 (TestStackOverflow).
#[test]
fn a_deep_recursion_is_reported() {
    let ended = Child::of("a_deep_recursion_is_reported").run(|| {
        let _ = gusty::Builder::new().name("digger").spawn(|| recurse(0)).unwrap().join();
    });
    let size = format!("({} KiB)", DEFAULT >> 10);
    ended.killed_by(libc::SIGABRT).says(&["goroutine ", " [digger]: stack overflow", &size]);
    ended.says(&["recurse"]);
    assert_eq!(ended.count("stack overflow"), 1, "{}", ended.stderr);
}

#[test]
fn a_nameless_goroutine_is_reported_by_its_id() {
    let ended = Child::of("a_nameless_goroutine_is_reported_by_its_id").run(|| {
        let handle = gusty::spawn(|| {
            gusty::park();
            recurse(0)
        });
        println!("id={}.", handle.goroutine().id());
        handle.goroutine().unpark();
        let _ = handle.join();
    });
    let id = ended.killed_by(libc::SIGABRT).stdout.split("id=").nth(1).unwrap();
    let id = id.split('.').next().unwrap();
    ended.says(&[&format!("goroutine {id}: stack overflow")]);
}

#[test]
fn one_huge_frame_is_reported() {
    let ended = Child::of("one_huge_frame_is_reported").run(|| {
        let run = one_huge_frame::<{ DEFAULT + (44 << 10) }>;
        let _ = gusty::Builder::new().name("hog").spawn(run).unwrap().join();
    });
    ended.killed_by(libc::SIGABRT).says(&["goroutine ", " [hog]: stack overflow"]);
}

#[test]
fn a_big_stack_is_named_with_its_size() {
    let ended = Child::of("a_big_stack_is_named_with_its_size").run(|| {
        let builder = gusty::Builder::new().name("big").stack_size(9 << 20);
        assert_eq!(
            builder.clone().spawn(one_huge_frame::<{ 8 << 20 }>).unwrap().join().unwrap(),
            0
        );
        let _ = builder.spawn(|| recurse(0)).unwrap().join();
    });
    ended.killed_by(libc::SIGABRT).says(&["[big]: stack overflow", "(16384 KiB)"]);
}

#[test]
fn a_small_stack_is_named_with_its_size() {
    let ended = Child::of("a_small_stack_is_named_with_its_size").run(|| {
        let builder = gusty::Builder::new().name("small").stack_size(1);
        let _ = builder.spawn(|| recurse(0)).unwrap().join();
    });
    ended.killed_by(libc::SIGABRT).says(&["[small]: stack overflow", "(64 KiB)"]);
}

mod entry {
    #[gusty::main]
    pub(super) fn main() {
        assert_eq!(super::one_huge_frame::<{ 7 << 20 }>(), 0);
        super::recurse(0);
    }
}

#[test]
fn main_has_a_name_and_eight_mib() {
    let ended = Child::of("main_has_a_name_and_eight_mib").run(entry::main);
    ended.killed_by(libc::SIGABRT).says(&["[main]: stack overflow", "(8192 KiB)"]);
}

#[test]
fn an_overflow_of_one_among_many() {
    let ended = Child::of("an_overflow_of_one_among_many").run(|| {
        for _ in 0..1_000 {
            gusty::spawn(gusty::park);
        }
        for _ in 0..20 {
            gusty::spawn(|| {
                loop {
                    gusty::yield_now();
                }
            });
        }
        let _ = gusty::Builder::new().name("digger").spawn(|| recurse(0)).unwrap().join();
    });
    ended.killed_by(libc::SIGABRT).says(&["[digger]: stack overflow"]);
    assert_eq!(ended.count("stack overflow"), 1, "{}", ended.stderr);
}

#[test]
fn several_overflows_at_once_end_the_process_once() {
    let ended = Child::of("several_overflows_at_once_end_the_process_once").run(|| {
        let handles: Vec<_> = (0..64).map(|_| gusty::spawn(|| recurse(0))).collect();
        for handle in handles {
            let _ = handle.join();
        }
    });
    ended.killed_by(libc::SIGABRT).says(&["goroutine ", ": stack overflow"]);
    assert_eq!(ended.count("stack overflow"), 1, "{}", ended.stderr);
}

#[test]
fn an_overflow_while_unwinding() {
    let ended = Child::of("an_overflow_while_unwinding").run(|| {
        let run = || {
            let _guard = common::OnDrop(|| assert!(recurse(0) > 0));
            std::panic::resume_unwind(Box::new(()));
        };
        let _ = gusty::Builder::new().name("faller").spawn(run).unwrap().join();
    });
    ended.killed_by(libc::SIGABRT).says(&["[faller]: stack overflow"]);
}

#[test]
fn a_plain_thread_overflows_as_ever() {
    let ended = Child::of("a_plain_thread_overflows_as_ever").run(|| {
        gusty::spawn(|| ()).join().unwrap(); // our handler is installed
        let builder = std::thread::Builder::new().name("plain".into());
        let _ = builder.spawn(|| recurse(0)).unwrap().join();
    });
    ended.killed_by(libc::SIGABRT).says(&["thread", "plain", "has overflowed its stack"]);
    assert_eq!(ended.count("goroutine"), 0, "{}", ended.stderr);
}

#[test]
fn a_null_pointer_is_still_a_segmentation_fault() {
    for place in ["goroutine", "thread"] {
        let ended = Child::of("a_null_pointer_is_still_a_segmentation_fault")
            .env("PLACE", place)
            .run(|| {
                let fault = || {
                    let null = black_box(std::ptr::null::<u8>());
                    // SAFETY: none: this is the fault that is wanted.
                    black_box(unsafe { null.read_volatile() });
                };
                if std::env::var("PLACE").unwrap() == "goroutine" {
                    let _ = gusty::spawn(fault).join();
                } else {
                    gusty::spawn(|| ()).join().unwrap();
                    let _ = std::thread::spawn(fault).join();
                }
            });
        ended.killed_by(libc::SIGSEGV);
        assert_eq!(ended.count("overflow"), 0, "{}", ended.stderr);
    }
}

#[test]
fn a_sent_signal_is_not_a_fault() {
    let ended = Child::of("a_sent_signal_is_not_a_fault").run(|| {
        // std's handler takes the first as an invitation to reset itself, the second ends it all.
        let _ = gusty::spawn(|| {
            for _ in 0..2 {
                // SAFETY: no preconditions.
                unsafe { libc::raise(libc::SIGSEGV) };
            }
        })
        .join();
    });
    ended.killed_by(libc::SIGSEGV);
    assert_eq!(ended.count("overflow"), 0, "{}", ended.stderr);
}

#[test]
fn most_of_the_stack_can_be_used() {
    gusty::spawn(|| {
        assert_eq!(one_huge_frame::<{ DEFAULT / 4 * 3 }>(), 0);
        gusty::yield_now();
        assert_eq!(one_huge_frame::<{ DEFAULT / 4 * 3 }>(), 0);
    })
    .join()
    .unwrap();
}
