//! Job: `Select`: a choice between operations that are known only at run time.
//! Layer: L3 (blocking)
//! Not here: `select!` (`expand`), the selection (`choose`).
//! Invariants
//!   DS1  `cases` and `added` go together: what is at one position belongs to one operation.

use std::alloc::Layout;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

use super::channel::Outcome;
use super::choose::{self, Bias, Case, Chosen};
use super::port::Port;
use super::receiver::Receiver;
use super::room::Room;
use super::select_error::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};
use super::selected::SelectedOperation;
use super::sender::Sender;
use crate::wait::Until;

/// Operations on channels, one of which is to be performed, or waited for.
///
/// [`select!`](crate::select) is more convenient where the operations are known when the code is
/// written. Of several operations that are possible a random one is chosen; with
/// [`new_biased`](Select::new_biased) the one that was added first. An operation is possible also if
/// it fails because its channel is closed.
///
/// A select is atomic: it looks at all its channels at one moment and performs one operation, or
/// none; values are neither lost nor taken from a channel that is not chosen. Waiting parks a
/// goroutine and blocks a plain thread.
///
/// ```
/// use gusty::chan::{Select, unbounded};
///
/// let channels: Vec<_> = (0..4).map(|_| unbounded()).collect();
/// channels[2].0.send("two").unwrap();
///
/// let mut select = Select::new();
/// for (_, rx) in &channels {
///     select.recv(rx);
/// }
/// let operation = select.select();
/// assert_eq!(operation.index(), 2);
/// assert_eq!(operation.recv(&channels[2].1), Ok("two"));
/// ```
pub struct Select<'a> {
    cases: Vec<Case<'a, 'static>>,
    added: Vec<Added>,
    next_index: usize,
    bias: Bias,
}

/// What else belongs to an operation.
struct Added {
    index: usize,
    room: Room,
}

// SAFETY: ports are handles behind references that are used through their synchronized channels;
// nobody sees a received value but who has the handle again (`SelectedOperation::recv`). Rooms are
// memory.
unsafe impl Send for Select<'_> {}
// SAFETY: as above; `&Select` gives access to nothing.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// No operations yet.
    ///
    /// ```
    /// let mut select = gusty::chan::Select::new();
    /// assert!(select.try_select().is_err());
    /// ```
    pub fn new() -> Select<'a> {
        Select { cases: Vec::new(), added: Vec::new(), next_index: 0, bias: Bias::None }
    }

    /// As [`new`](Select::new); of several possible operations the first is chosen.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let (tx, rx) = unbounded();
    /// let mut select = Select::new_biased();
    /// let (send, recv) = (select.send(&tx), select.recv(&rx));
    /// tx.send(1).unwrap();
    /// assert_eq!(select.ready(), send);
    /// assert_ne!(send, recv);
    /// ```
    pub fn new_biased() -> Select<'a> {
        Select { bias: Bias::First, ..Select::new() }
    }

    fn add(&mut self, port: &'a dyn Port) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        let room = Room::new(port.slot().unwrap_or(Layout::new::<()>()));
        self.cases.push(unplaced(port));
        self.added.push(Added { index, room });
        index
    }

    /// Adds sending on `s`; returns the operation's index, which counts from 0.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let (tx, rx) = unbounded();
    /// let mut select = Select::new();
    /// assert_eq!(select.send(&tx), 0);
    /// select.select().send(&tx, 7).unwrap();
    /// assert_eq!(rx.recv(), Ok(7));
    /// ```
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s)
    }

    /// Adds receiving from `r`; returns the operation's index.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let (tx, rx) = unbounded();
    /// tx.send(7).unwrap();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx), Ok(7));
    /// ```
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        self.add(r)
    }

    /// Takes an operation out, for example one whose channel is closed. Its index is not used again.
    ///
    /// # Panics
    /// There is no operation of this index.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let ((_tx1, rx1), (tx2, rx2)) = (unbounded::<u8>(), unbounded::<u8>());
    /// drop(tx2);
    /// let mut select = Select::new();
    /// let (one, two) = (select.recv(&rx1), select.recv(&rx2));
    /// assert_eq!(select.ready(), two);
    /// select.remove(two);
    /// assert!(select.try_ready().is_err());
    /// select.remove(one);
    /// ```
    pub fn remove(&mut self, index: usize) {
        let at = self.added.binary_search_by_key(&index, |added| added.index);
        let Ok(at) = at else { panic!("no operation {index} in this `Select`") };
        self.cases.remove(at);
        self.added.remove(at);
    }

    fn choose(&mut self, until: Option<Until<'_>>) -> Result<SelectedOperation<'a>, Outcome> {
        for (case, added) in self.cases.iter_mut().zip(&mut self.added) {
            added.room.make();
            case.slot = added.room.as_ptr();
        }
        // SAFETY: every slot is the room for its channel's values.
        let chosen: Chosen<'a> = unsafe { choose::choose(&mut self.cases, self.bias, until)? };
        let added = &mut self.added[chosen.index]; // DS1
        let fresh = Room::new(added.room.layout());
        let room = std::mem::replace(&mut added.room, fresh);
        Ok(SelectedOperation::new(added.index, chosen, room))
    }

    fn watch(&mut self, until: Option<Until<'_>>) -> Result<usize, Outcome> {
        let at = choose::watch(&mut self.cases, self.bias, until)?;
        Ok(self.added[at].index)
    }

    #[track_caller]
    fn must_have_operations(&self) {
        assert!(!self.cases.is_empty(), "no operations have been added to `Select`");
    }

    /// Chooses a possible operation. Never blocks, except for the rest of an operation of another
    /// select that is its partner.
    ///
    /// # Errors
    /// None is possible.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let (tx, rx) = unbounded();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert!(select.try_select().is_err());
    /// tx.send(1).unwrap();
    /// assert_eq!(select.try_select().unwrap().recv(&rx), Ok(1));
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.choose(None).map_err(|_| TrySelectError)
    }

    /// Chooses a possible operation, waiting until there is one.
    ///
    /// # Panics
    /// There are no operations.
    ///
    /// ```
    /// use gusty::{chan, go};
    /// let (tx, rx) = chan::bounded(0);
    /// go!(move || tx.send("late").unwrap());
    /// let mut select = chan::Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx), Ok("late"));
    /// ```
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.must_have_operations();
        self.choose(Some(Until::FOREVER)).expect("nothing else ends the wait")
    }

    /// As [`select`](Select::select), waiting for at most `timeout`.
    ///
    /// # Errors
    /// The time passed first.
    ///
    /// ```
    /// use gusty::chan::{Select, never};
    /// use std::time::Duration;
    /// let rx = never::<u8>();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert!(select.select_timeout(Duration::from_millis(1)).is_err());
    /// ```
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Until::unless_zero(timeout)).map_err(|_| SelectTimeoutError)
    }

    /// As [`select`](Select::select), waiting until `deadline` at most.
    ///
    /// # Errors
    /// The time passed first.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// use std::time::Instant;
    /// let (tx, _rx) = unbounded();
    /// let mut select = Select::new();
    /// select.send(&tx);
    /// let operation = select.select_deadline(Instant::now()).unwrap();
    /// operation.send(&tx, 1).unwrap();
    /// ```
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.select_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// The index of a possible operation. Never blocks.
    ///
    /// Nothing is performed: when it is tried, somebody else may have been faster.
    ///
    /// # Errors
    /// None is possible.
    ///
    /// ```
    /// use gusty::chan::{Select, unbounded};
    /// let (tx, rx) = unbounded();
    /// let mut select = Select::new();
    /// let recv = select.recv(&rx);
    /// assert!(select.try_ready().is_err());
    /// tx.send(1).unwrap();
    /// assert_eq!(select.try_ready(), Ok(recv));
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(None).map_err(|_| TryReadyError)
    }

    /// The index of a possible operation, waiting until there is one; see
    /// [`try_ready`](Select::try_ready).
    ///
    /// # Panics
    /// There are no operations.
    ///
    /// ```
    /// use gusty::chan::{Select, bounded};
    /// let (tx, rx) = bounded(1);
    /// let mut select = Select::new();
    /// let send = select.send(&tx);
    /// select.recv(&rx);
    /// assert_eq!(select.ready(), send);
    /// assert!(tx.try_send(1).is_ok());
    /// ```
    pub fn ready(&mut self) -> usize {
        self.must_have_operations();
        self.watch(Some(Until::FOREVER)).expect("nothing else ends the wait")
    }

    /// As [`ready`](Select::ready), waiting for at most `timeout`.
    ///
    /// # Errors
    /// The time passed first.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Until::unless_zero(timeout)).map_err(|_| ReadyTimeoutError)
    }

    /// As [`ready`](Select::ready), waiting until `deadline` at most.
    ///
    /// # Errors
    /// The time passed first.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.ready_timeout(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        let added =
            |added: &Added| Added { index: added.index, room: Room::new(added.room.layout()) };
        Select {
            cases: self.cases.iter().map(|case| unplaced(case.port)).collect(),
            added: self.added.iter().map(added).collect(),
            ..*self
        }
    }
}

/// A case without a slot, which `choose` sets.
fn unplaced(port: &dyn Port) -> Case<'_, 'static> {
    match port.slot() {
        Some(_) => Case::recv(port, ptr::null_mut(), ptr::null_mut()),
        None => Case::send(port),
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}
