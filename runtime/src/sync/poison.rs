//! Job: the mark that a panic leaves on what it may have left half changed.
//! Layer: L3 (blocking), with nothing below it but atomics
//! Not here: the locks (`mutex`, `rwlock`); `Once` is poisoned by its state.
//! Invariants
//!   PM1  The mark is set by a guard that is dropped while a panic unwinds which had not begun when
//!        the guard was made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError};
use std::thread;

/// The mark of one lock. Relaxed everywhere: the lock orders it for its holders.
pub(super) struct Poison(AtomicBool);

/// Whether a panic was unwinding already when a guard was made (PM1).
#[derive(Clone, Copy)]
pub(super) struct Before {
    panicking: bool,
}

impl Before {
    #[inline]
    pub(super) fn now() -> Before {
        Before { panicking: thread::panicking() }
    }
}

impl Poison {
    pub(super) const fn new() -> Poison {
        Poison(AtomicBool::new(false))
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// For a guard that is dropped, while it still holds its lock (PM1).
    #[inline]
    pub(super) fn guard_ends(&self, before: Before) {
        if !before.panicking && thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// What locking returns.
    #[inline]
    pub(super) fn check<G>(&self, guard: G) -> LockResult<G> {
        if self.is_set() { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }
}
