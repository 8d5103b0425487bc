//! Job: read and write the thread pointer, the register that says whose thread-locals these are.
//! Layer: L0 (machine)
//! Invariants
//!   FS1  The FS base is always the address of a complete block: a thread's own or a `Block`.
//!   FS2  A function that changes it reads no thread-local by the compiler's means before *and*
//!        after (the address may be kept in a register); the words of `words` are exempt.

use std::arch::asm;

/// The FS base of this thread. On x86-64 the first word of every block is its own address.
#[inline(always)]
pub(crate) fn fs() -> usize {
    let fs: usize;
    // SAFETY: FS1; not `pure`, so it is never merged with a read before a switch.
    unsafe { asm!("mov {}, qword ptr fs:[0]", out(reg) fs, options(nostack, preserves_flags)) };
    fs
}

/// Makes `fs` the block of this thread.
///
/// # Safety
/// `fs` is the address of a complete block that no other thread runs on (FS1), and the caller keeps
/// to FS2. The processor has FSGSBASE and the kernel allows it, as `init` found.
#[inline(always)]
pub(crate) unsafe fn set_fs(fs: usize) {
    // SAFETY: as for this function. Not `nomem`: accesses stay on their side of it.
    unsafe { asm!("wrfsbase {}", in(reg) fs, options(nostack, preserves_flags)) };
}

/// May user code write the FS base? (Linux 5.9 and processors since 2012.)
pub(super) fn writable() -> bool {
    const HWCAP2_FSGSBASE: libc::c_ulong = 1 << 1;
    // SAFETY: no preconditions.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & HWCAP2_FSGSBASE != 0 }
}
