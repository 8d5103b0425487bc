//! Job: sending and receiving that end with a context.
//! Layer: L3 (blocking)
//! Not here: the waits themselves (`channel`), the end of a context as an operation of a select
//!   (`Context::done`).
//!
//! As everywhere, a context that has ended already is an error, whatever could be done at once.

use std::fmt;

use super::channel::Outcome;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::context::{Context, Error};

/// Why [`Sender::send_ctx`] did not send; the value comes back.
///
/// ```
/// use gusty::chan::{SendCtxError, bounded};
/// use gusty::context::{self, Error};
/// let (ctx, cancel) = context::with_cancel(&context::background());
/// cancel.cancel();
/// let (tx, rx) = bounded(0);
/// assert_eq!(tx.send_ctx(&ctx, 7), Err(SendCtxError::Ended(7, Error::Cancelled)));
/// drop(rx);
/// assert_eq!(tx.send_ctx(&context::background(), 7), Err(SendCtxError::Disconnected(7)));
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum SendCtxError<T> {
    /// The context ended before there was room in the buffer or a receiver.
    Ended(T, Error),
    /// The channel is closed or has no receivers.
    Disconnected(T),
}

/// Why [`Receiver::recv_ctx`] has no value.
///
/// ```
/// use gusty::chan::{RecvCtxError, bounded};
/// use gusty::context::{self, Error};
/// let (ctx, cancel) = context::with_cancel(&context::background());
/// cancel.cancel();
/// let (tx, rx) = bounded::<u8>(0);
/// assert_eq!(rx.recv_ctx(&ctx), Err(RecvCtxError::Ended(Error::Cancelled)));
/// drop(tx);
/// assert_eq!(rx.recv_ctx(&context::background()), Err(RecvCtxError::Disconnected));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum RecvCtxError {
    /// The context ended before there was a value, or before the call.
    Ended(Error),
    /// Empty, and closed or without senders.
    Disconnected,
}

impl<T> Sender<T> {
    /// As [`send`](Sender::send), until `ctx` ends at the latest. If it has ended already nothing is
    /// sent, even if there is room, or a receiver.
    ///
    /// In a select, the end of a context is [`Context::done`], from which nothing is received.
    ///
    /// # Errors
    /// The context ended first, or before the call, or the channel is closed or without receivers.
    ///
    /// ```
    /// use gusty::{chan, context, go};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let (tx, _rx) = chan::bounded(1);
    /// assert!(tx.send_ctx(&ctx, 1).is_ok());
    /// go!(move || cancel.cancel());
    /// let error = tx.send_ctx(&ctx, 2).unwrap_err();
    /// assert!(error.is_cancelled());
    /// assert_eq!(error.into_inner(), 2);
    /// ```
    pub fn send_ctx(&self, ctx: &Context, value: T) -> Result<(), SendCtxError<T>> {
        let until = match ctx.until() {
            Ok(until) => until,
            Err(error) => return Err(SendCtxError::Ended(value, error)),
        };
        self.send_or_wait(value, until).map_err(|(value, outcome)| match outcome {
            Outcome::Cancelled => SendCtxError::Ended(value, ctx.ended()),
            _ => SendCtxError::Disconnected(value),
        })
    }
}

impl<T> Receiver<T> {
    /// As [`recv`](Receiver::recv), until `ctx` ends at the latest. If it has ended already nothing
    /// is received, even if there is a value: so a loop of receives ends with its context also if the
    /// senders are faster.
    ///
    /// In a select, the end of a context is [`Context::done`], from which nothing is received:
    ///
    /// ```
    /// use gusty::{chan, context, go, select};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let (_a, from_a) = chan::bounded::<u8>(0);
    /// let (_b, from_b) = chan::bounded::<u8>(0);
    /// go!(move || cancel.cancel());
    /// select! {
    ///     recv(from_a) -> _ => unreachable!("nobody sends"),
    ///     recv(from_b) -> _ => unreachable!("nobody sends"),
    ///     recv(ctx.done()) -> _ => assert_eq!(ctx.err(), Some(context::Error::Cancelled)),
    /// }
    /// ```
    ///
    /// # Errors
    /// The context ended first, or before the call, or the channel is empty, and closed or without
    /// senders.
    ///
    /// ```
    /// use gusty::{chan, context, go};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let (tx, rx) = chan::bounded(1);
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.recv_ctx(&ctx), Ok(1));
    /// go!(move || cancel.cancel());
    /// assert!(rx.recv_ctx(&ctx).unwrap_err().is_cancelled());
    /// ```
    pub fn recv_ctx(&self, ctx: &Context) -> Result<T, RecvCtxError> {
        self.recv_until(ctx.until().map_err(RecvCtxError::Ended)?).map_err(
            |outcome| match outcome {
                Outcome::Cancelled => RecvCtxError::Ended(ctx.ended()),
                _ => RecvCtxError::Disconnected,
            },
        )
    }
}

// The value may not be printable, and need not be to say what went wrong.

impl<T> fmt::Debug for SendCtxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendCtxError::Ended(_, error) => write!(f, "Ended(.., {error:?})"),
            SendCtxError::Disconnected(_) => f.write_str("Disconnected(..)"),
        }
    }
}

impl<T> fmt::Display for SendCtxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendCtxError::Ended(_, error) => write!(f, "sending on a channel: {error}"),
            SendCtxError::Disconnected(_) => f.write_str("sending on a closed channel"),
        }
    }
}

impl<T> std::error::Error for SendCtxError<T> {}

impl<T> SendCtxError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            SendCtxError::Ended(value, _) | SendCtxError::Disconnected(value) => value,
        }
    }

    /// Whether the context ended, in whichever way.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, SendCtxError::Ended(..))
    }

    /// Whether the channel was closed or without receivers.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, SendCtxError::Disconnected(_))
    }
}

impl fmt::Display for RecvCtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvCtxError::Ended(error) => write!(f, "receiving on a channel: {error}"),
            RecvCtxError::Disconnected => f.write_str("receiving on an empty, closed channel"),
        }
    }
}

impl std::error::Error for RecvCtxError {}

impl RecvCtxError {
    /// Whether the context ended, in whichever way.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, RecvCtxError::Ended(_))
    }

    /// Whether the channel was empty, and closed or without senders.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, RecvCtxError::Disconnected)
    }
}
