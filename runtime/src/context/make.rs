//! Job: making contexts from contexts, and the handle that ends one.
//! Layer: L3 (blocking)
//! Not here: what an end does (`node`).

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{Cause, Error, Reason};
use super::handle::Context;
use super::node::Node;
use super::values::Values;
use crate::sched::dormant::Dormant;
use crate::sys::clock;

/// The root: never ends, has no deadline and no values. Costs nothing.
///
/// ```
/// assert_eq!(gusty::context::background().err(), None);
/// ```
pub fn background() -> Context {
    Context::default()
}

/// As [`background`], for code that does not have its caller's context yet.
///
/// ```
/// assert!(gusty::context::todo().deadline().is_none());
/// ```
pub fn todo() -> Context {
    Context::default()
}

/// Ends its context, at the latest when it is dropped: whoever makes a context that can end ends
/// it. To keep it alive for longer, keep the handle; share it as an `Arc` to end it from several
/// places. Ending what has ended does nothing.
#[must_use = "dropping the handle cancels its context"]
pub struct CancelHandle {
    node: Arc<Node>,
}

impl CancelHandle {
    /// Ends the context and all below it with [`Error::Cancelled`], and wakes those who wait for
    /// that; does not wait for what they do. When this returns the context and all below it have
    /// ended. If other calls are ending some of them at this moment, parks until they have.
    ///
    /// ```
    /// use gusty::context;
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let (below, _cancel) = context::with_cancel(&ctx);
    /// cancel.cancel();
    /// assert!(ctx.err().is_some() && below.err().is_some());
    /// ```
    pub fn cancel(&self) {
        self.node.end(Reason { error: Error::Cancelled, cause: None });
    }

    /// As [`cancel`](CancelHandle::cancel), with something for [`Context::cause`] to tell: an error
    /// or a text.
    ///
    /// ```
    /// use gusty::context;
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// cancel.cancel_with(std::io::Error::other("disk full"));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "disk full");
    /// ```
    pub fn cancel_with(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) {
        self.node.end(Reason { error: Error::Cancelled, cause: Some(cause.into().into()) });
    }

    /// Ends the context as a deadline does.
    pub(crate) fn expire(&self) {
        self.node.end(Reason { error: Error::DeadlineExceeded, cause: None });
    }
}

impl Drop for CancelHandle {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").finish_non_exhaustive()
    }
}

fn pair(parent: &Context, node: Arc<Node>) -> (Context, CancelHandle) {
    let values = parent.values.clone();
    (Context { node: Some(node.clone()), values }, CancelHandle { node })
}

/// A context below `parent` that ends when the handle says so or is dropped, or with its parent.
/// Never blocks.
///
/// ```
/// use gusty::{chan, context, go};
///
/// let (ctx, cancel) = context::with_cancel(&context::background());
/// let (tx, numbers) = chan::bounded(0);
/// go!(move || {
///     let mut n = 0;
///     while ctx.err().is_none() && tx.send(n).is_ok() {
///         n += 1;
///     }
/// });
/// assert_eq!(numbers.iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
/// drop(cancel); // the generator ends
/// ```
pub fn with_cancel(parent: &Context) -> (Context, CancelHandle) {
    pair(parent, Node::child(parent.node.clone(), parent.deadline()))
}

/// A context with a deadline for looking at only: who holds the handle calls
/// [`expire`](CancelHandle::expire).
pub(crate) fn with_deadline_by_hand(deadline: Option<Instant>) -> (Context, CancelHandle) {
    pair(&background(), Node::child(None, deadline))
}

/// A context that also ends at `deadline`, with [`Error::DeadlineExceeded`]. If the parent's
/// deadline is no later, that one counts. A deadline that has passed ends the context at once.
/// Never blocks.
///
/// ```
/// use gusty::context::{self, Error};
/// use gusty::time::Instant;
/// let (ctx, _cancel) = context::with_deadline(&context::background(), Instant::now());
/// assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
/// ```
#[track_caller]
pub fn with_deadline(parent: &Context, deadline: Instant) -> (Context, CancelHandle) {
    below(parent, deadline, None, Location::caller())
}

/// As [`with_deadline`], with the cause that the deadline gives if it passes. A handle's cause, or
/// that of a parent, counts if it comes first.
///
/// ```
/// use gusty::context;
/// use gusty::time::Instant;
/// let (ctx, _cancel) =
///     context::with_deadline_cause(&context::background(), Instant::now(), "closing time");
/// assert_eq!(ctx.cause().unwrap().to_string(), "closing time");
/// ```
#[track_caller]
pub fn with_deadline_cause(
    parent: &Context,
    deadline: Instant,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> (Context, CancelHandle) {
    below(parent, deadline, Some(cause.into().into()), Location::caller())
}

/// As [`with_deadline`], `timeout` from now; one too long for the clock sets no deadline.
///
/// ```
/// use gusty::context::{self, Error};
/// use gusty::time::{Duration, sleep_ctx};
/// let (ctx, _cancel) = context::with_timeout(&context::background(), Duration::from_millis(1));
/// assert_eq!(sleep_ctx(&ctx, Duration::MAX), Err(Error::DeadlineExceeded));
/// ```
#[track_caller]
pub fn with_timeout(parent: &Context, timeout: Duration) -> (Context, CancelHandle) {
    match Instant::now().checked_add(timeout) {
        Some(deadline) => below(parent, deadline, None, Location::caller()),
        None => with_cancel(parent),
    }
}

/// As [`with_deadline_cause`], `timeout` from now.
///
/// ```
/// use gusty::context;
/// use gusty::time::Duration;
/// let (ctx, _cancel) =
///     context::with_timeout_cause(&context::background(), Duration::ZERO, "too slow");
/// assert_eq!(ctx.cause().unwrap().to_string(), "too slow");
/// ```
#[track_caller]
pub fn with_timeout_cause(
    parent: &Context,
    timeout: Duration,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> (Context, CancelHandle) {
    match Instant::now().checked_add(timeout) {
        Some(deadline) => below(parent, deadline, Some(cause.into().into()), Location::caller()),
        None => with_cancel(parent),
    }
}

fn below(
    parent: &Context,
    deadline: Instant,
    cause: Option<Cause>,
    site: &'static Location<'static>,
) -> (Context, CancelHandle) {
    if parent.deadline().is_some_and(|earlier| earlier <= deadline) {
        return with_cancel(parent);
    }
    let node = Node::child(parent.node.clone(), Some(deadline));
    let reason = Reason { error: Error::DeadlineExceeded, cause };
    if deadline <= Instant::now() {
        node.end(reason);
    } else if parent.err().is_none() {
        let weak = Arc::downgrade(&node); // so that the alarm does not keep the node alive
        let end = Dormant::new(site, move || {
            if let Some(node) = weak.upgrade() {
                node.end(reason);
            }
        });
        node.set_alarm(clock::from_instant(deadline), end);
    }
    pair(parent, node)
}

/// A context that carries one value more, found by its type with [`Context::value`]. It ends with
/// its parent; it has no handle.
///
/// One value of a type hides an older one. Types of one's own keep packages out of each other's
/// way, as Go's unexported key types do. Never blocks.
///
/// ```
/// use gusty::context::{self, Context};
///
/// struct RequestId(u64);
///
/// fn handle(ctx: &Context) -> Option<u64> {
///     ctx.value::<RequestId>().map(|id| id.0)
/// }
/// let ctx = context::with_value(&context::background(), RequestId(7));
/// assert_eq!(handle(&ctx), Some(7));
/// ```
pub fn with_value<T: Any + Send + Sync>(parent: &Context, value: T) -> Context {
    Context { node: parent.node.clone(), values: Some(Values::push(parent.values.clone(), value)) }
}

/// A context with the values of `parent`, which does not end when `parent` does, nor has its
/// deadline: for what must be finished after a request.
///
/// ```
/// use gusty::context;
/// let (ctx, cancel) = context::with_cancel(&context::with_value(&context::background(), 7_u8));
/// cancel.cancel();
/// let cleanup = context::without_cancel(&ctx);
/// assert_eq!((cleanup.err(), cleanup.value::<u8>()), (None, Some(&7)));
/// ```
pub fn without_cancel(parent: &Context) -> Context {
    Context { node: None, values: parent.values.clone() }
}
