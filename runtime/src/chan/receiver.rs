//! Job: `Receiver`, the receiving handle of a channel or of moments.
//! Layer: L3 (blocking)
//! Not here: what receiving does (`channel`, `alarm`), its iterators (`iter`).
//! Invariants
//!   RC1  A receiver of moments is a `Receiver<Instant>`.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::alarm::{self, Alarm};
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
    flavor: Flavor<T>,
}

/// Where the values come from.
enum Flavor<T> {
    Channel(NonNull<Shared<T>>),
    /// RC1.
    Alarm(Arc<Alarm>),
    Never(PhantomData<T>),
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
        Receiver { flavor: Flavor::Channel(shared) }
    }

    /// Nothing ever comes.
    pub(super) const fn never() -> Receiver<T> {
        Receiver { flavor: Flavor::Never(PhantomData) }
    }

    #[inline]
    pub(super) fn channel(&self) -> Option<&Channel<T>> {
        self.shared().map(|shared| &**shared)
    }

    #[inline]
    fn shared(&self) -> Option<&Shared<T>> {
        match &self.flavor {
            // SAFETY: this handle's share keeps it alive (SH1).
            Flavor::Channel(shared) => Some(unsafe { shared.as_ref() }),
            _ => None,
        }
    }

    pub(super) fn alarm(&self) -> Option<&Alarm> {
        match &self.flavor {
            Flavor::Alarm(alarm) => Some(alarm),
            _ => None,
        }
    }

    /// Receives, waiting until `until`.
    #[inline]
    pub(super) fn recv_until(&self, until: Until<'_>) -> Result<T, Outcome> {
        match self.channel() {
            // SAFETY: `take` passes room for a value.
            Some(channel) => channel::take(|out| unsafe { channel.recv(out, until) }),
            None => self.recv_moment(until),
        }
    }

    #[cold]
    fn recv_moment(&self, until: Until<'_>) -> Result<T, Outcome> {
        match self.alarm() {
            Some(alarm) => alarm.recv(until).map(Receiver::moment),
            None => Err(alarm::pause(until).err().unwrap_or(Outcome::NotNow)),
        }
    }

    /// Receives if that is possible at once.
    #[inline]
    fn recv_now(&self) -> Result<T, Outcome> {
        match self.channel() {
            // SAFETY: `take` passes room for a value.
            Some(channel) => channel::take(|out| unsafe { channel.try_recv(out) }),
            None => self.alarm().and_then(Alarm::try_recv).map(Self::moment).ok_or(Outcome::NotNow),
        }
    }

    /// A moment as the value of an alarm's receiver.
    pub(super) fn moment(at: Instant) -> T {
        // SAFETY: only alarms give moments, and their receivers have T = Instant (RC1).
        unsafe { ptr::from_ref(&at).cast::<T>().read() }
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
        self.recv_until(Until::FOREVER).map_err(|_| RecvError)
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
        self.recv_now().map_err(|outcome| match outcome {
            Outcome::NotNow => TryRecvError::Empty,
            _ => TryRecvError::Disconnected,
        })
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
        let received = match Until::unless_zero(timeout) {
            Some(until) => self.recv_until(until),
            None => self.recv_now(),
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

    /// Closes the channel for both sides; see [`Sender::close`](super::Sender::close). Receivers of
    /// moments cannot be closed: false.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::bounded(8);
    /// tx.send(1).unwrap();
    /// assert!(rx.close());
    /// assert!(tx.send(2).is_err());
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn close(&self) -> bool {
        self.channel().is_some_and(Channel::close)
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
        self.channel().is_some_and(Channel::is_closed)
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
        self.capacity().is_some_and(|capacity| self.len() >= capacity)
    }

    /// The number of values in the buffer.
    ///
    /// ```
    /// let (tx, rx) = gusty::chan::unbounded();
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        match self.channel() {
            Some(channel) => channel.len(),
            None => usize::from(self.alarm().is_some_and(Alarm::is_due)),
        }
    }

    /// The most values the buffer holds; `None` for an unbounded channel.
    ///
    /// ```
    /// assert_eq!(gusty::chan::bounded::<u8>(0).1.capacity(), Some(0));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match self.channel() {
            Some(channel) => Some(channel.capacity()).filter(|&n| n != channel::UNBOUNDED),
            None => Some(usize::from(self.alarm().is_some())),
        }
    }

    /// Whether both receive from one channel.
    ///
    /// ```
    /// let (_tx, rx) = gusty::chan::unbounded::<u8>();
    /// assert!(rx.same_channel(&rx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.flavor, &other.flavor) {
            (Flavor::Channel(mine), Flavor::Channel(theirs)) => mine == theirs,
            (Flavor::Alarm(mine), Flavor::Alarm(theirs)) => Arc::ptr_eq(mine, theirs),
            (Flavor::Never(_), Flavor::Never(_)) => true,
            _ => false,
        }
    }
}

impl Receiver<Instant> {
    /// Receives `alarm`'s moments (RC1).
    pub(super) fn of_moments(alarm: Alarm) -> Receiver<Instant> {
        Receiver { flavor: Flavor::Alarm(Arc::new(alarm)) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let flavor = match &self.flavor {
            Flavor::Channel(shared) => {
                // SAFETY: this handle's share keeps it alive (SH1).
                unsafe { shared.as_ref() }.add_receiver();
                Flavor::Channel(*shared)
            }
            Flavor::Alarm(alarm) => Flavor::Alarm(alarm.clone()),
            Flavor::Never(_) => Flavor::Never(PhantomData),
        };
        Receiver { flavor }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Flavor::Channel(shared) = self.flavor {
            // SAFETY: this handle's share, given up once.
            unsafe { Shared::drop_receiver(shared) };
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
