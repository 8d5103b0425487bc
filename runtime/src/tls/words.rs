//! Job: our own thread-local words, readable and writable in any block, safe to read anywhere.
//! Layer: L0 (machine)
//! Not here: what the words mean to their users (`block`, `dtors`, `keys`, the scheduler).
//! Invariants
//!   WD1  All words are 0 on a thread that is no M, and in a new block.
//!   WD2  `HOST` is not 0 exactly while the thread runs on a goroutine's block; it is then the FS
//!        base of the thread itself. (In a block that nobody runs on it is out of date. In the child
//!        of a fork the goroutine is the thread: FK1.)
//!
//! Why not `thread_local!`: the compiler may keep the address of a thread-local over a switch. These
//! are reached by inline assembly that it cannot move or merge, so `get` may be inlined anywhere and
//! costs an instruction, and one more in each function for the offset, which does not change and which
//! the linker makes a constant. They also have a
//! fixed offset from the FS base, by which the scheduler fills in a block before it runs on it.

use std::arch::{asm, global_asm};

global_asm!(
    ".pushsection .tbss.gusty_tls_words, \"awT\", @nobits",
    ".globl gusty_tls_words",
    ".hidden gusty_tls_words",
    ".type gusty_tls_words, @object",
    ".size gusty_tls_words, {bytes}",
    ".p2align 4",
    "gusty_tls_words:",
    ".zero {bytes}",
    ".popsection",
    bytes = const BYTES,
);

/// All words together.
pub(super) const BYTES: usize = 80;

/// Byte offset of a word.
pub(crate) type Word = usize;

/// FS base of the thread itself while it runs on a goroutine's block, else 0 (WD2).
pub(crate) const HOST: Word = 0;
/// The scheduler's: what it wants to find from anywhere on this thread.
pub(crate) const SCHED: Word = 8;
/// The first destructor registered on this goroutine, and its object.
pub(super) const DTOR: Word = 16;
pub(super) const DTOR_OBJECT: Word = 24;
/// Those registered later.
pub(super) const MORE_DTORS: Word = 32;
/// What has to be undone at exit: `USED_KEYS`, `USED_LOCALE`.
pub(super) const USED: Word = 40;
/// Two words for what is stored at every resume and read by nobody (see `malloc`).
pub(super) const SINK: Word = 48;
/// Where this block's stack begins.
pub(super) const STACK_LIMIT: Word = 64;
/// How many runtime sections this goroutine is in (see `sys::section`).
pub(crate) const SECTION: Word = 72;

/// `pthread_setspecific` was called.
pub(super) const USED_KEYS: usize = 1;
/// `uselocale` was called.
pub(super) const USED_LOCALE: usize = 2;

/// Offset of the words from the FS base, the same in every block.
#[inline(always)]
pub(super) fn offset() -> isize {
    let offset: isize;
    // SAFETY: reads a constant of the process.
    unsafe {
        asm!(
            "mov {}, qword ptr [rip + gusty_tls_words@GOTTPOFF]",
            out(reg) offset,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    offset
}

/// This thread's word, or that of the goroutine on it.
#[inline(always)]
pub(crate) fn get<const WORD: Word>() -> usize {
    let value: usize;
    // SAFETY: the words are part of every block (FS1).
    unsafe {
        asm!(
            "mov {value}, qword ptr fs:[{at} + {word}]",
            value = out(reg) value,
            at = in(reg) offset(),
            word = const WORD,
            options(nostack, preserves_flags, readonly),
        );
    }
    value
}

/// Sets this thread's word, or that of the goroutine on it.
///
/// # Safety
/// The caller owns the meaning of this word (WD2 for [`HOST`]).
#[inline(always)]
pub(crate) unsafe fn set<const WORD: Word>(value: usize) {
    // SAFETY: the words are part of every block (FS1).
    unsafe {
        asm!(
            "mov qword ptr fs:[{at} + {word}], {value}",
            at = in(reg) offset(),
            value = in(reg) value,
            word = const WORD,
            options(nostack, preserves_flags),
        );
    }
}

/// Sets this thread's word, or that of the goroutine on it, to a constant.
///
/// # Safety
/// As [`set`].
#[inline(always)]
pub(crate) unsafe fn set_const<const WORD: Word, const VALUE: i32>() {
    // SAFETY: the words are part of every block (FS1).
    unsafe {
        asm!(
            "mov qword ptr fs:[{at} + {word}], {value}",
            at = in(reg) offset(),
            word = const WORD,
            value = const VALUE,
            options(nostack, preserves_flags),
        );
    }
}

/// Adds a constant to this thread's word, or to that of the goroutine on it; by one instruction, so
/// that it is the same goroutine's word that is read and written.
///
/// # Safety
/// As [`set`].
#[inline(always)]
pub(crate) unsafe fn add<const WORD: Word, const VALUE: i32>() {
    // SAFETY: the words are part of every block (FS1).
    unsafe {
        asm!(
            "add qword ptr fs:[{at} + {word}], {value}",
            at = in(reg) offset(),
            word = const WORD,
            value = const VALUE,
            options(nostack),
        );
    }
}

/// Where a word is in the block at `fs`.
#[inline(always)]
pub(crate) fn at(fs: usize, word: Word) -> *mut usize {
    std::ptr::with_exposed_provenance_mut(fs.wrapping_add_signed(offset()) + word)
}

/// Is this a goroutine with a block of its own (WD1, WD2)? Good for use after a switch too.
#[inline(always)]
pub(crate) fn on_goroutine() -> bool {
    get::<HOST>() != 0
}
