//! Job: the G of a plain thread, so that threads wait for goroutines as goroutines do.
//! Layer: L2 (sched)
//! Not here: how it waits (`park`).
//! Invariants
//!   FT1  A thread's G is used by that thread alone, and by the waker that owes it a wake-up.
//!   FT2  After the thread's destructors have begun, a thread that waits once more gets a header
//!        that is never given back (128 bytes for each such thread).

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::g::{G, GKind, GRef, GStatus};
use super::gslab;
use super::p;

std::thread_local! {
    static MINE: Cell<*mut G> = const { Cell::new(ptr::null_mut()) };
    static GUARD: Guard = const { Guard };
}

/// Threads that sleep in a call of ours without a deadline, and how often one has begun to.
static SLEEPERS: AtomicUsize = AtomicUsize::new(0);
static SLEEPS: AtomicUsize = AtomicUsize::new(0);

/// Threads that sleep without a deadline.
pub(crate) fn sleepers() -> usize {
    SLEEPERS.load(Ordering::SeqCst) // DL2 of `deadlock`
}

/// How often a thread has begun to sleep.
pub(crate) fn sleeps() -> usize {
    SLEEPS.load(Ordering::SeqCst) // DL2 of `deadlock`
}

/// The calling thread sleeps until this is dropped.
pub(crate) struct Asleep {
    for_good: bool,
}

impl Asleep {
    /// Before the thread can be woken.
    pub(crate) fn begin(for_good: bool) -> Asleep {
        SLEEPS.fetch_add(1, Ordering::SeqCst); // DL2 of `deadlock`
        SLEEPERS.fetch_add(usize::from(for_good), Ordering::SeqCst); // as above
        Asleep { for_good }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        SLEEPERS.fetch_sub(usize::from(self.for_good), Ordering::SeqCst); // DL2 of `deadlock`
    }
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
    let g = gslab::take_for_thread().unwrap_or_else(|errno| {
        let error = std::io::Error::from_raw_os_error(errno);
        panic!("no memory for a thread's header: {error}")
    });
    g.set_kind(GKind::Thread);
    g.site.set(None);
    g.set_id(p::foreign_id());
    g.set_status(GStatus::Running);
    MINE.set(g.as_ptr());
    let _ = GUARD.try_with(|_| ()); // registers the destructor, unless they run already (FT2)
    g
}
