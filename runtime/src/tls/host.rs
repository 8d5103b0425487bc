//! Job: the thread under a goroutine: remembering it, and borrowing its identity.
//! Layer: L0 (machine)
//! Invariants
//!   HO1  While a goroutine borrows its thread's identity it does not switch: what runs meanwhile is
//!        code of libc or of an allocator. A preemption signal finds `HOST` 0, as on the thread.
//!   HO2  What a thread lends to its goroutines never changes while it lives.
//!   HO3  From before it asks which thread it is on until it has its own block again, a goroutine is
//!        not moved to another.

use super::fsbase::{fs, set_fs};
use super::malloc;
use super::words::{self, HOST, SECTION};

/// What a scheduler thread lends to the goroutines it runs. Made once, on that thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Host {
    pub(super) fs: usize,
    /// The allocator's per-thread words, constant for the thread's life.
    pub(super) caches: [usize; 2],
}

impl Host {
    /// In place of one that is not known yet.
    pub(crate) const NOBODY: Host = Host { fs: 0, caches: [0; 2] };

    /// The FS base of the thread.
    #[inline(always)]
    pub(crate) fn fs(&self) -> usize {
        self.fs
    }

    /// The calling thread, which must not be on a goroutine's block.
    pub(crate) fn here() -> Host {
        debug_assert!(!words::on_goroutine());
        Host { fs: fs(), caches: malloc::caches_here() }
    }
}

/// Runs `call` as the thread itself if this is a goroutine: for code that looks the caller up among
/// the threads that it knows.
#[inline]
pub(crate) fn as_host<R>(call: impl FnOnce() -> R) -> R {
    if !words::on_goroutine() {
        return call();
    }
    let _here = Stay::begin();
    swapped(words::get::<HOST>(), call)
}

/// HO3: counts as a runtime section of the goroutine, which does not lose its thread in one.
struct Stay;

impl Stay {
    fn begin() -> Stay {
        // SAFETY: as `sys::section` enters one that is not the outermost.
        unsafe { words::set::<SECTION>(words::get::<SECTION>() + 1) };
        Stay
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        // SAFETY: as `sys::section` leaves one.
        unsafe { words::set::<SECTION>(words::get::<SECTION>() - 1) };
    }
}

/// Not inlined, so that the caller's thread-local addresses and `call`'s own do not meet (FS2).
#[inline(never)]
fn swapped<R>(host: usize, call: impl FnOnce() -> R) -> R {
    struct Back(usize);
    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: the block that this thread ran on before.
            unsafe { set_fs(self.0) };
        }
    }
    let back = Back(fs());
    // SAFETY: WD2: the thread's own block, which nobody else uses; HO1.
    unsafe { set_fs(host) };
    let result = isolated(call);
    drop(back);
    result
}

#[inline(never)]
fn isolated<R>(call: impl FnOnce() -> R) -> R {
    call()
}

#[inline(never)]
pub(super) fn errno() -> i32 {
    // SAFETY: valid for reads on any thread.
    unsafe { *libc::__errno_location() }
}

#[inline(never)]
pub(super) fn set_errno(value: i32) {
    // SAFETY: valid for writes on any thread.
    unsafe { *libc::__errno_location() = value };
}
