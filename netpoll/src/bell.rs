//! Job: whether the thread that blocks in the poller has to be woken, at no more cost than needed.
//! Not here: the eventfd that does it (`poller`).
//! Invariants
//!   BE1  `begin` and `end` are called by the one thread that polls, in pairs.
//!   BE2  A ring is never lost: it ends the block that is in progress, or prevents the next one.
//!   BE3  Of all rings during one block, exactly one costs a system call; others cost none.
//! Orderings
//!   E1  ring: state.swap(RUNG, Release) -> begin, end, is_rung: Acquire
//!       what the ringer published is seen by the thread that comes back from the poller
//!   E2  ring: state.swap; write to the eventfd -> epoll_wait returns; is_rung: state.load
//!       (through the kernel) the woken thread finds the bell rung and does not block again
//! Checked by: the loom model below.

use crate::sync::{AtomicU8, Ordering};

/// Nobody blocks, nobody has rung.
const IDLE: u8 = 0;
/// A thread blocks, or is about to.
const BLOCKED: u8 = 1;
/// Somebody has rung; no block has ended by it yet.
const RUNG: u8 = 2;

pub(crate) struct Bell(AtomicU8);

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell(AtomicU8::new(IDLE))
    }

    /// True if the caller may block; it then calls `end`. False if somebody has rung: the ring is
    /// used up by not blocking.
    pub(crate) fn begin(&self) -> bool {
        // BE1: nobody else blocks, so a failure means RUNG, and BLOCKED is ours to take back.
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1
        let may_block = self.0.compare_exchange(IDLE, BLOCKED, ok, err).is_ok();
        if !may_block {
            // BE2: the ring is used up here, by the block that it prevents.
            self.0.swap(IDLE, Ordering::AcqRel); // E1: also of those who rang meanwhile
        }
        may_block
    }

    /// The block is over; true if somebody has rung since `begin`.
    pub(crate) fn end(&self) -> bool {
        self.0.swap(IDLE, Ordering::AcqRel) == RUNG // E1
    }

    /// A blocked thread has to return. Anything else that woke it may be forgotten.
    pub(crate) fn is_rung(&self) -> bool {
        self.0.load(Ordering::Acquire) == RUNG // E1, E2
    }

    /// True if a thread is blocked and the caller has to wake it.
    #[must_use]
    pub(crate) fn ring(&self) -> bool {
        // BE3: of all swaps during one block the first alone finds BLOCKED.
        self.0.swap(RUNG, Ordering::AcqRel) == BLOCKED // E1, E2
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rings_before_a_block_prevent_exactly_one_and_cost_nothing() {
        let bell = Bell::new();
        assert!(!bell.ring());
        assert!(!bell.ring());
        assert!(!bell.begin());
        assert!(bell.begin());
        assert!(!bell.end());
    }

    #[test]
    fn only_the_first_ring_of_a_block_wakes() {
        let bell = Bell::new();
        assert!(bell.begin());
        assert!(!bell.is_rung());
        assert!(bell.ring());
        assert!(!bell.ring());
        assert!(bell.is_rung());
        assert!(bell.end());
        assert!(bell.begin(), "the ring was used up");
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::atomic::AtomicBool;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    /// Two ringers, one poller: it comes back, and with the last ring it has seen everything.
    #[test]
    fn loom_no_ring_is_lost() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let bell = Arc::new(Bell::new());
            let eventfd = Arc::new(Notify::new());
            let work = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
            let ringers = [0, 1].map(|i| {
                let (bell, eventfd, work) = (bell.clone(), eventfd.clone(), work.clone());
                thread::spawn(move || {
                    work[i].store(true, Ordering::Relaxed);
                    if bell.ring() {
                        eventfd.notify();
                    }
                })
            });
            // Without a lost ring this ends; with one, loom reports a deadlock.
            while !work.iter().all(|done| done.load(Ordering::Relaxed)) {
                if bell.begin() {
                    while !bell.is_rung() {
                        eventfd.wait();
                    }
                    assert!(bell.end());
                }
            }
            for ringer in ringers {
                ringer.join().unwrap();
            }
        });
    }
}
