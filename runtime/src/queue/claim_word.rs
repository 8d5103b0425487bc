//! Job: a word that one of several events claims.
//! Layer: L1 (structures)
//! Not here: whose wait it ends (`sched::claim`).
//! Orderings
//!   E1  try_claim: CAS(Release), amend: store(Release) -> outcome: load(Acquire)   what the winner wrote is seen
//! Checked by: the loom models below and in `claim_word_models`.

use crate::sys::shim::{AtomicUsize, Ordering};

/// Nobody has claimed the wait.
pub(crate) const OPEN: usize = 0;
/// The deadline passed.
pub(crate) const TIMED_OUT: usize = 1;
/// The wait was called off.
pub(crate) const CANCELLED: usize = 2;
/// The first value a user of waits may use as its own token; even.
pub(crate) const FIRST_TOKEN: usize = 4;

/// See the module.
pub(crate) struct ClaimWord(AtomicUsize);

impl ClaimWord {
    pub(crate) fn new() -> ClaimWord {
        ClaimWord(AtomicUsize::new(OPEN))
    }

    /// Claims the word with `token`, if nobody has.
    #[inline]
    pub(crate) fn try_claim(&self, token: usize) -> bool {
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1
        self.0.compare_exchange(OPEN, token, ok, err).is_ok()
    }

    /// Claims a word that only the caller can claim.
    #[inline]
    pub(crate) fn claim_sole(&self, token: usize) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed), OPEN);
        self.0.store(token, Ordering::Release); // E1
    }

    /// Replaces the token of the caller's own claim.
    pub(crate) fn amend(&self, token: usize) {
        debug_assert_ne!(self.0.load(Ordering::Relaxed), OPEN);
        self.0.store(token, Ordering::Release); // E1
    }

    /// Who claimed it.
    #[inline]
    pub(crate) fn outcome(&self) -> usize {
        self.0.load(Ordering::Acquire) // E1
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    #[test]
    fn loom_one_event_ends_a_wait() {
        loom::model(|| {
            let word = Arc::new(ClaimWord::new());
            let other = word.clone();
            let timer = loom::thread::spawn(move || other.try_claim(TIMED_OUT));
            let mine = word.try_claim(FIRST_TOKEN);
            let theirs = timer.join().unwrap();
            assert!(mine ^ theirs);
            assert_eq!(word.outcome(), if mine { FIRST_TOKEN } else { TIMED_OUT });
        });
    }

    #[test]
    fn loom_one_of_three_events_ends_a_wait() {
        loom::model(|| {
            let word = Arc::new(ClaimWord::new());
            let others = [TIMED_OUT, CANCELLED].map(|token| {
                let word = word.clone();
                loom::thread::spawn(move || word.try_claim(token).then_some(token))
            });
            let mine = word.try_claim(FIRST_TOKEN).then_some(FIRST_TOKEN);
            let theirs = others.map(|other| other.join().unwrap());
            let mut won = theirs.into_iter().chain([mine]).flatten();
            assert_eq!(won.next(), Some(word.outcome()));
            assert_eq!(won.next(), None);
        });
    }

    #[test]
    fn loom_the_winner_s_value_is_seen() {
        loom::model(|| {
            let shared = Arc::new((ClaimWord::new(), UnsafeCell::new(0)));
            let sender = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    // SAFETY: the waiter reads only after the claim.
                    shared.1.with_mut(|value| unsafe { *value = 7 });
                    shared.0.claim_sole(FIRST_TOKEN);
                })
            };
            if shared.0.outcome() == FIRST_TOKEN {
                // SAFETY: written before the claim (E1).
                assert_eq!(shared.1.with(|value| unsafe { *value }), 7);
            }
            sender.join().unwrap();
        });
    }
}

#[cfg(all(test, loom))]
#[path = "claim_word_models.rs"]
mod loom_models;
