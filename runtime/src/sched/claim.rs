//! Job: the claim word of one wait: several events may end it (a value, a deadline, a close), and
//!   exactly one does.
//! Layer: L2 (sched)
//! Not here: the queues that lead to waits (`wait`), the timers (`timers`).
//! Invariants
//!   CL1  Who wins the claim owes the waiter exactly one `ready`; a loser forgets it.
//!   CL2  A claim is tried only under a lock that the waiter must take before its wait ends (the
//!        queue's or the timer heap's), so the word is never gone.
//! Orderings
//!   E1  try_claim: CAS(Release) -> outcome: load(Acquire)   what the winner wrote is seen

use super::g::GRef;
use crate::sys::shim::{AtomicUsize, Ordering};

/// Nobody has claimed the wait.
pub(crate) const OPEN: usize = 0;
/// The deadline passed.
pub(crate) const TIMED_OUT: usize = 1;
/// The first value a user of waits may use as its own token.
pub(crate) const FIRST_TOKEN: usize = 2;

/// One wait of one goroutine or thread. Lives on its stack.
pub(crate) struct Wait {
    g: GRef,
    claim: AtomicUsize,
}

impl Wait {
    pub(crate) fn new(g: GRef) -> Wait {
        Wait { g, claim: AtomicUsize::new(OPEN) }
    }

    /// Who waits.
    #[inline]
    pub(crate) fn g(&self) -> GRef {
        self.g
    }

    /// Ends the wait with `token`, if nothing has ended it yet (CL1, CL2).
    #[inline]
    pub(crate) fn try_claim(&self, token: usize) -> bool {
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1
        self.claim.compare_exchange(OPEN, token, ok, err).is_ok()
    }

    /// As `try_claim` for a wait that only one event can end: no contest, a plain store.
    #[inline]
    pub(crate) fn claim_sole(&self, token: usize) {
        debug_assert_eq!(self.claim.load(Ordering::Relaxed), OPEN);
        self.claim.store(token, Ordering::Release); // E1
    }

    /// How the wait ended; OPEN while it has not.
    #[inline]
    pub(crate) fn outcome(&self) -> usize {
        self.claim.load(Ordering::Acquire) // E1
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn loom_one_event_ends_a_wait() {
        loom::model(|| {
            // SAFETY: the bits are never dereferenced in this model.
            let wait = Arc::new(Wait::new(unsafe { GRef::from_bits(128) }));
            let other = wait.clone();
            let timer = loom::thread::spawn(move || other.try_claim(TIMED_OUT));
            let mine = wait.try_claim(FIRST_TOKEN);
            let theirs = timer.join().unwrap();
            assert!(mine ^ theirs);
            assert_eq!(wait.outcome(), if mine { FIRST_TOKEN } else { TIMED_OUT });
        });
    }
}
