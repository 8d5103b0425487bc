//! Job: an operation that a `Select` has chosen and that is to be completed.
//! Layer: L3 (blocking)
//! Not here: choosing it (`select`).

use std::fmt;
use std::ptr;
use std::thread;

use super::choose::Chosen;
use super::error::{RecvError, SendError};
use super::late::Grant;
use super::port;
use super::receiver::Receiver;
use super::room::Room;
use super::sender::Sender;

/// The operation that a [`Select`](super::Select) has chosen. Complete it with
/// [`send`](SelectedOperation::send) or [`recv`](SelectedOperation::recv).
///
/// Until then a partner may wait: of a send on a channel without buffer, the receiver. So complete
/// it soon.
///
/// # Panics
/// Dropping it uncompleted panics, unless a panic is on its way already. A send is given up then, and
/// its partner waits for another; a received value is leaked.
#[must_use = "the operation must be completed"]
pub struct SelectedOperation<'a> {
    index: usize,
    /// `None` once it is completed.
    chosen: Option<Chosen<'a>>,
    room: Room,
}

impl<'a> SelectedOperation<'a> {
    pub(super) fn new(index: usize, chosen: Chosen<'a>, room: Room) -> SelectedOperation<'a> {
        SelectedOperation { index, chosen: Some(chosen), room }
    }

    /// What [`Select::send`](super::Select::send) or [`Select::recv`](super::Select::recv) returned
    /// for it.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let (tx, _rx) = unbounded();
    /// let mut select = Select::new();
    /// let send = select.send(&tx);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), send);
    /// operation.send(&tx, 1).unwrap();
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its grant, if it was chosen on `handle`.
    fn take(&mut self, handle: *const ()) -> Option<Grant> {
        let chosen = self.chosen.take_if(|chosen| ptr::addr_eq(chosen.port, handle));
        chosen.map(Chosen::into_grant)
    }

    /// Completes a send with its value. Never waits.
    ///
    /// # Errors
    /// The channel is closed or has no receivers.
    ///
    /// # Panics
    /// `s` is not the reference that the operation was added with.
    ///
    /// ```
    /// use gusty::chan::{Select, SendError, bounded};
    /// let (tx, rx) = bounded(0);
    /// drop(rx);
    /// let mut select = Select::new();
    /// select.send(&tx);
    /// assert_eq!(select.select().send(&tx, 7), Err(SendError(7)));
    /// ```
    #[track_caller]
    pub fn send<T>(mut self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        let grant = self.take(ptr::from_ref(s).cast());
        let grant = grant.expect("passed a sender that wasn't selected");
        port::complete(s, grant, msg).map_err(SendError)
    }

    /// Completes a receive. Never waits.
    ///
    /// # Errors
    /// The channel is empty, and closed or without senders.
    ///
    /// # Panics
    /// `r` is not the reference that the operation was added with.
    ///
    /// ```
    /// use gusty::chan::{RecvError, Select, bounded};
    /// let (tx, rx) = bounded::<u8>(0);
    /// drop(tx);
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx), Err(RecvError));
    /// ```
    #[track_caller]
    pub fn recv<T>(mut self, r: &Receiver<T>) -> Result<T, RecvError> {
        let grant = self.take(ptr::from_ref(r).cast());
        match grant.expect("passed a receiver that wasn't selected") {
            // SAFETY: the value was moved to the room, which is of its type: `r` says so.
            Grant::Received => Ok(unsafe { self.room.as_ptr().cast::<T>().read() }),
            _ => Err(RecvError),
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if let Some(chosen) = self.chosen.take() {
            drop(chosen);
            assert!(
                thread::panicking(),
                "dropped `SelectedOperation` without completing the operation"
            );
        }
    }
}
