//! Job: the receiving handle of `mpsc`, and its iterators.
//! Layer: L3 (blocking)
//! Not here: what receiving does (`chan`).

use std::fmt;
use std::marker::PhantomData;
use std::sync::mpsc::{self, RecvError, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::chan::{self, RecvCtxError};
use crate::context::Context;

/// The receiving side of both kinds of channels; as [`std::sync::mpsc::Receiver`]. When it is
/// dropped, so is what is in the channel, and sending fails.
///
/// It may be sent, but not shared:
///
/// ```compile_fail,E0277
/// fn sync<T: Sync>(_: T) {}
/// sync(gusty::sync::mpsc::channel::<u8>().1);
/// ```
///
/// ```
/// let (tx, rx) = gusty::sync::mpsc::channel();
/// gusty::go!(move || tx.send(5).unwrap());
/// assert_eq!(rx.recv(), Ok(5));
/// assert!(rx.recv().is_err());
/// ```
pub struct Receiver<T> {
    inner: chan::Receiver<T>,
    /// `Send`, not `Sync`, safe to unwind with: whatever std's is.
    _as_std: PhantomData<mpsc::Receiver<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(inner: chan::Receiver<T>) -> Receiver<T> {
        Receiver { inner, _as_std: PhantomData }
    }

    /// Receives the oldest value, waiting while there is none. Parks a goroutine, blocks a plain
    /// thread.
    ///
    /// # Errors
    /// The channel is empty and has no senders.
    ///
    /// See [`Receiver`] for an example.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.inner.recv().map_err(|_| RecvError)
    }

    /// Receives a value if there is one, or a sender waits with one. Never blocks.
    ///
    /// # Errors
    /// The channel is empty, or has no senders either.
    ///
    /// ```
    /// use gusty::sync::mpsc::{TryRecvError, channel};
    /// let (tx, rx) = channel::<u8>();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.inner.try_recv().map_err(|error| match error {
            chan::TryRecvError::Empty => TryRecvError::Empty,
            chan::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Receiver::recv), waiting for at most `timeout`.
    ///
    /// # Errors
    /// The time passed first, or the channel is empty and has no senders.
    ///
    /// ```
    /// use gusty::sync::mpsc::{RecvTimeoutError, channel};
    /// use std::time::Duration;
    /// let (_tx, rx) = channel::<u8>();
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.inner.recv_timeout(timeout).map_err(|error| match error {
            chan::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
            chan::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// As [`recv`](Receiver::recv), until `ctx` ends at the latest. (Not in std.)
    ///
    /// # Errors
    /// The context ended first, or the channel is empty and has no senders.
    ///
    /// ```
    /// use gusty::{context, sync::mpsc};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let (_tx, rx) = mpsc::channel::<u8>();
    /// gusty::go!(move || cancel.cancel());
    /// assert!(rx.recv_ctx(&ctx).unwrap_err().is_cancelled());
    /// ```
    pub fn recv_ctx(&self, ctx: &Context) -> Result<T, RecvCtxError> {
        self.inner.recv_ctx(ctx)
    }

    /// An iterator that receives, waiting for each value, until there are no senders.
    ///
    /// ```
    /// let (tx, rx) = gusty::sync::mpsc::channel();
    /// gusty::go!(move || (0..3).for_each(|i| tx.send(i).unwrap()));
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { rx: self }
    }

    /// An iterator over what can be received without waiting.
    ///
    /// ```
    /// let (tx, rx) = gusty::sync::mpsc::channel();
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { rx: self }
    }
}

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T: 'a> {
    rx: &'a Receiver<T>,
}

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T: 'a> {
    rx: &'a Receiver<T>,
}

/// The iterator of a `Receiver` that it consumes; as [`Receiver::iter`].
#[derive(Debug)]
pub struct IntoIter<T> {
    rx: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.rx.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter { rx: self }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
