//! Job: `Sender`, the sending handle of a channel.
//! Layer: L3 (blocking)
//! Not here: what sending does (`channel`).

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::channel::{self, Channel, Outcome};
use super::error::{SendError, SendTimeoutError, TrySendError};
use super::share::Shared;
use crate::wait::Until;

/// The sending side of a channel. Clones send on the same channel; when the last one is dropped,
/// receivers get what is left in the buffer and then [`RecvError`](super::RecvError).
///
/// ```
/// use gusty::{chan, go};
///
/// let (tx, rx) = chan::bounded(0);
/// let tx2 = tx.clone();
/// go!(move || tx.send(1).unwrap());
/// go!(move || tx2.send(2).unwrap());
/// assert_eq!(rx.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    shared: NonNull<Shared<T>>,
}

// SAFETY: a handle moves values between threads, under the channel's lock or after winning a
// waiter (CH3); it gives no reference to any.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}

// A panic in one user of a channel leaves no broken value in it: values are moved whole.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Takes over one share (SH1).
    pub(super) fn new(shared: NonNull<Shared<T>>) -> Sender<T> {
        Sender { shared }
    }

    #[inline]
    pub(super) fn channel(&self) -> &Channel<T> {
        self.shared()
    }

    #[inline]
    fn shared(&self) -> &Shared<T> {
        // SAFETY: this handle's share keeps it alive (SH1).
        unsafe { self.shared.as_ref() }
    }

    /// Sends `value`, waiting while the buffer is full; without a buffer, until a receiver takes
    /// it. Parks a goroutine, blocks a plain thread. Waiting senders are served in order.
    ///
    /// # Errors
    /// The channel is closed, or its last receiver is dropped, before the value could be sent.
    ///
    /// ```
    /// use gusty::{chan, go};
    /// let (tx, rx) = chan::bounded(0);
    /// go!(move || tx.send("hello").unwrap());
    /// assert_eq!(rx.recv(), Ok("hello"));
    /// ```
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_or_wait(value, Until::FOREVER).map_err(|(value, _)| SendError(value))
    }

    /// Sends `value`, waiting until `until`.
    #[inline]
    pub(super) fn send_or_wait(&self, value: T, until: Until<'_>) -> Result<(), (T, Outcome)> {
        // SAFETY: `give` passes a value and forgets it if it was sent.
        channel::give(value, |value| unsafe { self.channel().send(value, until) })
    }

    /// Sends `value` if there is room in the buffer or a receiver waits. Never blocks.
    ///
    /// # Errors
    /// The channel is full, or closed, or without receivers.
    ///
    /// ```
    /// use gusty::chan::{TrySendError, bounded};
    /// let (tx, rx) = bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        // SAFETY: as in `send_or_wait`.
        let sent = channel::give(value, |value| unsafe { self.channel().try_send(value) });
        sent.map_err(|(value, outcome)| match outcome {
            Outcome::NotNow => TrySendError::Full(value),
            _ => TrySendError::Disconnected(value),
        })
    }

    /// As [`send`](Sender::send), waiting for at most `timeout`.
    ///
    /// # Errors
    /// The time passed first, or the channel is closed or without receivers.
    ///
    /// ```
    /// use gusty::chan::bounded;
    /// use std::time::Duration;
    /// let (tx, rx) = bounded(1);
    /// assert!(tx.send_timeout(1, Duration::from_millis(1)).is_ok());
    /// assert!(tx.send_timeout(2, Duration::from_millis(1)).unwrap_err().is_timeout());
    /// ```
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, Until::unless_zero(timeout))
    }

    /// As [`send`](Sender::send), waiting until `deadline` at most; one in the past only tries.
    ///
    /// # Errors
    /// The time passed first, or the channel is closed or without receivers.
    ///
    /// ```
    /// use gusty::chan::bounded;
    /// use std::time::Instant;
    /// let (tx, rx) = bounded(1);
    /// assert!(tx.send_deadline(1, Instant::now()).is_ok());
    /// assert!(tx.send_deadline(2, Instant::now()).unwrap_err().is_timeout());
    /// ```
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.send_timeout(value, left)
    }

    /// `None`: without waiting.
    fn send_until(&self, value: T, until: Option<Until<'_>>) -> Result<(), SendTimeoutError<T>> {
        let sent = match until {
            Some(until) => self.send_or_wait(value, until),
            // SAFETY: as in `send_or_wait`.
            None => channel::give(value, |value| unsafe { self.channel().try_send(value) }),
        };
        sent.map_err(|(value, outcome)| match outcome {
            Outcome::NotNow => SendTimeoutError::Timeout(value),
            _ => SendTimeoutError::Disconnected(value),
        })
    }

    /// Closes the channel for both sides: sending fails from now on, also for senders that wait;
    /// receivers get what is in the buffer first. True if it was open. Never blocks.
    ///
    /// ```
    /// use gusty::chan::{RecvError, SendError, bounded};
    /// let (tx, rx) = bounded(8);
    /// tx.send(1).unwrap();
    /// assert!(tx.close());
    /// assert!(!tx.close());
    /// assert_eq!(tx.send(2), Err(SendError(2)));
    /// assert_eq!(rx.recv(), Ok(1));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    pub fn close(&self) -> bool {
        self.channel().close()
    }

    /// Whether the channel is closed or one side has no handles any more.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::unbounded::<u8>();
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.channel().is_closed()
    }

    /// Whether the buffer is empty; always true without one.
    ///
    /// ```
    /// let (tx, _rx) = gusty::chan::unbounded();
    /// assert!(tx.is_empty());
    /// tx.send(0).unwrap();
    /// assert!(!tx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer is full; always true without one.
    ///
    /// ```
    /// let (tx, _rx) = gusty::chan::bounded(1);
    /// assert!(!tx.is_full());
    /// tx.send(0).unwrap();
    /// assert!(tx.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.len() >= self.channel().capacity()
    }

    /// The number of values in the buffer.
    ///
    /// ```
    /// let (tx, _rx) = gusty::chan::unbounded();
    /// tx.send(1).unwrap();
    /// assert_eq!(tx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.channel().len()
    }

    /// The most values the buffer holds; `None` for an unbounded channel.
    ///
    /// ```
    /// use gusty::chan::{bounded, unbounded};
    /// assert_eq!(bounded::<u8>(5).0.capacity(), Some(5));
    /// assert_eq!(unbounded::<u8>().0.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        Some(self.channel().capacity()).filter(|capacity| *capacity != channel::UNBOUNDED)
    }

    /// Whether both send on one channel.
    ///
    /// ```
    /// let (tx, _rx) = gusty::chan::unbounded::<u8>();
    /// assert!(tx.same_channel(&tx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.shared == other.shared
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared().add_sender();
        Sender { shared: self.shared }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: this handle's share, given up once.
        unsafe { Shared::drop_sender(self.shared) };
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
