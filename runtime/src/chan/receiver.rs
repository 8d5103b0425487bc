//! Job: `Receiver`, the receiving handle of a channel, and its iterators.
//! Layer: L3 (blocking)
//! Not here: what receiving does (`channel`).

use std::fmt;
use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::channel::{self, Channel, Outcome};
use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::share::Shared;
use crate::wait::Until;

/// The receiving side of a channel. Each value goes to one of its clones; when the last one is
/// dropped, the values in the buffer are dropped and sending fails.
///
/// ```
/// use gusty::{chan, go};
///
/// let (tx, rx) = chan::bounded(0);
/// go!(move || {
///     for i in 0..3 {
///         tx.send(i).unwrap();
///     }
/// });
/// assert_eq!(rx.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
/// ```
pub struct Receiver<T> {
    shared: NonNull<Shared<T>>,
}

// SAFETY: a handle moves values between threads, under the channel's lock or after winning a
// waiter (CH3); it gives no reference to any.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}

// A panic in one user of a channel leaves no broken value in it: values are moved whole.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// Takes over one share (SH1).
    pub(super) fn new(shared: NonNull<Shared<T>>) -> Receiver<T> {
        Receiver { shared }
    }

    #[inline]
    fn channel(&self) -> &Channel<T> {
        self.shared()
    }

    #[inline]
    fn shared(&self) -> &Shared<T> {
        // SAFETY: this handle's share keeps it alive (SH1).
        unsafe { self.shared.as_ref() }
    }

    /// Receives the oldest value, waiting while there is none. Parks a goroutine, blocks a plain
    /// thread. Waiting receivers are served in order.
    ///
    /// # Errors
    /// The channel is empty, and closed or without senders.
    ///
    /// ```
    /// use gusty::{chan, go};
    /// let (tx, rx) = chan::unbounded();
    /// go!(move || tx.send(5).unwrap());
    /// assert_eq!(rx.recv(), Ok(5));
    /// assert!(rx.recv().is_err());
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        // SAFETY: `take` passes room for a value.
        channel::take(|out| unsafe { self.channel().recv(out, Until::FOREVER) })
            .map_err(|_| RecvError)
    }

    /// Receives a value if there is one, or a sender waits with one. Never blocks.
    ///
    /// # Errors
    /// The channel is empty, or also closed or without senders.
    ///
    /// ```
    /// use gusty::chan::{TryRecvError, unbounded};
    /// let (tx, rx) = unbounded();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(5).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(5));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        // SAFETY: as in `recv`.
        channel::take(|out| unsafe { self.channel().try_recv(out) }).map_err(
            |outcome| match outcome {
                Outcome::NotNow => TryRecvError::Empty,
                _ => TryRecvError::Disconnected,
            },
        )
    }

    /// As [`recv`](Receiver::recv), waiting for at most `timeout`.
    ///
    /// # Errors
    /// The time passed first, or the channel is empty, and closed or without senders.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (tx, rx) = gusty::chan::bounded(1);
    /// assert!(rx.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
    /// tx.send(5).unwrap();
    /// assert_eq!(rx.recv_timeout(Duration::from_millis(1)), Ok(5));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let received = if timeout.is_zero() {
            // SAFETY: as in `recv`.
            channel::take(|out| unsafe { self.channel().try_recv(out) })
        } else {
            let until = Until::timeout(timeout);
            // SAFETY: as in `recv`.
            channel::take(|out| unsafe { self.channel().recv(out, until) })
        };
        received.map_err(|outcome| match outcome {
            Outcome::NotNow => RecvTimeoutError::Timeout,
            _ => RecvTimeoutError::Disconnected,
        })
    }

    /// As [`recv`](Receiver::recv), waiting until `deadline` at most; one in the past only tries.
    ///
    /// # Errors
    /// The time passed first, or the channel is empty, and closed or without senders.
    ///
    /// ```
    /// use std::time::Instant;
    /// let (tx, rx) = gusty::chan::bounded(1);
    /// assert!(rx.recv_deadline(Instant::now()).unwrap_err().is_timeout());
    /// tx.send(5).unwrap();
    /// assert_eq!(rx.recv_deadline(Instant::now()), Ok(5));
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// Closes the channel for both sides; see [`Sender::close`](super::Sender::close).
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::bounded(8);
    /// tx.send(1).unwrap();
    /// assert!(rx.close());
    /// assert!(tx.send(2).is_err());
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn close(&self) -> bool {
        self.channel().close()
    }

    /// Whether the channel is closed or one side has no handles any more. There may still be
    /// values to receive.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::unbounded::<u8>();
    /// assert!(!rx.is_closed());
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.channel().is_closed()
    }

    /// Whether the buffer is empty; always true without one.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::unbounded();
    /// assert!(rx.is_empty());
    /// tx.send(0).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer is full; always true without one.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::bounded(1);
    /// assert!(!rx.is_full());
    /// tx.send(0).unwrap();
    /// assert!(rx.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.len() >= self.channel().capacity()
    }

    /// The number of values in the buffer.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::unbounded();
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.channel().len()
    }

    /// The most values the buffer holds; `None` for an unbounded channel.
    ///
    /// ```
    /// assert_eq!(gusty::chan::bounded::<u8>(0).1.capacity(), Some(0));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        Some(self.channel().capacity()).filter(|capacity| *capacity != channel::UNBOUNDED)
    }

    /// Whether both receive from one channel.
    ///
    /// ```
    /// let (_tx, rx) = gusty::chan::unbounded::<u8>();
    /// assert!(rx.same_channel(&rx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        self.shared == other.shared
    }

    /// An iterator that receives, waiting for each value, until the channel is empty, and closed
    /// or without senders.
    ///
    /// ```
    /// use gusty::{chan, go};
    /// let (tx, rx) = chan::unbounded();
    /// go!(move || (0..3).for_each(|i| tx.send(i).unwrap()));
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// An iterator over what can be received without waiting.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::unbounded();
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared().add_receiver();
        Receiver { shared: self.shared }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // SAFETY: this handle's share, given up once.
        unsafe { Shared::drop_receiver(self.shared) };
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

/// See [`Receiver::iter`].
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// See [`Receiver::try_iter`].
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The iterator of a `Receiver` that it consumes; as [`Receiver::iter`].
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

// A closed channel stays closed.
impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

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
        IntoIter { receiver: self }
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
