//! Channels between goroutines, between threads, and between both:
//! `crossbeam-channel`'s API, with Go's `close`.
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

mod alarm;
mod buffer;
mod case;
mod channel;
mod choose;
mod enter;
mod error;
#[doc(hidden)]
pub mod expand;
mod iter;
mod late;
mod port;
mod receiver;
mod room;
mod select;
mod select_error;
mod select_macro;
mod selected;
mod sender;
mod share;
mod state;
mod two_step;
mod with_context;

use std::time::{Duration, Instant};

use alarm::Alarm;
use channel::{Channel, UNBOUNDED};
pub use error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
pub use iter::{IntoIter, Iter, TryIter};
pub use receiver::Receiver;
pub use select::Select;
pub use select_error::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};
pub use selected::SelectedOperation;
pub use sender::Sender;
use share::Shared;
pub use with_context::{RecvCtxError, SendCtxError};

pub use crate::{select, select_biased};

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

/// A receiver that receives one value: the moment `duration` from now, once it has come.
///
/// It costs no goroutine and no timer: who receives waits until then. A moment that is too far away
/// to be one never comes.
///
/// ```
/// use gusty::{chan, select};
/// use std::time::Duration;
///
/// let (_tx, rx) = chan::unbounded::<u8>();
/// let timeout = chan::after(Duration::from_millis(1));
/// select! {
///     recv(rx) -> _ => unreachable!(),
///     recv(timeout) -> moment => println!("it is {:?}", moment.unwrap()),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    Instant::now().checked_add(duration).map_or_else(never, at)
}

/// A receiver that receives one value: the moment `when`, once it has come, or at once if that was
/// long ago.
///
/// ```
/// use std::time::{Duration, Instant};
/// let when = Instant::now() + Duration::from_millis(1);
/// assert_eq!(gusty::chan::at(when).recv(), Ok(when));
/// assert!(when <= Instant::now());
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver::of_moments(Alarm::new(when, None))
}

/// A receiver that never receives anything: an operation of a select that is left out.
///
/// ```
/// use gusty::{chan, select};
/// use std::time::Duration;
///
/// let (tx, rx) = chan::unbounded();
/// tx.send(1).unwrap();
/// let patience: Option<Duration> = None;
/// select! {
///     recv(rx) -> value => assert_eq!(value, Ok(1)),
///     recv(patience.map_or_else(chan::never, chan::after)) -> _ => unreachable!(),
/// }
/// ```
pub const fn never<T>() -> Receiver<T> {
    Receiver::never()
}

/// A receiver of moments: one every `period`, beginning a period from now.
///
/// Moments that nobody received in time are left out: at most one is there to be received, and the
/// next one comes a period after the last, or, if that is over already, a period after it was
/// received.
///
/// ```
/// use std::time::{Duration, Instant};
/// let period = Duration::from_millis(1);
/// let start = Instant::now();
/// let ticks = gusty::chan::tick(period);
/// assert!(ticks.recv().unwrap() >= start + period);
/// assert!(ticks.recv().unwrap() >= start + 2 * period);
/// ```
pub fn tick(period: Duration) -> Receiver<Instant> {
    let first = Instant::now().checked_add(period);
    first.map_or_else(never, |first| Receiver::of_moments(Alarm::new(first, Some(period))))
}
