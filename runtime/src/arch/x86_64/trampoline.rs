//! Job: make code that a signal has interrupted call a function, as if it had called it there
//!   itself, and go on afterwards as if nothing had happened.
//! Layer: L0 (machine)
//! Not here: whether the code may be stopped at this point (`sys::text`, the scheduler).
//! Invariants
//!   TR1  The interrupted code gets back every register, the flags and all extended state, and no
//!        byte at or above its red zone (128 bytes below its stack pointer) is written.
//!   TR2  The handler only writes two words below the red zone and changes two registers of the
//!        context; everything else happens after it has returned, in ordinary context, with the
//!        signal mask of the interrupted code. So the kernel holds nothing of a stopped goroutine.
//!   TR3  Nothing unwinds through the trampoline: `land` is `extern "C"`, a panic in it aborts.
//!   TR4  Code between the handler and the landing function is in the section `gusty_nopreempt`,
//!        which `sys::text` excludes: it is not itself interrupted like this.
//!
//! The stack of the interrupted code, from its `rsp` downwards:
//!
//! ```text
//!     rsp         -> |            |
//!                    | red zone   |  128 bytes
//!                    | function   |  written by the handler, which sets rsp to the word below
//!                    | rip        |
//!                    | flags, 15 registers
//!                    | extended state, aligned to 64
//!                    | land, the function, all that they call
//! ```
//!
//! One `ret 136` then pops rip and skips function and red zone: were it two instructions, a signal
//! between them could overwrite the rip. (A `ret` to a place that nobody called from is why there
//! is no shadow stack under gusty: `xstate` refuses where there is one. Indirect-branch tracking
//! is not concerned: the kernel enters the trampoline, not a jump.)
//!
//! For the function the extended state is what a fresh thread has: rounding modes of the
//! interrupted code are not inherited by the goroutine that runs next, upper halves of AVX
//! registers do not slow it down. The protection keys stay, as they are the thread's.
//!
//! The unwind information is exact at each instruction after the first, so that debuggers and
//! backtraces go on in the interrupted frame.
//! Checked by: `tests`

use std::arch::naked_asm;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use libc::ucontext_t;

use super::xstate::{self, LEGACY_BYTES};

/// What the interrupted code is made to call.
pub(crate) type Landing = extern "C" fn();

const RED_ZONE: usize = 128;
/// What the trampoline pushes: two words by the handler, flags and 15 registers.
const WORDS: usize = 18 * size_of::<usize>();
/// For the function and all that it calls on this stack.
const MARGIN: usize = if cfg!(debug_assertions) { 16 << 10 } else { 8 << 10 };

/// Bytes of extended state; 0 before [`prepare`], and if it cannot be saved.
static BYTES: AtomicUsize = AtomicUsize::new(0);
static COMPACT: AtomicBool = AtomicBool::new(false);
static RESETTABLE: AtomicU64 = AtomicU64::new(0);

/// An area that `xrstor` takes the initial state from: all parts absent, MXCSR as it is at start.
#[repr(C, align(64))]
struct Initial {
    x87: [u32; 6],
    mxcsr: u32,
    rest: [u32; LEGACY_BYTES / 4 - 7],
}
static INITIAL: Initial = Initial { x87: [0; 6], mxcsr: 0x1f80, rest: [0; LEGACY_BYTES / 4 - 7] };

/// Looks at the processor. True if [`redirect`] will work; call it before the first signal.
pub(crate) fn prepare() -> bool {
    let Some(state) = xstate::detect() else { return false };
    COMPACT.store(state.compact, Ordering::Relaxed);
    RESETTABLE.store(state.resettable, Ordering::Relaxed);
    // Relaxed, all three: installing the handler orders them before any signal.
    BYTES.store(state.bytes, Ordering::Relaxed);
    true
}

/// Bytes that must be free below the stack pointer of interrupted code.
pub(crate) fn room() -> usize {
    RED_ZONE + WORDS + 64 + BYTES.load(Ordering::Relaxed) + MARGIN
}

/// Makes the code that was interrupted at `context` call `landing` once the handler returns (TR2).
///
/// False, and nothing is changed, if the code does not run on `stack`, has less than [`room`] left
/// there, or the processor cannot save its state. Async-signal-safe.
///
/// # Safety
/// `context` is what the kernel passed to the signal handler that calls this, on this thread, and
/// the handler then returns without changing it. `stack` is mapped, in use by the interrupted code
/// only, and the handler is not itself on it between `context`'s stack pointer and [`room`] below.
/// The interrupted code is such that it may call `landing` wherever it is.
pub(crate) unsafe fn redirect(
    context: *mut ucontext_t,
    stack: Range<usize>,
    landing: Landing,
) -> bool {
    // SAFETY: as for this function.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    let [rip, rsp] = [libc::REG_RIP, libc::REG_RSP].map(|register| register as usize);
    let sp = registers[rsp].cast_unsigned() as usize;
    let fits = BYTES.load(Ordering::Relaxed) != 0
        && sp <= stack.end
        && sp.checked_sub(room()).is_some_and(|lowest| lowest >= stack.start);
    if !fits {
        return false;
    }
    let frame = sp - RED_ZONE - 2 * size_of::<usize>();
    let words: *mut [usize; 2] = ptr::with_exposed_provenance_mut(frame);
    // SAFETY: mapped and below the red zone, so nobody's (TR1); perhaps not aligned.
    unsafe { words.write_unaligned([registers[rip].cast_unsigned() as usize, landing as usize]) };
    registers[rsp] = frame.cast_signed() as i64;
    registers[rip] = (trampoline as *const () as usize).cast_signed() as i64;
    true
}

/// Entered by the kernel's return from a signal: `[rsp]` is where the code was, `[rsp + 8]` what
/// it is to call, all registers are its own. The frame address (CFA) is the interrupted rsp.
///
/// The flags are set to a known state at once: `cld`, but also no alignment checks.
#[rustfmt::skip]
#[unsafe(naked)]
#[unsafe(link_section = "gusty_nopreempt")]
unsafe extern "C" fn trampoline() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_signal_frame",
        ".cfi_def_cfa rsp, 144",
        ".cfi_offset rip, -144",
        "pushfq",   ".cfi_def_cfa_offset 152",
        "push rax", ".cfi_def_cfa_offset 160", ".cfi_offset rax, -160",
        "push rcx", ".cfi_def_cfa_offset 168", ".cfi_offset rcx, -168",
        "push rdx", ".cfi_def_cfa_offset 176", ".cfi_offset rdx, -176",
        "push rbx", ".cfi_def_cfa_offset 184", ".cfi_offset rbx, -184",
        "push rsi", ".cfi_def_cfa_offset 192", ".cfi_offset rsi, -192",
        "push rdi", ".cfi_def_cfa_offset 200", ".cfi_offset rdi, -200",
        "push r8",  ".cfi_def_cfa_offset 208", ".cfi_offset r8, -208",
        "push r9",  ".cfi_def_cfa_offset 216", ".cfi_offset r9, -216",
        "push r10", ".cfi_def_cfa_offset 224", ".cfi_offset r10, -224",
        "push r11", ".cfi_def_cfa_offset 232", ".cfi_offset r11, -232",
        "push r12", ".cfi_def_cfa_offset 240", ".cfi_offset r12, -240",
        "push r13", ".cfi_def_cfa_offset 248", ".cfi_offset r13, -248",
        "push r14", ".cfi_def_cfa_offset 256", ".cfi_offset r14, -256",
        "push r15", ".cfi_def_cfa_offset 264", ".cfi_offset r15, -264",
        "push rbp", ".cfi_def_cfa_offset 272", ".cfi_offset rbp, -272",
        "mov rbp, rsp", ".cfi_def_cfa_register rbp",
        "push 0x202", "popfq",
        "sub rsp, [rip + {bytes}]",
        "and rsp, -64",
        "xor eax, eax", // the header, which the instructions only write in part
        "mov [rsp + 512], rax", "mov [rsp + 520], rax", "mov [rsp + 528], rax",
        "mov [rsp + 536], rax", "mov [rsp + 544], rax", "mov [rsp + 552], rax",
        "mov [rsp + 560], rax", "mov [rsp + 568], rax",
        "mov eax, -1", "mov edx, -1", // everything that is enabled
        "cmp byte ptr [rip + {compact}], 0", "je 2f",
        "xsavec64 [rsp]", "jmp 3f",
        "2:", "xsave64 [rsp]",
        "3:",
        "mov eax, [rip + {resettable}]",
        "mov edx, [rip + {resettable} + 4]",
        "xrstor64 [rip + {initial}]",
        "mov rdi, [rbp + 136]",
        "call {land}", // rsp is aligned to 64
        "mov eax, -1", "mov edx, -1",
        "xrstor64 [rsp]",
        "mov rsp, rbp", ".cfi_def_cfa_register rsp",
        "pop rbp", ".cfi_def_cfa_offset 264", ".cfi_restore rbp",
        "pop r15", ".cfi_def_cfa_offset 256", ".cfi_restore r15",
        "pop r14", ".cfi_def_cfa_offset 248", ".cfi_restore r14",
        "pop r13", ".cfi_def_cfa_offset 240", ".cfi_restore r13",
        "pop r12", ".cfi_def_cfa_offset 232", ".cfi_restore r12",
        "pop r11", ".cfi_def_cfa_offset 224", ".cfi_restore r11",
        "pop r10", ".cfi_def_cfa_offset 216", ".cfi_restore r10",
        "pop r9",  ".cfi_def_cfa_offset 208", ".cfi_restore r9",
        "pop r8",  ".cfi_def_cfa_offset 200", ".cfi_restore r8",
        "pop rdi", ".cfi_def_cfa_offset 192", ".cfi_restore rdi",
        "pop rsi", ".cfi_def_cfa_offset 184", ".cfi_restore rsi",
        "pop rbx", ".cfi_def_cfa_offset 176", ".cfi_restore rbx",
        "pop rdx", ".cfi_def_cfa_offset 168", ".cfi_restore rdx",
        "pop rcx", ".cfi_def_cfa_offset 160", ".cfi_restore rcx",
        "pop rax", ".cfi_def_cfa_offset 152", ".cfi_restore rax",
        "popfq",   ".cfi_def_cfa_offset 144",
        "ret 136", // 8 for the function, 128 for the red zone
        ".cfi_endproc",
        bytes = sym BYTES,
        compact = sym COMPACT,
        resettable = sym RESETTABLE,
        initial = sym INITIAL,
        land = sym land,
    )
}

/// Calls `landing` with errno kept: its system calls must not be seen by the interrupted code, which
/// may be about to look at that of its own. TR3, TR4.
#[unsafe(link_section = "gusty_nopreempt")]
extern "C" fn land(landing: Landing) {
    // SAFETY: valid on any thread. The address is read anew after the call: a goroutine that shares
    // its thread's block may be on another thread by then.
    let errno = unsafe { *libc::__errno_location() };
    landing();
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

#[cfg(test)]
mod tests;
