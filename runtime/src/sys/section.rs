//! Job: runtime sections: the stretches in which code works on what its scheduler thread holds, and
//!   must neither lose it nor be stopped.
//! Layer: L0 (machine)
//! Not here: the word that says what happened (`hold`), what is done about it (`sched::comeback`).
//! Invariants
//!   SN1  Each execution context counts its own sections in the word `SECTION` of its thread-locals:
//!        a goroutine with a block of its own takes the count along when it parks or is stopped; a
//!        scheduling stack has a count of at least 1 for good, as it is never outside; plain threads
//!        count, too, and nobody looks.
//!   SN2  With a count of 0 a goroutine may lose its thread's right to run goroutines, and may be
//!        stopped between any two instructions and go on on another thread. So who reads anything
//!        that belongs to a thread, or takes a lock of the runtime, is in a section.
//!   SN3  In a section: no user code, no call that blocks for long. One parks in a section only by
//!        the scheduler's `leave`, and is in it again afterwards, on whichever thread.
//!   SN4  The outermost entry, and only that, looks at `Hold`: before anything is held or locked. So
//!        it is a point at which the goroutine may change threads, as at a call of `yield_now`.
//! Orderings
//!   E1  enter: SECTION := 1; compiler fence; load `Hold`   <->   the taker's membarrier
//!       (partner: sys/hold.rs)
//!   E2  leave: everything before; SECTION := 0 (x86 keeps the order) -> the taker's load
//!       (partner: sys/whereabouts.rs)
//!
//! The count may be read and written by separate instructions: between them the goroutine may be
//! stopped and moved, but the word moves with it and nobody else writes it. The outermost entry stores
//! a constant, so that one section's count does not wait for the last one's.
//!
//! Why counts of its own for each goroutine instead of one for each thread: the increment and a later
//! read of "which thread is this?" are several instructions. If a goroutine is stopped and moved
//! between them, a count that belonged to the thread would be the wrong thread's. Its own moves with
//! it: before the increment nothing is known of the thread, after it nothing can change. The price is
//! paid by the taker, who has to find the block that a thread runs on (`sched::retake`).

use std::sync::OnceLock;

use super::hold::Hold;
use crate::tls::{self, SCHED, SECTION};

/// What the outermost entry calls when there is something to notice.
static NOTICE: OnceLock<fn()> = OnceLock::new();

/// Installs it, once, before the first goroutine.
pub(crate) fn on_notice(notice: fn()) {
    let _ = NOTICE.set(notice); // the first one counts
}

/// Enters a section: see the module. To be followed by [`leave`] on the same goroutine or thread.
#[inline(always)]
pub(crate) fn enter() {
    if depth() != 0 {
        // SAFETY: the word is this file's (SN1).
        return unsafe { tls::add::<SECTION, 1>() };
    }
    enter_outermost();
}

#[inline(always)]
fn enter_outermost() {
    // SAFETY: the word is this file's (SN1); the assembly is a compiler fence (E1).
    unsafe { tls::set_const::<SECTION, 1>() };
    let sched = std::ptr::with_exposed_provenance::<Hold>(tls::get::<SCHED>());
    // SAFETY: null, or an M, which begins with its `Hold` and is never freed.
    if let Some(hold) = unsafe { sched.as_ref() }
        && !hold.is_quiet()
    {
        notice();
    }
}

/// Leaves the section entered last.
#[inline(always)]
pub(crate) fn leave() {
    debug_assert_ne!(depth(), 0, "left more sections than were entered");
    // SAFETY: the word is this file's (SN1); the assembly is a compiler fence (E2).
    unsafe { tls::add::<SECTION, -1>() };
}

/// How many sections the caller is in.
#[inline(always)]
pub(crate) fn depth() -> usize {
    tls::get::<SECTION>()
}

/// Sets the count: for a context that begins, or that continues on words that others used meanwhile.
///
/// # Safety
/// The caller is the scheduler, which knows what the context is in (SN1).
#[inline(always)]
pub(crate) unsafe fn set_depth(depth: usize) {
    // SAFETY: as for this function.
    unsafe { tls::set::<SECTION>(depth) };
}

#[cold]
#[inline(never)]
fn notice() {
    if let Some(notice) = NOTICE.get() {
        notice(); // SN4
    }
}

/// A section for the life of this value.
#[must_use = "the section ends at once if the value is not kept"]
pub(crate) struct Section(std::marker::PhantomData<*const ()>);

impl Section {
    #[inline(always)]
    pub(crate) fn enter() -> Section {
        enter();
        Section(std::marker::PhantomData)
    }

    /// Takes over a section that was entered and not left.
    ///
    /// # Safety
    /// The caller is in a section that nobody else leaves.
    #[inline(always)]
    pub(crate) unsafe fn assume() -> Section {
        Section(std::marker::PhantomData)
    }

    /// For what may be called inside or outside of a section: a new one only if it is outside.
    #[inline(always)]
    pub(crate) fn enter_if_outside() -> Option<Section> {
        if depth() != 0 {
            return None;
        }
        enter_outermost();
        Some(Section(std::marker::PhantomData))
    }
}

impl Drop for Section {
    #[inline(always)]
    fn drop(&mut self) {
        leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_nest_and_end() {
        let before = depth();
        let outer = Section::enter();
        assert!(Section::enter_if_outside().is_none());
        drop(Section::enter());
        assert_eq!(depth(), before + 1);
        drop(outer);
        assert_eq!(depth(), before);
    }
}
