//! Job: computations under the storm of signals that leave nothing as it was.
//! Not here: the storm itself (`storm`), what is in registers (`registers`).

mod registers;
mod storm;

use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::ucontext_t;

use super::{RED_ZONE, prepare, redirect, room};
use registers::holds_registers;
use storm::{CANARY, ENOUGH, STACK, current, interrupted_here, landing, storm, survives};

#[test]
fn errno_allocations_and_unwinding_are_not_disturbed() {
    survives(|| {
        // SAFETY: errno of this thread.
        unsafe { *libc::__errno_location() = 5 };
        let mut map = HashMap::new();
        (0..300u32).for_each(|i| drop(map.insert(i, vec![i; 1 + i as usize % 40])));
        assert_eq!(map.values().map(|v| v.len() as u64 * u64::from(v[0])).sum::<u64>(), 899_500);
        let caught = panic::catch_unwind(|| {
            let _guard = Box::new([1u8; 100]);
            panic::resume_unwind(Box::new(map[&7][0]))
        });
        assert_eq!(*caught.unwrap_err().downcast::<u32>().unwrap(), 7);
        // SAFETY: as above. Nothing in between fails, and nobody else sets it.
        assert_eq!(unsafe { *libc::__errno_location() }, 5);
    });
}

#[test]
fn a_deep_recursion_is_interrupted_until_there_is_no_room() {
    #[inline(never)]
    fn depth(end: usize) -> usize {
        let frame = black_box([end; 12]);
        if ptr::from_ref(&frame).addr() < end {
            return interrupted_here() as usize;
        }
        1 + depth(end) + (frame[5] - end)
    }
    let (landed, no_room, _) = storm(room() + (48 << 10), None, || {
        // To where a landing would not fit any more.
        let end = current().expect("in a storm").usable.start + room();
        assert!(depth(end) > 100);
    });
    assert!(landed >= ENOUGH && no_room > 0, "{landed} landed, {no_room} had no room");
}

#[test]
fn a_landing_can_be_interrupted_itself() {
    let (.., deepest) = storm(4 * STACK, None, || assert_eq!(holds_registers(), 0));
    assert!(deepest >= 2);
}

#[test]
fn without_room_or_on_another_stack_nothing_changes() {
    assert!(prepare());
    // SAFETY: plain data.
    let mut context: ucontext_t = unsafe { std::mem::zeroed() };
    let mut stack = vec![CANARY; (room() + 4096) / 16];
    let range = stack.as_mut_ptr_range();
    let (low, top) = (range.start.expose_provenance(), range.end.expose_provenance());
    let (rip, rsp) = (libc::REG_RIP as usize, libc::REG_RSP as usize);
    let mut attempt = |sp: usize| {
        context.uc_mcontext.gregs[rsp] = sp as i64;
        context.uc_mcontext.gregs[rip] = 4711;
        // SAFETY: the stack is the test's own, and nothing resumes the context.
        let done = unsafe { redirect(&raw mut context, low..top, landing) };
        let registers = context.uc_mcontext.gregs;
        (done, registers[rip] as usize, registers[rsp] as usize)
    };
    for sp in [low + room() - 1, top + 1, low, 8] {
        assert_eq!(attempt(sp), (false, 4711, sp));
    }
    let (done, ip, sp) = attempt(low + room());
    assert!(done && ip != 4711 && sp == low + room() - RED_ZONE - 16);
    let frame = (sp - low) / 16;
    assert_eq!(stack[frame] as u64, 4711);
    assert!(stack.iter().enumerate().all(|(i, word)| i == frame || *word == CANARY));
}

#[test]
fn a_backtrace_goes_on_in_the_interrupted_function() {
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    let look = || {
        let text = Backtrace::force_capture().to_string();
        // Now and then it is the caller that is interrupted.
        let at = text.find("interrupted_here");
        INSIDE.fetch_add(u64::from(at.is_some()), Ordering::Relaxed);
        assert!(text[at.unwrap_or(0)..].contains("storm::body"), "{text}");
    };
    for _ in 0..10 {
        let (landed, ..) = storm(4 * STACK, Some(look), || assert_eq!(interrupted_here(), 0));
        assert!(landed >= ENOUGH);
        if INSIDE.load(Ordering::Relaxed) != 0 {
            return;
        }
    }
    panic!("the function was never interrupted");
}

#[test]
fn a_panic_in_the_landing_ends_the_process() {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &name, "--nocapture"]).env("GUSTY_TEST_LANDING", "panic");
    let output = child.output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
}

/// Does nothing unless the test above started this process.
#[test]
fn child() {
    if std::env::var_os("GUSTY_TEST_LANDING").is_some() {
        storm(4 * STACK, Some(|| panic!("in the landing")), || _ = interrupted_here());
    }
}
