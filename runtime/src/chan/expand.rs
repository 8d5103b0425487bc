//! Job: what `select!` expands to calls of.
//! Layer: L3 (blocking)
//! Not here: parsing (`gusty-macros`), the selection (`choose`). Nothing in this module is for users
//!   to call by name.

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use super::channel::Outcome;
pub use super::choose::Case;
use super::choose::{self, Bias, Chosen};
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
#[inline]
pub fn recv<'a, 's, T>(receiver: &'a Receiver<T>, slot: &'s mut Slot<T>) -> Case<'a, 's> {
    Case::recv(receiver, slot.value.as_mut_ptr().cast(), &raw mut slot.filled)
}

/// The case of a send.
#[inline]
pub fn send<'a, T>(sender: &'a Sender<T>) -> Case<'a, 'static> {
    Case::send(sender)
}

/// What was chosen, if anything was.
///
/// Every arm consumes it before its body, which may then move or change the handles: so there is one
/// type for both cases, rather than an `Option` that a `match` would keep.
pub struct Picked<'a>(Result<Chosen<'a>, Outcome>);

impl std::fmt::Debug for Picked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picked({})", self.index())
    }
}

#[inline]
fn pick<'a>(cases: &mut [Case<'a, '_>], biased: bool, until: Option<Until<'_>>) -> Picked<'a> {
    let bias = if biased { Bias::First } else { Bias::None };
    // SAFETY: a case of a receive has a slot of its receiver's type.
    Picked(unsafe { choose::choose(cases, bias, until) })
}

/// Without `default`.
#[inline]
pub fn select<'a>(cases: &mut [Case<'a, '_>], biased: bool) -> Picked<'a> {
    pick(cases, biased, Some(Until::FOREVER))
}

/// With `default`.
#[inline]
pub fn try_select<'a>(cases: &mut [Case<'a, '_>], biased: bool) -> Picked<'a> {
    pick(cases, biased, None)
}

/// With `default(timeout)`.
#[inline]
pub fn select_timeout<'a>(
    cases: &mut [Case<'a, '_>],
    biased: bool,
    timeout: Duration,
) -> Picked<'a> {
    pick(cases, biased, Until::unless_zero(timeout))
}

impl Picked<'_> {
    /// Which case it is; `usize::MAX` if none.
    #[inline]
    pub fn index(&self) -> usize {
        self.0.as_ref().map_or(usize::MAX, |chosen| chosen.index)
    }

    /// Completes a receive.
    #[inline]
    pub fn recv<T>(self, slot: &mut Slot<T>) -> Result<T, RecvError> {
        if !std::mem::take(&mut slot.filled) {
            return Err(RecvError);
        }
        // SAFETY: it was filled, and is empty from now on.
        Ok(unsafe { slot.value.assume_init_read() })
    }

    /// Completes a send.
    #[inline]
    pub fn send<T>(self, sender: &Sender<T>, value: T) -> Result<(), SendError<T>> {
        let chosen = self.0.ok().filter(|chosen| ptr::addr_eq(chosen.port, sender));
        let chosen = chosen.expect("the sender that was selected");
        port::complete(sender, chosen.into_grant(), value).map_err(SendError)
    }
}
