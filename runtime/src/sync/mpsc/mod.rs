//! Channels with one receiver and [`std::sync::mpsc`]'s API, over those of [`chan`].
//!
//! Sending and receiving parks goroutines and blocks plain threads. For more than one receiver, for
//! `close` and for select, use [`chan`] itself.
//!
//! ```
//! use gusty::{go, sync::mpsc};
//!
//! let (tx, rx) = mpsc::channel();
//! for i in 0..10 {
//!     let tx = tx.clone();
//!     go!(move || tx.send(i).unwrap());
//! }
//! drop(tx);
//! assert_eq!(rx.iter().sum::<i32>(), 45);
//! ```

// Job: the module's front: constructors and the list of what is public.
// Layer: L3 (blocking)

mod receiver;
mod sender;

pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::{Sender, SyncSender};
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

use crate::chan;

/// A channel that holds any number of values: sending never waits.
///
/// See the [module](self) for an example.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = chan::unbounded();
    (Sender::new(tx), Receiver::new(rx))
}

/// A channel that holds up to `bound` values; with 0, each send waits until the receiver has it.
///
/// ```
/// use gusty::{go, sync::mpsc};
/// let (tx, rx) = mpsc::sync_channel(0);
/// go!(move || tx.send("from a goroutine").unwrap());
/// assert_eq!(rx.recv(), Ok("from a goroutine"));
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (tx, rx) = chan::bounded(bound);
    (SyncSender::new(tx), Receiver::new(rx))
}
