//! Job: `timeout`: a bound on how long the caller waits for something.
//! Layer: L3 (blocking)

use std::error::Error;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::chan;
use crate::context::{Context, with_deadline_by_hand};
use crate::sched::dormant::Dormant;

/// The time was over first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f` in a goroutine of its own and returns its value, or an error after `duration`.
///
/// A goroutine cannot be killed. After the deadline `f` runs on, and its value is dropped where it
/// ends; that is why it may not borrow. To have it stop, it gets a context that ends when the caller
/// goes on, for waits that take one and for a look at [`Context::err`] now and then.
///
/// Parks a goroutine, blocks a plain thread.
///
/// # Errors
/// `f` took longer.
///
/// # Panics
/// With the panic of `f`, if that comes in time; at the limit on goroutines
/// (`GUSTY_MAX_GOROUTINES`).
///
/// ```
/// use gusty::time::{Duration, sleep_ctx, timeout};
///
/// let quick = timeout(Duration::from_secs(3600), |_| 6 * 7);
/// assert_eq!(quick, Ok(42));
/// let slow = timeout(Duration::from_millis(1), |ctx| sleep_ctx(ctx, Duration::MAX));
/// assert!(slow.is_err());
/// ```
#[track_caller]
pub fn timeout<T, F>(duration: Duration, f: F) -> Result<T, Elapsed>
where
    F: FnOnce(&Context) -> T + Send + 'static,
    T: Send + 'static,
{
    let deadline = Instant::now().checked_add(duration);
    let (ctx, cancel) = with_deadline_by_hand(deadline);
    let (tx, rx) = chan::bounded(1);
    let run: Box<dyn FnOnce() + Send> = Box::new(move || {
        // Dropped here if the caller has gone.
        let _ = tx.send(catch_unwind(AssertUnwindSafe(|| f(&ctx))));
    });
    Dormant::new(Location::caller(), run).start();
    let ended = match deadline {
        Some(deadline) => rx.recv_deadline(deadline).ok(),
        None => rx.recv().ok(),
    };
    match ended {
        Some(Ok(value)) => Ok(value),
        Some(Err(payload)) => resume_unwind(payload),
        None => {
            cancel.expire(); // by hand, so that what `f` makes of it cannot come in time
            Err(Elapsed(()))
        }
    }
}
