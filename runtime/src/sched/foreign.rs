//! Job: the G of a plain thread, so that threads wait for goroutines as goroutines do.
//! Layer: L2 (sched)
//! Not here: how it waits (`park`).
//! Invariants
//!   FT1  A thread's G is used by that thread alone, and by the waker that owes it a wake-up.
//!   FT2  After the thread's destructors have begun, a thread that waits once more gets a header
//!        that is never given back (128 bytes for each such thread).

use std::cell::Cell;
use std::ptr;

use super::g::{G, GKind, GRef, GStatus};
use super::gslab;
use super::p;

std::thread_local! {
    static MINE: Cell<*mut G> = const { Cell::new(ptr::null_mut()) };
    static GUARD: Guard = const { Guard };
}

/// Gives the header back when the thread ends.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: null or this thread's G.
        if let Some(g) = unsafe { GRef::from_ptr(MINE.replace(ptr::null_mut())) } {
            g.drop_ext();
            g.set_kind(GKind::Goroutine);
            g.set_status(GStatus::Free);
            gslab::give_from_thread(g);
        }
    }
}

/// The calling thread's G (FT1), made at its first use.
#[inline(never)]
pub(crate) fn current() -> GRef {
    // SAFETY: null or this thread's G.
    match unsafe { GRef::from_ptr(MINE.get()) } {
        Some(g) => g,
        None => make(),
    }
}

#[cold]
fn make() -> GRef {
    let g = gslab::take_for_thread();
    g.set_kind(GKind::Thread);
    g.site.set(None);
    g.set_id(p::foreign_id());
    g.set_status(GStatus::Running);
    MINE.set(g.as_ptr());
    let _ = GUARD.try_with(|_| ()); // registers the destructor, unless they run already (FT2)
    g
}
