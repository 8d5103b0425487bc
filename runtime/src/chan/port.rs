//! Job: what a select needs of a handle, whatever values it carries.
//! Layer: L3 (blocking)
//! Not here: the selection (`choose`).

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::channel::{self, Channel, Outcome};
use super::late::Grant;
use super::receiver::Receiver;
use super::sender::Sender;
use super::state::State;
use crate::sys::clock::{NEVER, Nanos};
use crate::sys::lock::RawSpin;
use crate::wait::WaitQueue;

/// What a node waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The operation.
    Perform,
    /// That the operation is possible.
    Watch,
}

/// Where an operation waits: pointers into its channel, which outlives the port.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// Null for what nobody sends to: it has no queues.
    pub(super) lock: *const RawSpin,
    pub(super) queue: *mut WaitQueue,
    pub(super) watchers: *mut WaitQueue,
    /// Says without the lock that somebody is in `queue`; null if nothing does.
    pub(super) flag: *const AtomicBool,
}

impl Spot {
    pub(super) const NONE: Spot = Spot {
        lock: ptr::null(),
        queue: ptr::null_mut(),
        watchers: ptr::null_mut(),
        flag: ptr::null(),
    };

    /// # Safety
    /// The lock is held; there is one.
    pub(super) unsafe fn flag(&self, waits: bool) {
        // SAFETY: null or in the channel.
        if let Some(flag) = unsafe { self.flag.as_ref() } {
            flag.store(waits, Ordering::Relaxed); // a hint
        }
    }
}

impl<T> Channel<T> {
    /// Where a select waits: in the queue that `queue` picks, whose flag is `flag`, or among those who
    /// watch.
    fn spot(
        &self,
        goal: Goal,
        queue: impl FnOnce(*mut State<T>) -> *mut WaitQueue,
        flag: &AtomicBool,
    ) -> Spot {
        let state = self.state.as_ptr();
        // SAFETY: a place within the state; nothing is read or written.
        let watchers = unsafe { &raw mut (*state).watchers };
        let lock = ptr::from_ref(self.state.raw());
        match goal {
            Goal::Perform => Spot { lock, queue: queue(state), watchers, flag },
            Goal::Watch => Spot { lock, queue: watchers, watchers, flag: ptr::null() },
        }
    }
}

/// One end of a channel, for one kind of operation.
pub(super) trait Port {
    /// Where to wait.
    fn place(&self, goal: Goal) -> Spot;

    /// Whether `decide` may succeed; without the lock, and not to be relied on.
    fn looks_possible(&self) -> bool;

    /// Decides the operation, if that is possible at once.
    ///
    /// # Safety
    /// `slot` has room for a value, if this is a receive.
    unsafe fn decide(&self, slot: *mut ()) -> Option<Grant>;

    /// Gives up what was decided.
    fn give_up(&self, grant: Grant);

    /// Whether `decide` would succeed.
    ///
    /// # Safety
    /// The caller holds the lock.
    unsafe fn is_possible(&self) -> bool;

    /// When it will be possible whatever anybody does.
    fn deadline(&self) -> Nanos;

    /// The room for the value that is received; `None` if this is a send.
    fn slot(&self) -> Option<Layout>;
}

impl<T> Port for Sender<T> {
    fn place(&self, goal: Goal) -> Spot {
        let channel = self.channel();
        // SAFETY: a place within the state; nothing is read or written.
        channel.spot(goal, |state| unsafe { &raw mut (*state).senders }, &channel.senders_wait)
    }

    fn looks_possible(&self) -> bool {
        self.channel().may_send()
    }

    unsafe fn decide(&self, _: *mut ()) -> Option<Grant> {
        self.channel().decide_send()
    }

    fn give_up(&self, grant: Grant) {
        self.channel().give_up(grant);
    }

    unsafe fn is_possible(&self) -> bool {
        // SAFETY: promised by the caller.
        unsafe { self.channel().can_send() }
    }

    fn deadline(&self) -> Nanos {
        NEVER
    }

    fn slot(&self) -> Option<Layout> {
        None
    }
}

impl<T> Port for Receiver<T> {
    fn place(&self, goal: Goal) -> Spot {
        self.channel().map_or(Spot::NONE, |channel| {
            // SAFETY: a place within the state; nothing is read or written.
            let receivers = |state: *mut State<T>| unsafe { &raw mut (*state).receivers };
            channel.spot(goal, receivers, &channel.receivers_wait)
        })
    }

    fn looks_possible(&self) -> bool {
        match self.channel() {
            Some(channel) => channel.may_recv(),
            None => !self.is_empty(),
        }
    }

    unsafe fn decide(&self, slot: *mut ()) -> Option<Grant> {
        let slot = slot.cast::<T>();
        if let Some(channel) = self.channel() {
            // SAFETY: promised by the caller.
            return match unsafe { channel.try_recv_locking(slot) } {
                Outcome::Done => Some(Grant::Received),
                Outcome::Closed => Some(Grant::Closed),
                Outcome::NotNow | Outcome::Cancelled => None,
            };
        }
        let at: Instant = self.alarm()?.try_recv()?;
        // SAFETY: promised by the caller.
        unsafe { slot.write(Receiver::moment(at)) };
        Some(Grant::Received)
    }

    fn give_up(&self, grant: Grant) {
        debug_assert!(matches!(grant, Grant::Received | Grant::Closed));
    }

    unsafe fn is_possible(&self) -> bool {
        match self.channel() {
            // SAFETY: promised by the caller.
            Some(channel) => unsafe { channel.can_recv() },
            None => !self.is_empty(),
        }
    }

    fn deadline(&self) -> Nanos {
        self.alarm().map_or(NEVER, |alarm| alarm.deadline())
    }

    fn slot(&self) -> Option<Layout> {
        Some(Layout::new::<T>())
    }
}

/// Completes a send that was decided; the value comes back if the channel is closed.
pub(super) fn complete<T>(sender: &Sender<T>, grant: Grant, value: T) -> Result<(), T> {
    let channel = sender.channel();
    // SAFETY: `give` passes a value and forgets it if it was sent.
    let sent = channel::give(value, |value| unsafe { channel.complete_send(grant, value) });
    sent.map_err(|(value, _)| value)
}
