//! Job: a stack for signal handlers, for when the one that runs has no room left.
//! Layer: L0 (machine)

use std::io;
use std::marker::PhantomData;
use std::ptr;

use libc::{c_void, stack_t};

/// This OS thread's alternate signal stack, until dropped (on the same thread: it is not `Send`).
pub(crate) struct AltStack {
    base: *mut c_void,
    previous: stack_t,
    _same_thread: PhantomData<*mut ()>,
}

impl AltStack {
    /// A backtrace takes 20 KiB of it the first time, a signal frame up to 11.
    pub(super) const BYTES: usize = 64 << 10;
    const GUARD: usize = 4096;
    const MAPPED: usize = Self::GUARD + Self::BYTES;

    /// Maps one, guarded at its low end, and makes it this thread's.
    pub(crate) fn install() -> io::Result<AltStack> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::MAPPED, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let usable = base.wrapping_byte_add(Self::GUARD);
        let new = stack_t { ss_sp: usable, ss_flags: 0, ss_size: Self::BYTES };
        let mut previous =
            stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the guard is the low end of the new mapping; the rest stays mapped and unused
        // for anything else until `drop` has taken it off this thread.
        let installed = unsafe {
            libc::mprotect(base, Self::GUARD, libc::PROT_NONE) == 0
                && libc::sigaltstack(&raw const new, &raw mut previous) == 0
        };
        if !installed {
            let error = io::Error::last_os_error();
            // SAFETY: the mapping is ours and was not installed.
            unsafe { libc::munmap(base, Self::MAPPED) };
            return Err(error);
        }
        Ok(AltStack { base, previous, _same_thread: PhantomData })
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        // SAFETY: on the thread that installed it, which is not in a signal handler: the previous
        // one takes its place and only then the mapping goes.
        unsafe {
            libc::sigaltstack(&raw const self.previous, ptr::null_mut());
            libc::munmap(self.base, Self::MAPPED);
        }
    }
}
