//! Contexts: telling everybody who works for a request that it is over, when it must be, and what
//! belongs to it. Go's package `context`.
//!
//! A [`Context`] is made from another one and passed down the calls, explicitly: `go!` and `scope`
//! do not inherit one. It ends when its [`CancelHandle`] is used or dropped, when its deadline
//! passes, or when the context above it ends. Whoever works under it looks at
//! [`err`](Context::err), selects on [`done`](Context::done), or waits by calls that take a
//! context, such as [`time::sleep_ctx`](crate::time::sleep_ctx).
//!
//! | Go | here |
//! |---|---|
//! | `Background` | [`background`]; [`todo()`] where there is none yet |
//! | `WithCancel`, `WithCancelCause` | [`with_cancel`]; [`CancelHandle::cancel`], [`cancel_with`](CancelHandle::cancel_with) |
//! | `WithDeadline`, `WithDeadlineCause` | [`with_deadline`], [`with_deadline_cause`] |
//! | `WithTimeout`, `WithTimeoutCause` | [`with_timeout`], [`with_timeout_cause`] |
//! | `defer cancel()` | dropping the [`CancelHandle`] |
//! | `WithValue`, `ctx.Value` | [`with_value`], [`Context::value`]: the type is the key |
//! | `WithoutCancel`, `AfterFunc` | [`without_cancel`], [`after_func`] |
//! | `ctx.Err`, `Cause(ctx)`, `ctx.Deadline`, `ctx.Done` | methods of [`Context`] |
//!
//! ```
//! use gusty::context::{self, Context, Error};
//! use gusty::time::{Duration, sleep_ctx};
//!
//! fn fetch(ctx: &Context) -> Result<&'static str, Error> {
//!     sleep_ctx(ctx, Duration::from_secs(3600))?; // a slow server
//!     Ok("page")
//! }
//!
//! let (ctx, _cancel) = context::with_timeout(&context::background(), Duration::from_millis(5));
//! assert_eq!(fetch(&ctx), Err(Error::DeadlineExceeded));
//! ```

// Job: the module's front: the list of what is public.
// Layer: L3 (blocking)

mod after;
mod done;
mod error;
mod handle;
mod make;
mod node;
mod slots;
mod values;

pub use after::{AfterFunc, after_func};
pub use error::{Cause, Error};
pub use handle::Context;
pub use make::{
    CancelHandle, background, todo, with_cancel, with_deadline, with_deadline_cause, with_timeout,
    with_timeout_cause, with_value, without_cancel,
};

pub(crate) use make::with_deadline_by_hand;

#[cfg(test)]
mod tests;
