//! Job: what `select!` expands to calls of.
//! Layer: L3 (blocking)
//! Not here: parsing (`gusty-macros`), the selection (`choose`). Nothing in this module is for users
//!   to call by name.

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use super::channel::Outcome;
use super::choose::{self, Bias};
pub use super::choose::{Case, Chosen};
use super::error::{RecvError, SendError};
use super::port;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::wait::Until;

/// Room on the stack for a value that a receive may get.
#[derive(Debug)]
pub struct Slot<T> {
    value: MaybeUninit<T>,
    /// Whether there is one.
    filled: bool,
}

impl<T> Slot<T> {
    /// Empty, for values of `_receiver`.
    pub const fn new(_receiver: &Receiver<T>) -> Slot<T> {
        Slot { value: MaybeUninit::uninit(), filled: false }
    }
}

/// The case of a receive.
pub fn recv<'a, 's, T>(receiver: &'a Receiver<T>, slot: &'s mut Slot<T>) -> Case<'a, 's> {
    Case::new(receiver, slot.value.as_mut_ptr().cast(), &raw mut slot.filled)
}

/// The case of a send.
pub fn send<'a, T>(sender: &'a Sender<T>) -> Case<'a, 'static> {
    Case::new(sender, ptr::null_mut(), ptr::null_mut())
}

fn bias(biased: bool) -> Bias {
    if biased { Bias::First } else { Bias::None }
}

fn choose<'a>(
    cases: &mut [Case<'a, '_>],
    biased: bool,
    until: Option<Until<'_>>,
) -> Result<Chosen<'a>, Outcome> {
    // SAFETY: a case of a receive has a slot of its receiver's type.
    unsafe { choose::choose(cases, bias(biased), until) }
}

/// Without `default`.
pub fn select<'a>(cases: &mut [Case<'a, '_>], biased: bool) -> Chosen<'a> {
    choose(cases, biased, Some(Until::FOREVER)).ok().expect("nothing else ends the wait")
}

/// With `default`.
pub fn try_select<'a>(cases: &mut [Case<'a, '_>], biased: bool) -> Option<Chosen<'a>> {
    choose(cases, biased, None).ok()
}

/// With `default(timeout)`.
pub fn select_timeout<'a>(
    cases: &mut [Case<'a, '_>],
    biased: bool,
    timeout: Duration,
) -> Option<Chosen<'a>> {
    choose(cases, biased, Until::unless_zero(timeout)).ok()
}

impl Chosen<'_> {
    /// Which case it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Completes a receive.
    pub fn recv<T>(self, slot: &mut Slot<T>) -> Result<T, RecvError> {
        drop(self);
        if !std::mem::take(&mut slot.filled) {
            return Err(RecvError);
        }
        // SAFETY: it was filled, and is empty from now on.
        Ok(unsafe { slot.value.assume_init_read() })
    }

    /// Completes a send.
    pub fn send<T>(self, sender: &Sender<T>, value: T) -> Result<(), SendError<T>> {
        assert!(ptr::addr_eq(self.port, sender), "a sender that was not selected");
        port::complete(sender, self.into_grant(), value).map_err(SendError)
    }
}
