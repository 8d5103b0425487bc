//! Job: the claim word of one wait: several events may end it (a value, a deadline, a close), and
//!   exactly one does.
//! Layer: L2 (sched)
//! Not here: the queues that lead to waits (`wait`), the timers (`timers`).
//! Invariants
//!   CL1  Who wins the claim owes the waiter exactly one `ready`; a loser forgets it.
//!   CL2  A claim is tried only under a lock that the waiter must take before its wait ends (the
//!        queue's or the timer heap's), so the word is never gone.

use super::g::GRef;
use crate::queue::claim_word::ClaimWord;
pub(crate) use crate::queue::claim_word::{CANCELLED, FIRST_TOKEN, OPEN, TIMED_OUT};

/// One wait of one goroutine or thread. Lives on its stack.
pub(crate) struct Wait {
    g: GRef,
    claim: ClaimWord,
}

impl Wait {
    pub(crate) fn new(g: GRef) -> Wait {
        Wait { g, claim: ClaimWord::new() }
    }

    /// Who waits.
    #[inline]
    pub(crate) fn g(&self) -> GRef {
        self.g
    }

    /// Ends the wait with `token`, if nothing has ended it yet (CL1, CL2).
    #[inline]
    pub(crate) fn try_claim(&self, token: usize) -> bool {
        self.claim.try_claim(token)
    }

    /// As `try_claim` for a wait that only one event can end: no contest, a plain store.
    #[inline]
    pub(crate) fn claim_sole(&self, token: usize) {
        self.claim.claim_sole(token);
    }

    /// Changes how the caller, who has won the claim, ends the wait; before its `ready`.
    pub(crate) fn amend(&self, token: usize) {
        self.claim.amend(token);
    }

    /// How the wait ended; OPEN while it has not.
    #[inline]
    pub(crate) fn outcome(&self) -> usize {
        self.claim.outcome()
    }
}
