//! Channels between goroutines, between threads, and between both: the channel part of
//! `crossbeam-channel`'s API, with Go's `close`. Select and timer channels are not here yet.
//!
//! A channel is a FIFO with any number of senders and receivers. [`bounded`] ones hold at most so
//! many values and make senders wait for room; `bounded(0)` hands each value over in person: the
//! send returns when a receiver has it. [`unbounded`] ones never make senders wait.
//!
//! Waiting parks a goroutine and blocks a plain thread; those who wait are served in order. A value
//! for a waiting receiver goes straight to it, past the buffer, and the receiver runs next.
//!
//! A channel closes when the last handle of a side is dropped or somebody calls
//! [`close`](Sender::close). From then on sending fails and gives the value back. What the buffer
//! holds can still be received; without any receivers left it is dropped.
//!
//! ```
//! use gusty::{chan, go};
//!
//! let (jobs, inbox) = chan::bounded::<u64>(16);
//! let (outbox, results) = chan::unbounded();
//! for _ in 0..4 {
//!     let (inbox, outbox) = (inbox.clone(), outbox.clone());
//!     go!(move || inbox.iter().for_each(|n| outbox.send(n * n).unwrap()));
//! }
//! drop(outbox);
//! (1..=10).for_each(|n| jobs.send(n).unwrap());
//! drop(jobs);
//! assert_eq!(results.iter().sum::<u64>(), 385);
//! ```

// Job: the module's front: constructors and the list of what is public.
// Layer: L3 (blocking)

mod buffer;
mod channel;
mod error;
mod receiver;
mod sender;
mod share;

use channel::{Channel, UNBOUNDED};
pub use error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::Sender;
use share::Shared;

/// A channel that holds up to `capacity` values; with 0, each send waits for its receiver.
///
/// Memory is taken as the buffer fills, so that a huge capacity costs nothing by itself;
/// `usize::MAX` is the same as [`unbounded`].
///
/// ```
/// use gusty::{chan, go};
///
/// let (tx, rx) = chan::bounded(0);
/// go!(move || tx.send("from a goroutine").unwrap());
/// assert_eq!(rx.recv(), Ok("from a goroutine"));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Shared::allocate(Channel::new(capacity));
    (Sender::new(shared), Receiver::new(shared))
}

/// A channel that holds any number of values: sending never waits.
///
/// ```
/// let (tx, rx) = gusty::chan::unbounded();
/// (0..1000).for_each(|i| tx.send(i).unwrap());
/// drop(tx);
/// assert_eq!(rx.iter().sum::<u64>(), 499_500);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(UNBOUNDED)
}
