//! Job: a timer that sends the time into a channel, once or again and again.
//! Layer: L3 (blocking)
//! Not here: the public types (`timer`, `ticker`).
//! Invariants
//!   PS1  Values are sent, and drained by a stop or reset, under the lock. So none from before is
//!        received after a stop or reset has returned.
//! Source: Go 1.23's channel timers.

use std::panic::Location;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::due::Due;
use crate::chan::{self, Receiver, Sender};
use crate::sched::dormant::Dormant;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::clock::{self, Nanos};

struct State {
    due: Due,
    /// Between two values; 0 for one only.
    period: Nanos,
}

/// See the module.
pub(super) struct Pulse {
    state: Mutex<State>,
    tx: Sender<Instant>,
    rx: Receiver<Instant>,
    site: &'static Location<'static>,
}

/// In nanoseconds, saturated.
fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(clock::NEVER)
}

impl Pulse {
    pub(super) fn new(site: &'static Location<'static>) -> Arc<Pulse> {
        let (tx, rx) = chan::bounded(1);
        Arc::new(Pulse { state: Mutex::new(State { due: Due::new(), period: 0 }), tx, rx, site })
    }

    pub(super) fn chan(&self) -> &Receiver<Instant> {
        &self.rx
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // whole at every panic
    }

    /// The first value comes after `first`, further ones every `period` unless that is zero. True
    /// if that takes the place of a value that had not been received.
    pub(super) fn start(self: &Arc<Pulse>, first: Duration, period: Duration) -> bool {
        let mut state = self.lock();
        let pending = self.clear(&mut state);
        state.period = nanos(period);
        if first.is_zero() {
            self.send();
        } else {
            state.due.set(clock::after(first), || self.firing());
        }
        pending
    }

    /// No value comes any more (PS1); true if one had not been received that would have.
    pub(super) fn stop(&self) -> bool {
        self.clear(&mut self.lock())
    }

    /// Stops, and closes the channel.
    pub(super) fn end(&self) {
        self.stop();
        self.tx.close();
        let unused = self.lock().due.take_spare(); // DU2
        drop(unused);
    }

    fn clear(&self, state: &mut State) -> bool {
        let set = state.due.clear();
        let unreceived = self.rx.try_recv().is_ok();
        set || unreceived
    }

    fn firing(self: &Arc<Pulse>) -> Dormant {
        let this = self.clone();
        Dormant::new(self.site, move || this.fire())
    }

    fn fire(self: &Arc<Pulse>) {
        let mut state = self.lock();
        let Some(when) = state.due.fire() else { return };
        self.send();
        if state.period != 0 {
            let next = next_tick(when, state.period, clock::now());
            state.due.set(next, || self.firing());
        }
    }

    fn send(&self) {
        let _ = self.tx.try_send(Instant::now()); // full: a slow receiver misses this one
    }
}

/// The first tick after `now` in phase with `when`, which is not after `now`.
fn next_tick(when: Nanos, period: Nanos, now: Nanos) -> Nanos {
    let missed = (now - when) / period;
    when.saturating_add(period.saturating_mul(missed + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_their_phase_and_skip_what_was_missed() {
        assert_eq!(next_tick(100, 10, 100), 110);
        assert_eq!(next_tick(100, 10, 109), 110);
        assert_eq!(next_tick(100, 10, 110), 120);
        assert_eq!(next_tick(100, 10, 1234), 1240);
        assert_eq!(next_tick(100, clock::NEVER, 1234), clock::NEVER);
        assert_eq!(next_tick(7, clock::NEVER / 2, clock::NEVER - 1), clock::NEVER);
    }

    /// Row 93.
    #[test]
    fn nothing_is_left_of_one_that_has_ended() {
        let hour = Duration::from_secs(3600);
        for (first, period) in [
            (hour, Duration::ZERO),
            (hour, hour),
            (Duration::from_nanos(1), Duration::from_nanos(1)),
        ] {
            let pulse = Pulse::new(Location::caller());
            pulse.start(first, period);
            assert!(Arc::strong_count(&pulse) >= 2, "the goroutine that is to come holds it");
            let weak = Arc::downgrade(&pulse);
            pulse.end();
            drop(pulse);
            while weak.strong_count() != 0 {
                std::thread::yield_now(); // one that had begun ends
            }
        }
    }
}
