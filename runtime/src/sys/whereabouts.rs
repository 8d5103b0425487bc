//! Job: where a scheduler thread is, told to somebody who looks while it moves on: which context runs
//!   on it, and whether that is outside of every section.
//! Layer: L0 (machine)
//! Not here: what follows from it (`hold`, `sched::retake`), the contexts' counts (`section`).
//! Invariants
//!   WH1  The owner calls `moved` after it has entered a section in the context that it leaves, and
//!        before it publishes that one: from then on another thread may run it and leave the section.
//! Orderings
//!   E1  moved: context.store, moves.store(Release) -> is_outside: moves.load(Acquire), context.load
//!   E2  moved, publish (Release) -> another thread takes the context (Acquire), its count becomes 0
//!       (Release) -> is_outside: count.load(Acquire), moves.load. If the 0 is another thread's work,
//!       the second load of `moves` sees this move. If the first did, too, the context that it was
//!       paired with was the next one already (E1).

use super::shim::{AtomicUsize, Ordering};

/// See the module.
pub(crate) struct Whereabouts {
    context: AtomicUsize,
    moves: AtomicUsize,
}

/// The context that is never outside.
pub(crate) const HOME: usize = 0;

impl Whereabouts {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Whereabouts {
        Whereabouts { context: AtomicUsize::new(HOME), moves: AtomicUsize::new(0) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Whereabouts {
        Whereabouts { context: AtomicUsize::new(HOME), moves: AtomicUsize::new(0) }
    }

    /// Owner: goes on in `context` (WH1).
    #[inline(always)]
    pub(crate) fn moved(&self, context: usize) {
        let moves = self.moves.load(Ordering::Relaxed); // only the owner writes
        self.context.store(context, Ordering::Relaxed); // ordered by the next one
        self.moves.store(moves.wrapping_add(1), Ordering::Release); // E1
    }

    /// Whether the owner is in a context whose count is 0. `count` reads it (Acquire). May say no
    /// where yes would be true; a yes was true at a moment during the call.
    pub(crate) fn is_outside(&self, count: impl FnOnce(usize) -> usize) -> bool {
        let before = self.moves.load(Ordering::Acquire); // E1
        let context = self.context.load(Ordering::Acquire); // before the count
        context != HOME
            && count(context) == 0 // E2
            && self.moves.load(Ordering::Relaxed) == before // E2
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn outside_is_a_count_of_zero_away_from_home() {
        let place = Whereabouts::new();
        assert!(!place.is_outside(|_| unreachable!("at home")));
        place.moved(8);
        assert!(place.is_outside(|context| context - 8));
        assert!(!place.is_outside(|_| 1));
        let moving = |_| {
            place.moved(16);
            0
        };
        assert!(!place.is_outside(moving), "it moved during the look");
    }
}
