//! Job: `lock_os_thread`: a goroutine that keeps its thread, and its thread to itself.
//! Layer: L2 (sched)
//! Not here: how such a goroutine waits (`park::block`) and gets a P (`idle::regain_p`).
//! Invariants
//!   LO1  While `M::locks` is not 0, the M's goroutine is bound to it and the M runs no other: the
//!        goroutine waits on the spot, with its thread. If it ends so, the thread ends, too: nobody
//!        knows what it has done to it.
//!   LO2  A pinned goroutine never locks: it stays on its thread anyway (HM1 of `pinned`), and those
//!        that it waits for may stay on it, too.
//!   LO3  Goroutines that stay on an M (`pinned`) wait while another one has locked it, wherever that
//!        waits: its thread is not theirs. Their owner is told (`lock_os_thread`).
//! Source: Go's LockOSThread. New threads are made by the spawner, so they inherit nothing from a
//!   locked one (Go needs a template thread for that).

use super::g::{GRef, PINNED};
use super::m::{self, M};
use crate::sys::section::Section;

/// The calling goroutine and its M; `None` on a plain thread, and for a pinned one (LO2).
fn here() -> Option<(&'static M, GRef)> {
    let m = m::current()?;
    let g = m.cur().filter(|g| !g.flag(PINNED))?;
    Some((m, g))
}

/// Binds the calling goroutine to its thread, once more (LO3).
pub(crate) fn lock() {
    let _section = Section::enter_if_outside();
    let Some((m, g)) = here() else { return };
    let locks = m.locks.get().checked_add(1).expect("lock_os_thread: more than u32::MAX locks");
    m.locks.set(locks);
    g.set_bound_m(Some(m)); // LO1
}

/// Undoes one [`lock`]; without one, does nothing.
pub(crate) fn unlock() {
    let _section = Section::enter_if_outside();
    let Some((m, g)) = here() else { return };
    let locks = m.locks.get().saturating_sub(1);
    m.locks.set(locks);
    if locks == 0 {
        g.set_bound_m(None);
    }
}

/// LO1, for an M whose locked goroutine has ended. Its thread cannot end if other goroutines stay on
/// it (HM4 of `pinned`): then it goes on as it is; true if so.
pub(super) fn forgive(m: &M) -> bool {
    let stays = m.home.has_residents();
    if stays {
        m.locks.set(0);
    }
    stays
}

/// LO1.
#[inline]
pub(crate) fn is_locked(m: &M) -> bool {
    m.locks.get() != 0
}
