//! Job: `Context`, what is passed around: an end that may come, and values.
//! Layer: L3 (blocking)
//! Not here: making contexts (`make`), the tree (`node`), the channel (`done`).
//! Source: Go's package context. Values and the end are two lists here, so that a value costs the
//!   way to the end nothing.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::error::{Cause, Error};
use super::node::Node;
use super::values::Values;
use crate::wait::{Cancel, Until};

/// Tells those who work for one request when to stop, and carries what belongs to the request.
///
/// Cheap to clone; clones are the same context. Pass it as the first argument, by reference.
/// The default is [`background`](super::background).
#[derive(Clone, Default)]
pub struct Context {
    /// None: never ends.
    pub(super) node: Option<Arc<Node>>,
    pub(super) values: Option<Arc<Values>>,
}

impl Context {
    /// Why the context has ended; `None` while it has not. Never blocks, takes no lock.
    ///
    /// ```
    /// use gusty::context::{self, Error};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// assert_eq!(ctx.err(), None);
    /// cancel.cancel();
    /// assert_eq!(ctx.err(), Some(Error::Cancelled));
    /// ```
    #[inline]
    pub fn err(&self) -> Option<Error> {
        Some(self.node.as_ref()?.reason()?.error)
    }

    /// What led to the end: the cause given to whatever ended this context or one above it, or
    /// else the same as [`err`](Context::err). `None` while the context has not ended. Never
    /// blocks.
    ///
    /// ```
    /// use gusty::context;
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// cancel.cancel_with("the client is gone");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the client is gone");
    /// assert_eq!(ctx.err().unwrap().to_string(), "context cancelled");
    /// ```
    pub fn cause(&self) -> Option<Cause> {
        Some(self.node.as_ref()?.reason()?.cause())
    }

    /// When the context ends at the latest; `None` if no deadline was set. Never blocks.
    ///
    /// ```
    /// use gusty::context;
    /// use gusty::time::Duration;
    /// let (ctx, _cancel) = context::with_timeout(&context::background(), Duration::from_secs(9));
    /// let (below, _cancel) = context::with_timeout(&ctx, Duration::from_secs(99));
    /// assert_eq!(below.deadline(), ctx.deadline());
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.node.as_ref()?.deadline()
    }

    /// The value of this type that was added last, by [`with_value`](super::with_value), to this
    /// context or one above it. Takes time in proportion to the number of values. Never blocks.
    pub fn value<T: Any>(&self) -> Option<&T> {
        self.values.as_ref()?.find()
    }

    /// What ends a wait under this context; an error if it has ended already. This is where the rule
    /// of all calls whose names end in `_ctx` is: under a context that has ended they do nothing,
    /// even what would be possible at once. So a loop of them ends with its context, also if it never
    /// has to wait.
    pub(crate) fn until(&self) -> Result<Until<'_>, Error> {
        match self.err() {
            None => Ok(self.cancel().map_or(Until::FOREVER, Until::cancelled_by)),
            Some(error) => Err(error),
        }
    }

    /// Why a wait that only this context could end was ended.
    pub(crate) fn ended(&self) -> Error {
        self.err().expect("what ends waits has ended")
    }

    /// What a wait looks at besides its own end; `None` for a context that never ends.
    pub(crate) fn cancel(&self) -> Option<&Cancel> {
        self.node.as_deref().map(Node::cancel)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("err", &self.err())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
