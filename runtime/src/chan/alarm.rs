//! Job: what is behind the receivers of `after`, `at` and `tick`: moments instead of a channel.
//! Layer: L3 (blocking)
//! Not here: the receivers (`receiver`).
//! Invariants
//!   AL1  A moment is received by whoever moves `next` away from it.
//!
//! There is no timer and nobody sends: who waits for a moment waits until that moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::channel::Outcome;
use crate::sched::claim::CANCELLED;
use crate::sched::g::WaitReason;
use crate::sys::clock::{self, NEVER, Nanos};
use crate::wait::{self, Until};

/// No moment is left.
const OVER: u64 = u64::MAX;

/// See the module.
pub(super) struct Alarm {
    first: Instant,
    period: Option<Duration>,
    /// The moment to be received next, in nanoseconds after the first one, or OVER.
    next: AtomicU64,
}

impl Alarm {
    pub(super) const fn new(first: Instant, period: Option<Duration>) -> Alarm {
        Alarm { first, period, next: AtomicU64::new(0) }
    }

    /// Relaxed: the moments themselves are all there is to see.
    fn next(&self) -> Option<(u64, Instant)> {
        let next = self.next.load(Ordering::Relaxed);
        let at = (next != OVER).then(|| self.first.checked_add(Duration::from_nanos(next)));
        at.flatten().map(|at| (next, at))
    }

    /// When there will be something to receive.
    pub(super) fn deadline(&self) -> Nanos {
        self.next().map_or(NEVER, |(_, at)| clock::from_instant(at))
    }

    pub(super) fn is_due(&self) -> bool {
        self.next().is_some_and(|(_, at)| at <= Instant::now())
    }

    pub(super) fn try_recv(&self) -> Option<Instant> {
        loop {
            let (next, at) = self.next()?;
            let now = Instant::now();
            if now < at {
                return None;
            }
            let then = self.after(next, now);
            let moved = self.next.compare_exchange(
                next,
                then,
                Ordering::Relaxed, // as `next`
                Ordering::Relaxed,
            );
            if moved.is_ok() {
                return Some(at); // AL1
            }
        }
    }

    /// The moment after `next`, which is received now: a period after it, or, if that is over, a
    /// period from now.
    fn after(&self, next: u64, now: Instant) -> u64 {
        let Some(period) = self.period else { return OVER };
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(OVER);
        let (period, now) = (nanos(period), nanos(now - self.first));
        let then = next.saturating_add(period);
        if then > now { then } else { now.saturating_add(period) }
    }

    /// Receives, waiting for the moment.
    pub(super) fn recv(&self, until: Until<'_>) -> Result<Instant, Outcome> {
        loop {
            if let Some(at) = self.try_recv() {
                return Ok(at);
            }
            pause(Until { deadline: until.deadline.min(self.deadline()), ..until })?;
            if until.deadline <= clock::now() {
                return self.try_recv().ok_or(Outcome::NotNow);
            }
        }
    }
}

/// Waits for nothing that comes: until the deadline, or until it is called off.
pub(super) fn pause(until: Until<'_>) -> Result<(), Outcome> {
    match wait::pause(until, WaitReason::ChanRecv) {
        CANCELLED => Err(Outcome::Cancelled),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_phase_unless_one_was_missed() {
        let (first, second) = (Instant::now(), Duration::from_secs(1));
        let alarm = Alarm::new(first, Some(second));
        let after = |next, millis| alarm.after(next, first + Duration::from_millis(millis));
        assert_eq!(after(0, 300), 1_000_000_000);
        assert_eq!(after(0, 1_300), 2_300_000_000);
        assert_eq!(after(2_300_000_000, 2_301), 3_300_000_000);
    }

    #[test]
    fn one_moment_is_received_once() {
        let when = Instant::now();
        let alarm = Alarm::new(when, None);
        assert!(alarm.is_due() && alarm.deadline() <= clock::now());
        assert_eq!(alarm.try_recv(), Some(when));
        assert_eq!(alarm.try_recv(), None);
        assert!(!alarm.is_due() && alarm.deadline() == NEVER);
        assert_eq!(alarm.recv(Until::deadline(0)), Err(Outcome::NotNow));
    }
}
