//! Job: `Ticker`: the time, again and again.
//! Layer: L3 (blocking)

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pulse::Pulse;
use crate::chan::{Receiver, RecvError};

/// Sends the time into its channel every period, in phase with its start. The channel keeps one
/// value: a receiver that is slower misses ticks and finds no queue of them. As Go's `time.Ticker`.
///
/// Owns its channel: when the ticker is dropped it stops and its channel is closed, so that loops
/// over it end. For a channel that stands alone see `chan::tick`.
///
/// ```
/// use gusty::time::{Duration, Ticker};
///
/// let ticker = Ticker::new(Duration::from_millis(1));
/// let times: Vec<_> = ticker.chan().iter().take(3).collect();
/// assert!(times.is_sorted());
/// ```
pub struct Ticker {
    pulse: Arc<Pulse>,
}

impl Ticker {
    /// A ticker whose first tick comes after `period`. Never blocks.
    ///
    /// # Panics
    /// If the period is zero; at the limit on goroutines (`GUSTY_MAX_GOROUTINES`).
    ///
    /// ```
    /// use gusty::time::{Duration, Ticker};
    /// assert!(Ticker::new(Duration::from_secs(3600)).chan().try_recv().is_err());
    /// ```
    #[track_caller]
    pub fn new(period: Duration) -> Ticker {
        let pulse = Pulse::new(Location::caller());
        start(&pulse, period);
        Ticker { pulse }
    }

    /// The channel that gets the time at each tick.
    ///
    /// ```
    /// use gusty::time::{Duration, Ticker};
    /// let ticker = Ticker::new(Duration::from_millis(1));
    /// let ticks = ticker.chan().clone();
    /// assert!(ticks.recv().is_ok() && ticks.recv().is_ok());
    /// drop(ticker);
    /// assert_eq!(ticks.iter().count(), 0); // closed
    /// ```
    pub fn chan(&self) -> &Receiver<Instant> {
        self.pulse.chan()
    }

    /// Waits for the next tick. Parks a goroutine, blocks a plain thread.
    ///
    /// # Errors
    /// Somebody closed the channel.
    ///
    /// ```
    /// use gusty::time::{Duration, Ticker};
    /// assert!(Ticker::new(Duration::from_millis(1)).recv().is_ok());
    /// ```
    pub fn recv(&self) -> Result<Instant, RecvError> {
        self.chan().recv()
    }

    /// Stops ticking. No tick is received after this has returned, until a
    /// [`reset`](Ticker::reset). Does not close the channel. May park for as long as another call
    /// on this ticker takes.
    ///
    /// ```
    /// use gusty::time::{Duration, Ticker};
    /// let ticker = Ticker::new(Duration::from_nanos(1));
    /// ticker.stop();
    /// assert!(ticker.chan().try_recv().is_err());
    /// ```
    pub fn stop(&self) {
        self.pulse.stop();
    }

    /// Starts anew with another period; the first tick comes after it. A tick of before will not
    /// be received. May park as [`stop`](Ticker::stop).
    ///
    /// # Panics
    /// As [`new`](Ticker::new).
    ///
    /// ```
    /// use gusty::time::{Duration, Ticker};
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// ticker.reset(Duration::from_millis(1));
    /// assert!(ticker.recv().is_ok());
    /// ```
    pub fn reset(&self, period: Duration) {
        start(&self.pulse, period);
    }
}

fn start(pulse: &Arc<Pulse>, period: Duration) {
    assert!(!period.is_zero(), "a ticker's period must not be zero");
    pulse.start(period, period);
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.end();
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}
