//! Job: pauses.
//! Layer: L3 (blocking)

use std::time::{Duration, Instant};

use crate::context::{Context, Error};
use crate::sched::claim::{CANCELLED, Wait};
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::sys::clock::{self, Nanos};
use crate::wait::{self, Until};

/// Pauses for at least `duration`: parks a goroutine, blocks a plain thread. Zero returns at once
/// after letting others run; [`Duration::MAX`] never returns.
///
/// When the process is idle, a goroutine wakes some 10 to 30 us after its deadline.
///
/// ```
/// gusty::sleep(gusty::time::Duration::from_millis(1));
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return park::yield_now();
    }
    park::sleep_until(clock::after(duration));
}

/// Pauses until `deadline`; see [`sleep`].
///
/// ```
/// use gusty::time::{Duration, Instant, sleep_until};
/// sleep_until(Instant::now() + Duration::from_millis(1));
/// ```
pub fn sleep_until(deadline: Instant) {
    park::sleep_until(clock::from_instant(deadline));
}

/// As [`sleep`], until `ctx` ends at the latest. A context that has ended already is an error even
/// if there is nothing to wait for.
///
/// # Errors
/// The context ended first.
///
/// ```
/// use gusty::{context, go, time};
///
/// let (ctx, cancel) = context::with_cancel(&context::background());
/// go!(move || cancel.cancel());
/// assert_eq!(time::sleep_ctx(&ctx, time::Duration::MAX), Err(context::Error::Cancelled));
/// ```
pub fn sleep_ctx(ctx: &Context, duration: Duration) -> Result<(), Error> {
    if let Some(error) = ctx.err() {
        return Err(error);
    }
    if duration.is_zero() {
        park::yield_now();
        return Ok(());
    }
    wait_ctx(ctx, clock::after(duration))
}

/// As [`sleep_ctx`], until `deadline`.
///
/// # Errors
/// The context ended first.
///
/// ```
/// use gusty::{context, time};
/// let past = time::Instant::now();
/// assert_eq!(time::sleep_until_ctx(&context::background(), past), Ok(()));
/// ```
pub fn sleep_until_ctx(ctx: &Context, deadline: Instant) -> Result<(), Error> {
    match ctx.err() {
        Some(error) => Err(error),
        None => wait_ctx(ctx, clock::from_instant(deadline)),
    }
}

fn wait_ctx(ctx: &Context, deadline: Nanos) -> Result<(), Error> {
    let wait = Wait::new(park::current());
    let until = Until { deadline, cancel: ctx.cancel() };
    // SAFETY: the wait is in no queue; only the timer and the context end it, which the call takes
    // care of.
    let outcome = unsafe { wait::park_queued(&wait, until, WaitReason::Sleep, || ()) };
    match outcome {
        CANCELLED => Err(ctx.err().expect("what ends waits has ended")),
        _ => Ok(()),
    }
}
