//! Job: the form that all waits under a context have.
//! Layer: L3 (blocking)

use crate::context::{Context, Error};
use crate::wait::Until;

/// Waits by `wait`, which says whether it was served, until `ctx` ends at the latest. A context
/// that has ended already is an error even if there is nothing to wait for.
pub(super) fn served(ctx: &Context, wait: impl FnOnce(Until<'_>) -> bool) -> Result<(), Error> {
    if wait(ctx.until()?) { Ok(()) } else { Err(ctx.ended()) }
}
