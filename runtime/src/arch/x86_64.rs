//! Job: switch stacks on x86-64 System V.
//! Layer: L0 (machine)
//! Not here: which context runs next, when a saved context may be published; stopping code that did
//!   not ask for it (`trampoline`).
//! Invariants
//!   SW1  A saved context is resumed at most once, and only after the switch that saved it has left
//!        its stack (the scheduler publishes a G on the other side of the switch).
//!   SW2  A context that goes on has the FS base that it had when it was saved (or, where all share
//!        their thread's, keeps nothing derived from thread-local storage over the switch). The
//!        base changes inside the assembly, so the compiler never sees code between the two.
//!
//! A suspended stack, from its saved `sp` upwards (three words, 24 bytes):
//!
//! ```text
//!     sp ->  | rip  where `2:` is |   popped and jumped to by whoever resumes it
//!            | rbp                |   popped at `2:`
//!            | rbx                |
//!            | ... caller's frame |
//! ```
//!
//! Why inline assembly with clobbers and not a naked function that is called: the compiler saves
//! just what is live at the site, and there is no call/return pair. A `ret` into another stack is
//! mispredicted every time (the return predictor remembers the wrong caller, about 10 ns);
//! `pop; jmp` is predicted by address. rbx and rbp cannot be named as clobbers, so they are pushed.
//! MXCSR and the x87 control word are not saved: changing them is undefined behaviour for Rust
//! code, and saving costs up to 3 ns (Go does not either).

mod trampoline;
mod xstate;

use std::arch::{asm, naked_asm};

pub(crate) use trampoline::{prepare, redirect};

/// What a goroutine's body returns: where to go on (a context saved by `switch` or `start`) and
/// the message for it. Two integer registers, rax and rdx.
#[repr(C)]
pub(crate) struct Exit {
    pub(crate) to: usize,
    pub(crate) msg: usize,
}

/// Saves this context at `*save`, continues the context `to` with the FS base `fs` and hands it
/// `msg`. Returns when somebody continues this one, with what they hand over. An `fs` of 0 leaves
/// the FS base alone.
///
/// # Safety
/// `to` is a saved context that nobody else resumes (SW1); `save` is valid for writes; `fs` is what
/// the context `to` expects, and whoever continues this one passes what this one has now (SW2).
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut usize, to: usize, msg: usize, fs: usize) -> usize {
    let got: usize;
    // SAFETY: every register that the code after `2:` may rely on is either restored (rsp, rbx,
    // rbp) or declared as clobbered; without `nostack` the compiler keeps no red zone live here.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp", // this context is complete
            "test rcx, rcx",
            "jz 3f",
            "wrfsbase rcx",
            "3:",
            "mov rsp, rsi", // on the other stack from here
            "pop rax",
            "jmp rax",
            "2:", // resumed: rsp is above rip, rdx is the message
            "pop rbp",
            "pop rbx",
            inlateout("rdi") save => _,
            inlateout("rsi") to => _,
            inlateout("rdx") msg => got,
            inlateout("rcx") fs => _,
            out("rax") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    got
}

/// Saves this context at `*save` and calls `body(arg)` on the empty stack that ends at `top`, with
/// the FS base `fs`. Returns as [`switch`] does.
///
/// # Safety
/// As [`switch`]; `top` is 16-aligned and ends a stack that nobody uses; `body` does not unwind.
#[inline(always)]
pub(crate) unsafe fn start(
    save: *mut usize,
    top: usize,
    arg: usize,
    body: unsafe extern "C" fn(usize) -> Exit,
    fs: usize,
) -> usize {
    let got: usize;
    // SAFETY: as in `switch`. A jump, not a call: a call from here would leave this frame's unwind
    // information responsible for a return address on another stack.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdx], rsp",
            "test r8, r8",
            "jz 3f",
            "wrfsbase r8",
            "3:",
            "mov rsp, rsi",
            "jmp {entry}",
            "2:",
            "pop rbp",
            "pop rbx",
            entry = sym entry,
            inlateout("rdi") arg => _,
            inlateout("rsi") top => _,
            inlateout("rdx") save => got,
            inlateout("rcx") body => _,
            inlateout("r8") fs => _,
            out("rax") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    got
}

/// The oldest frame of every goroutine. rdi = argument, rcx = body. The undefined return address
/// is what ends backtraces, panics and debuggers here.
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "xor ebp, ebp",
        "call rcx",     // pushes 8: body sees the alignment of an ordinary call
        "mov rsp, rax", // Exit::to; rdx = Exit::msg stays
        "pop rcx",
        "jmp rcx",
        "ud2",
        ".cfi_endproc",
    )
}

/// The time-stamp counter.
#[inline(always)]
pub(crate) fn cycles() -> u64 {
    // SAFETY: rdtsc has no precondition.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Asks for the cache line at `addr`.
#[inline(always)]
pub(crate) fn prefetch(addr: usize) {
    // SAFETY: a prefetch never faults, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(
            std::ptr::with_exposed_provenance(addr),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Pair {
        home: Cell<usize>,
        coroutine: Cell<usize>,
        sum: Cell<usize>,
    }

    unsafe extern "C" fn body(arg: usize) -> Exit {
        let pair = std::ptr::with_exposed_provenance::<Pair>(arg);
        // SAFETY: the test keeps the pair alive and runs the two contexts in turn (SW1).
        let pair = unsafe { &*pair };
        for i in 1..=3 {
            // SAFETY: `home` was saved by the other side of this hand-over (SW1).
            let got = unsafe { switch(pair.coroutine.as_ptr(), pair.home.get(), i, 0) };
            pair.sum.set(pair.sum.get() + got);
        }
        let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7usize)));
        let payload = *caught.unwrap_err().downcast::<usize>().unwrap();
        Exit { to: pair.home.get(), msg: 100 + payload }
    }

    #[test]
    fn messages_cross_both_ways_and_panics_stay_inside() {
        let mut stack = vec![0u128; 16 * 1024];
        let top = stack.as_mut_ptr_range().end.expose_provenance();
        let pair = Pair { home: Cell::new(0), coroutine: Cell::new(0), sum: Cell::new(0) };
        let arg = std::ptr::from_ref(&pair).expose_provenance();
        // SAFETY: a fresh, aligned stack of 256 KiB; the body catches its panic.
        let mut got = unsafe { start(pair.home.as_ptr(), top, arg, body, 0) };
        let mut seen = vec![got];
        while got < 100 {
            // SAFETY: the coroutine suspended itself right before (SW1).
            got = unsafe { switch(pair.home.as_ptr(), pair.coroutine.get(), got * 10, 0) };
            seen.push(got);
        }
        assert_eq!(seen, [1, 2, 3, 107]);
        assert_eq!(pair.sum.get(), 60);
    }
}
