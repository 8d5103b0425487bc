//! Job: a late sender and its receiver: one that was selected first and gets its value then.
//! Layer: L3 (blocking)
//! Not here: what a decided send does to its channel (`two_step`).
//! Invariants
//!   LT1  A send that is decided owns, until it is completed or given up, either a receiver, which
//!        stays parked until then (`Reserved`), or a promised place in the buffer.
//!   LT2  A receiver that takes out a late sender puts itself into the sender's `Partner` and parks;
//!        only then is the sender made ready, so it finds its receiver there.
//!   LT3  A late sender without a partner that was served has a promised place.
//!   LT4  A receiver whose sender gave up is sent back, and tries again.
//!
//! Receives need no second step: their place for the value is known beforehand.

use std::cell::UnsafeCell;

use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::{park, ready};
use crate::wait::{Claimed, OUTCOME_SERVED, Reserved};

/// How a selected operation goes on.
pub(super) enum Grant {
    /// It fails: the channel is closed, and empty if it is a receive.
    Closed,
    /// The value is in the receive's slot.
    Received,
    /// A place in the buffer is promised (LT1).
    Room,
    /// A receiver waits for the value (LT1).
    Receiver(Reserved),
}

/// Where the receiver of a late sender is left; `data` of the sender's node points to it.
pub(super) struct Partner(UnsafeCell<Option<Reserved>>);

impl Partner {
    pub(super) const fn new() -> Partner {
        Partner(UnsafeCell::new(None))
    }

    pub(super) fn as_data(&self) -> *mut () {
        self.0.get().cast()
    }

    /// What a late sender has got that was served (LT2, LT3).
    pub(super) fn grant(&mut self) -> Grant {
        self.0.get_mut().take().map_or(Grant::Room, Grant::Receiver)
    }
}

/// Waits for the value of a late sender that the caller has taken out; false if the sender gave up.
///
/// # Safety
/// `sender` is late and its channel carries what `out` has room for.
#[cold]
pub(super) unsafe fn await_value(sender: Claimed, out: *mut ()) -> bool {
    let wait = Wait::new(park::current());
    // SAFETY: `wait` is on this frame; the sender is parked and ours (WQ3), and so is its partner.
    unsafe {
        let me = Reserved::by_itself(&wait, out);
        *sender.data.cast::<Option<Reserved>>() = Some(me);
        park::park(WaitReason::ChanRecv, move || ready::ready(sender.g)); // LT2
    }
    wait.outcome() == OUTCOME_SERVED
}
