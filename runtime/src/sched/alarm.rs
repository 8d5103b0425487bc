//! Job: a deadline that starts a goroutine, and can be taken back.
//! Layer: L2 (sched)
//! Not here: the heap's side of it (`timers`); locking (the owner calls under a lock of its own).
//! Invariants
//!   AL1  While the alarm is set its `Timed` is pinned by the box and owns the dormant goroutine;
//!        expiry takes both out of the heap under the heap's lock, so `clear` finds them or not.

use super::dormant::Dormant;
use super::idle;
use super::timers::Timed;
use crate::sys::clock::Nanos;

/// Set or not; dropping it clears it.
pub(crate) struct Alarm(Box<Timed<'static>>);

// SAFETY: the owner has it exclusively (`&mut`), and the heap's side is under the heap's lock (AL1).
unsafe impl Send for Alarm {}

impl Alarm {
    /// One that is not set.
    pub(crate) fn new() -> Alarm {
        Alarm(Box::new(Timed::idle()))
    }

    /// Has `then` begin at `when`, or as soon as somebody looks if that is past. The alarm is not
    /// set. May allocate; never blocks.
    pub(crate) fn set(&mut self, when: Nanos, then: Dormant) {
        self.0.retarget(when, then.into_g());
        // SAFETY: pinned by the box, disarmed before it dies (AL1, `drop`).
        let watched = unsafe { self.0.arm() };
        if !watched {
            idle::wake_p(); // a searcher that finds nothing blocks in the poller
        }
    }

    /// Takes the goroutine back, unless it has begun or the alarm is not set.
    pub(crate) fn clear(&mut self) -> Option<Dormant> {
        let g = self.0.disarm().then(|| self.0.started())?;
        // SAFETY: taken out of the heap before it expired, so nobody has queued it (AL1).
        Some(unsafe { Dormant::from_g(g) })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}
