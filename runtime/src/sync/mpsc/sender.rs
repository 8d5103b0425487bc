//! Job: the sending handles of `mpsc`.
//! Layer: L3 (blocking)
//! Not here: what sending does (`chan`).

use std::fmt;
use std::sync::mpsc::{SendError, TrySendError};
use std::time::Duration;

use crate::chan::{self, SendCtxError, SendTimeoutError};
use crate::context::Context;

/// Sends on a [`channel`](super::channel) without ever waiting; as [`std::sync::mpsc::Sender`].
///
/// ```
/// let (tx, rx) = gusty::sync::mpsc::channel();
/// let tx2 = tx.clone();
/// tx.send(1).unwrap();
/// tx2.send(2).unwrap();
/// assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
/// ```
pub struct Sender<T> {
    inner: chan::Sender<T>,
}

/// Sends on a [`sync_channel`](super::sync_channel), waiting for room; as
/// [`std::sync::mpsc::SyncSender`].
///
/// ```
/// let (tx, rx) = gusty::sync::mpsc::sync_channel(1);
/// tx.send(1).unwrap();
/// assert_eq!(rx.recv(), Ok(1));
/// ```
pub struct SyncSender<T> {
    inner: chan::Sender<T>,
}

impl<T> Sender<T> {
    pub(super) fn new(inner: chan::Sender<T>) -> Sender<T> {
        Sender { inner }
    }

    /// Sends `t`. Never blocks.
    ///
    /// # Errors
    /// The receiver is gone; the value comes back.
    ///
    /// ```
    /// use gusty::sync::mpsc::{SendError, channel};
    /// let (tx, rx) = channel();
    /// tx.send(1).unwrap();
    /// drop(rx);
    /// assert_eq!(tx.send(2), Err(SendError(2)));
    /// ```
    #[inline]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.inner.send(t).map_err(|error| SendError(error.0))
    }
}

impl<T> SyncSender<T> {
    pub(super) fn new(inner: chan::Sender<T>) -> SyncSender<T> {
        SyncSender { inner }
    }

    /// Sends `t`, waiting while the buffer is full; without a buffer, until the receiver takes it.
    /// Parks a goroutine, blocks a plain thread.
    ///
    /// # Errors
    /// The receiver is gone; the value comes back.
    ///
    /// See [`sync_channel`](super::sync_channel) for an example.
    #[inline]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.inner.send(t).map_err(|error| SendError(error.0))
    }

    /// Sends `t` if there is room in the buffer or the receiver waits. Never blocks.
    ///
    /// # Errors
    /// The channel is full, or the receiver is gone; the value comes back.
    ///
    /// ```
    /// use gusty::sync::mpsc::{TrySendError, sync_channel};
    /// let (tx, rx) = sync_channel(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// # drop(rx);
    /// ```
    #[inline]
    pub fn try_send(&self, t: T) -> Result<(), TrySendError<T>> {
        self.inner.try_send(t).map_err(|error| match error {
            chan::TrySendError::Full(t) => TrySendError::Full(t),
            chan::TrySendError::Disconnected(t) => TrySendError::Disconnected(t),
        })
    }

    /// As [`send`](SyncSender::send), waiting for at most `timeout`. (std has this, but not stable
    /// yet; the error is that of [`chan`].)
    ///
    /// # Errors
    /// The time passed first, or the receiver is gone; the value comes back.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (tx, _rx) = gusty::sync::mpsc::sync_channel(1);
    /// assert!(tx.send_timeout(1, Duration::from_millis(1)).is_ok());
    /// assert!(tx.send_timeout(2, Duration::from_millis(1)).unwrap_err().is_timeout());
    /// ```
    pub fn send_timeout(&self, t: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.inner.send_timeout(t, timeout)
    }

    /// As [`send`](SyncSender::send), until `ctx` ends at the latest. (Not in std.)
    ///
    /// # Errors
    /// The context ended first, or the receiver is gone; the value comes back.
    ///
    /// ```
    /// use gusty::{context, sync::mpsc};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let (tx, _rx) = mpsc::sync_channel(0);
    /// gusty::go!(move || cancel.cancel());
    /// assert!(tx.send_ctx(&ctx, 1).unwrap_err().is_cancelled());
    /// ```
    pub fn send_ctx(&self, ctx: &Context, t: T) -> Result<(), SendCtxError<T>> {
        self.inner.send_ctx(ctx, t)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { inner: self.inner.clone() }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        SyncSender { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}
