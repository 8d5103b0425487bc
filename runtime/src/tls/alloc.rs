//! Job: make any global allocator one of threads, not of goroutines.
//! Layer: L0 (machine)
//! Invariants
//!   AW1  No allocator switches, so a thread's heap is used by one goroutine at a time (as HO1).
//!   AL2  The wrapped allocator is only called from functions that are not inlined (FS2).
//!
//! mimalloc and jemalloc keep a heap per thread, found through a thread-local. On a goroutine that is
//! the goroutine's own: it would cost each one 40 to 400 KB and its cleaning destroys the heap.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::asm;
use std::sync::atomic::{AtomicBool, Ordering};

use super::host::as_host;
use super::words;

/// A global allocator for programs with goroutines: `A`, used with the heap of the thread that the
/// goroutine runs on.
///
/// glibc's malloc (std's default) does not need it. mimalloc and jemalloc do: without it they make
/// a heap for each goroutine.
///
/// ```
/// use std::alloc::System; // in place of, say, `mimalloc::MiMalloc`
///
/// #[global_allocator]
/// static ALLOC: gusty::Alloc<System> = gusty::Alloc::new(System);
/// ```
///
/// Costs about 12 ns a call on a goroutine, one check elsewhere. Never blocks more than `A` does.
#[derive(Debug, Default)]
pub struct Alloc<A>(A);

/// Has an `Alloc` served a goroutine?
static USED: AtomicBool = AtomicBool::new(false);

impl<A> Alloc<A> {
    /// Wraps `inner`.
    pub const fn new(inner: A) -> Alloc<A> {
        Alloc(inner)
    }
}

/// AL2: `as_host` sees to it.
#[inline(always)]
fn on_thread<R>(call: impl FnOnce() -> R) -> R {
    if !words::on_goroutine() {
        return call();
    }
    if !USED.load(Ordering::Relaxed) {
        USED.store(true, Ordering::Relaxed); // asked by `unwrapped`, nothing hangs on when
    }
    as_host(call)
}

// SAFETY: forwards to `A`, which is an allocator; AW1.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Alloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        on_thread(|| unsafe { self.0.alloc(layout) })
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        on_thread(|| unsafe { self.0.dealloc(ptr, layout) });
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        on_thread(|| unsafe { self.0.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        on_thread(|| unsafe { self.0.realloc(ptr, layout, new_size) })
    }
}

/// The name of an allocator that is part of this program and not wrapped; for a warning. Meaningful
/// once a goroutine has allocated (the self-test has).
pub(crate) fn unwrapped() -> Option<&'static str> {
    /// Is the symbol defined? A weak reference: it does not make the linker look for it.
    macro_rules! linked {
        ($symbol:literal) => {{
            let address: usize;
            // SAFETY: reads a constant of the process.
            unsafe {
                asm!(
                    concat!(".weak ", $symbol),
                    concat!("mov {}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                    out(reg) address,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            address != 0
        }};
    }
    if USED.load(Ordering::Relaxed) {
        None
    } else if linked!("mi_malloc") {
        Some("mimalloc")
    } else if linked!("_rjem_malloc")
        || linked!("rjem_malloc")
        || linked!("je_malloc")
        || linked!("mallocx")
    {
        Some("jemalloc")
    } else {
        None
    }
}
