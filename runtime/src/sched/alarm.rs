//! Job: a deadline that starts a goroutine, and can be taken back.
//! Layer: L2 (sched)
//! Not here: the heap's side of it (`timers`); locking (the owner calls under a lock of its own).
//! Invariants
//!   AR1  While the alarm is set its `Timed` is pinned by the box and owns the dormant goroutine;
//!        expiry takes both out of the heap under the heap's lock, so `clear` finds them or not.

use super::dormant::Dormant;
use super::idle;
use super::timers::Timed;
use crate::sys::clock::Nanos;

/// Set or not; dropping it clears it.
pub(crate) struct Alarm(Box<Timed<'static>>);

// SAFETY: the owner has it exclusively (`&mut`), and the heap's side is under the heap's lock (AR1).
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
        // SAFETY: pinned by the box, disarmed before it dies (AR1, `drop`).
        let watched = unsafe { self.0.arm() };
        if !watched {
            idle::wake_p(); // a searcher that finds nothing blocks in the poller
        }
    }

    /// Takes the goroutine back, unless it has begun or the alarm is not set.
    pub(crate) fn clear(&mut self) -> Option<Dormant> {
        let g = self.0.disarm().then(|| self.0.started())?;
        // SAFETY: taken out of the heap before it expired, so nobody has queued it (AR1).
        Some(unsafe { Dormant::from_g(g) })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::{self, NEVER};
    use std::panic::Location;
    use std::sync::mpsc;

    #[test]
    fn it_starts_its_goroutine_or_gives_it_back() {
        let (tx, rx) = mpsc::channel();
        let mut alarm = Alarm::new();
        assert!(alarm.clear().is_none(), "not set");
        let mut then = Dormant::new(Location::caller(), move || tx.send(clock::now()).unwrap());
        for when in [NEVER, clock::now() + 3_600_000_000_000] {
            alarm.set(when, then);
            then = alarm.clear().expect("far away");
            assert!(alarm.clear().is_none());
        }
        let when = clock::now() + 200_000;
        alarm.set(when, then);
        assert!(rx.recv().unwrap() >= when);
        assert!(alarm.clear().is_none());
    }

    #[test]
    fn dropping_it_drops_what_it_would_have_started() {
        let (tx, rx) = mpsc::channel::<()>();
        let mut alarm = Alarm::new();
        alarm.set(NEVER, Dormant::new(Location::caller(), move || tx.send(()).unwrap()));
        drop(alarm);
        assert!(rx.recv().is_err());
    }

    #[test]
    fn alarms_of_the_past_and_set_from_plain_threads_begin() {
        let (tx, rx) = mpsc::channel();
        let alarms: Vec<_> = (0..1000)
            .map(|i| {
                let tx = tx.clone();
                let mut alarm = Alarm::new();
                let then = Dormant::new(Location::caller(), move || tx.send(i).unwrap());
                alarm.set(clock::now() * (i % 2), then);
                alarm
            })
            .collect();
        drop(tx);
        assert_eq!(rx.iter().sum::<u64>(), 499_500);
        drop(alarms);
    }
}
