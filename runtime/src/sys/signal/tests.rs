//! Job: overflows and other faults, each in a process of its own, by what they leave behind.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::ptr;

use libc::{SIG_DFL, SIG_IGN, SIGSEGV, c_int, stack_t};

use super::{AltStack, FRAMES, Who, WhoHook, install};
use crate::arch::{self, Exit};
use crate::stack::{GuardKind, Hit, LocalCache, SizeClass, choose_guard};

const CASE: &str = "GUSTY_TEST_FAULT";

/// Runs `child` in a process of its own with `case`; returns the signal that ended it and
/// what it wrote to standard error.
fn fault(case: &str) -> (Option<i32>, String) {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &name, "--nocapture"]).env(CASE, case).env("RUST_BACKTRACE", "0");
    let output = child.output().unwrap();
    (output.status.signal(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 20]);
    if frame[3] == usize::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}

#[inline(never)]
fn huge_frame() -> u8 {
    black_box([1u8; 300_000])[7]
}

fn write_to(addr: usize) {
    let byte: *mut u8 = ptr::without_provenance_mut(black_box(addr));
    // SAFETY: meant to fault.
    unsafe { byte.write_volatile(1) };
}

unsafe extern "C" fn body(frame_kind: usize) -> Exit {
    match frame_kind {
        0 => black_box(recurse(0)),
        _ => usize::from(black_box(huge_frame())),
    };
    unreachable!("the stack did not overflow")
}

fn overflow(kind: GuardKind, frame_kind: usize, who: WhoHook) {
    overflow_of(256, kind, frame_kind, who);
}

fn overflow_of(kib: usize, kind: GuardKind, frame_kind: usize, who: WhoHook) {
    let _alt = AltStack::install().unwrap();
    install(who);
    choose_guard(kind);
    let class = SizeClass::for_size(kib << 10).unwrap();
    let stack = match LocalCache::new(class).take(class) {
        Ok(stack) => stack,
        Err(error) => return eprintln!("{error}"),
    };
    let mut here = 0;
    // SAFETY: the stack is new; nobody resumes this context, as the process ends.
    unsafe { arch::start(&raw mut here, stack.top(), frame_kind, body, 0) };
}

fn named(hit: &Hit) -> Option<Who> {
    hit.in_guard.then_some(Who { id: 42, name: b"parser" })
}

extern "C" fn exit_7(_: c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(7) };
}

fn assert_reported(case: &str, lines: &[&str]) -> String {
    let (signal, text) = fault(case);
    assert_eq!(signal, Some(libc::SIGABRT), "{text}");
    lines.iter().for_each(|line| assert!(text.contains(line), "no {line:?} in {text}"));
    text
}

#[test]
fn recursion_is_reported_with_its_first_frames() {
    let line = "\ngoroutine 42 [parser]: stack overflow (256 KiB)\n  at ip 0x";
    let text = assert_reported("recursion", &[line, "  ... and its callers\n"]);
    let frames = text.matches(": recurse").count() + text.matches("tests::recurse").count();
    assert!((FRAMES - 1..=FRAMES).contains(&frames), "{text}");
    // Hundreds of thousands of frames take no longer.
    let line = "\ngoroutine 42 [parser]: stack overflow (65536 KiB)\n";
    assert_reported("deep", &[line, "  ... and its callers\n"]);
}

#[test]
fn a_frame_larger_than_the_stack_is_reported_to_its_end() {
    let line = "\ngoroutine 42 [parser]: stack overflow (256 KiB)\n";
    let text = assert_reported("huge frame", &[line, "huge_frame", "body"]);
    assert!(!text.contains("..."), "{text}");
}

#[test]
fn a_guard_by_userfaultfd_is_reported_too() {
    let (signal, text) = fault("uffd");
    let reported = signal == Some(libc::SIGABRT) && text.contains("goroutine 42 [parser]");
    let forbidden = signal.is_none() && text.contains("uffd (UFFDIO_POISON) do not work");
    assert!(reported || forbidden, "{text}");
}

#[test]
fn an_unknown_goroutine_is_reported_without_a_number() {
    assert_reported("nobody", &["\ngoroutine: stack overflow (256 KiB)\n"]);
}

#[test]
fn a_report_that_fails_or_hangs_still_ends_in_abort() {
    assert_eq!(fault("hook faults").0, Some(libc::SIGABRT));
    assert_eq!(fault("hook hangs").0, Some(libc::SIGABRT));
}

#[test]
fn other_faults_go_to_the_previous_handler() {
    for case in ["null", "null, default", "sent, default"] {
        let (signal, text) = fault(case);
        assert_eq!(signal, Some(SIGSEGV), "{case}: {text}");
        assert!(!text.contains("goroutine"), "{text}");
    }
    for case in ["sent, ignored", "own handler"] {
        assert_eq!(fault(case), (None, String::new()), "{case}");
    }
    assert_reported("thread", &["has overflowed its stack"]);
}

#[test]
fn the_previous_alternate_stack_comes_back() {
    let current = || {
        let mut now = stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: only asks.
        assert_eq!(unsafe { libc::sigaltstack(ptr::null(), &raw mut now) }, 0);
        (now.ss_sp, now.ss_flags, now.ss_size)
    };
    let before = current();
    let alt = AltStack::install().unwrap();
    assert_ne!(current(), before);
    assert_eq!(current().2, AltStack::BYTES);
    drop(alt);
    assert_eq!(current(), before);
}

/// Does nothing unless [`fault`] started this process.
#[test]
fn child() {
    let case = std::env::var(CASE).unwrap_or_default();
    // SAFETY: a valid handler for a signal that nobody else here handles.
    let set = |handler| unsafe { libc::signal(SIGSEGV, handler) };
    match case.as_str() {
        "recursion" => overflow(GuardKind::Auto, 0, named),
        "huge frame" => overflow(GuardKind::Auto, 1, named),
        "deep" => overflow_of(64 << 10, GuardKind::Auto, 0, named),
        "uffd" => overflow(GuardKind::Uffd, 0, named),
        "nobody" => overflow(GuardKind::Auto, 0, |_| None),
        "hook faults" => overflow(GuardKind::Auto, 0, |_| {
            write_to(8);
            None
        }),
        "hook hangs" => overflow(GuardKind::Auto, 0, |_| {
            loop {
                std::hint::spin_loop();
            }
        }),
        "null" => {
            install(named);
            write_to(8);
        }
        "null, default" => {
            set(SIG_DFL);
            install(named);
            write_to(8);
        }
        "sent, default" => {
            set(SIG_DFL);
            install(named);
            // SAFETY: no preconditions.
            unsafe { libc::raise(SIGSEGV) };
        }
        "sent, ignored" => {
            set(SIG_IGN);
            install(named);
            // SAFETY: no preconditions.
            unsafe { libc::raise(SIGSEGV) };
            exit_7(0);
        }
        "own handler" => {
            set(exit_7 as *const () as usize);
            install(named);
            write_to(8);
        }
        "thread" => {
            install(named);
            black_box(recurse(0));
        }
        _ => {}
    }
}
