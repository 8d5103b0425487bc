//! Time: pauses, timers, tickers, deadlines; Go's package `time` with Rust's `Duration` and
//! `Instant`.
//!
//! What fires does so in a goroutine of its own, some 10 to 30 us after its time when the process
//! is idle, and never before. Durations too long for the clock mean "never".
//!
//! ```
//! use gusty::time::{Duration, Ticker, Timer};
//!
//! let ticker = Ticker::new(Duration::from_millis(1));
//! let timer = Timer::new(Duration::from_millis(5));
//! let mut ticks = 0;
//! while timer.chan().try_recv().is_err() {
//!     ticker.recv().unwrap();
//!     ticks += 1;
//! }
//! assert!(ticks > 0);
//! ```

// Job: the module's front: the list of what is public.
// Layer: L3 (blocking)

mod due;
mod func;
mod pulse;
mod sleep;
mod ticker;
mod timeout;
mod timer;

pub use std::time::{Duration, Instant};

pub use crate::chan::{after, at, tick};

pub use func::{AfterFunc, after_func};
pub use sleep::{sleep, sleep_ctx, sleep_until, sleep_until_ctx};
pub use ticker::Ticker;
pub use timeout::{Elapsed, timeout};
pub use timer::Timer;
