//! Job: `Timer`: one value after a while, if nobody changes his mind.
//! Layer: L3 (blocking)

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pulse::Pulse;
use crate::chan::{Receiver, RecvError};

/// Sends the time into its channel once, when its duration is over, and can be stopped and set
/// again, from anywhere. As Go's `time.Timer` since 1.23: after [`stop`](Timer::stop) or
/// [`reset`](Timer::reset) has returned, nobody receives a value of before.
///
/// Owns its channel: when the timer is dropped it stops and its channel is closed. For a channel
/// that stands alone see `chan::after`.
///
/// ```
/// use gusty::time::{Duration, Timer};
///
/// let timer = Timer::new(Duration::from_secs(3600));
/// assert!(timer.reset(Duration::from_millis(1)));
/// timer.recv().unwrap();
/// assert!(!timer.stop()); // it is over
/// ```
pub struct Timer {
    pulse: Arc<Pulse>,
}

impl Timer {
    /// A timer that fires after `duration`; after none, at once; [`Duration::MAX`] is never. Never
    /// blocks.
    ///
    /// # Panics
    /// At the limit on goroutines (`GUSTY_MAX_GOROUTINES`): each set timer is one that has not
    /// begun.
    ///
    /// ```
    /// use gusty::time::{Duration, Timer};
    /// assert!(Timer::new(Duration::ZERO).chan().try_recv().is_ok());
    /// ```
    #[track_caller]
    pub fn new(duration: Duration) -> Timer {
        let pulse = Pulse::new(Location::caller());
        pulse.start(duration, Duration::ZERO);
        Timer { pulse }
    }

    /// The channel that gets the time when the timer fires.
    ///
    /// ```
    /// use gusty::time::{Duration, Timer};
    /// let timer = Timer::new(Duration::from_millis(1));
    /// let fired = timer.chan().clone();
    /// assert!(fired.recv().is_ok());
    /// drop(timer);
    /// assert!(fired.recv().is_err()); // closed
    /// ```
    pub fn chan(&self) -> &Receiver<Instant> {
        self.pulse.chan()
    }

    /// Waits until the timer fires and takes its value. Parks a goroutine, blocks a plain thread:
    /// for good, if it is stopped or another has the value.
    ///
    /// # Errors
    /// Somebody closed the channel.
    ///
    /// ```
    /// use gusty::time::{Duration, Timer};
    /// assert!(Timer::new(Duration::from_millis(1)).recv().is_ok());
    /// ```
    pub fn recv(&self) -> Result<Instant, RecvError> {
        self.chan().recv()
    }

    /// Stops the timer: true if nobody has received its value and nobody will; false if it was
    /// received, or the timer was stopped. May park for as long as another call on this timer
    /// takes.
    ///
    /// ```
    /// use gusty::time::{Duration, Timer};
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.stop()); // it had fired, but nobody received that, and nobody will
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.pulse.stop()
    }

    /// Sets the timer to fire after `duration` from now, whether it had fired or not; true if that
    /// replaces a value that nobody has received. A value of before will not be received. May park
    /// as [`stop`](Timer::stop).
    ///
    /// # Panics
    /// As [`new`](Timer::new).
    ///
    /// ```
    /// use gusty::time::{Duration, Timer};
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.reset(Duration::MAX));
    /// assert!(timer.chan().try_recv().is_err());
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        self.pulse.start(duration, Duration::ZERO)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.pulse.end();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}
