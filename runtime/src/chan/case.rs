//! Job: an operation of a select with what it takes to wait for it; orders of operations.
//! Layer: L3 (blocking)
//! Not here: the selection (`choose`), waiting (`enter`), what an operation does (`port`).

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use super::late::Partner;
use super::port::{Port, Spot};
use crate::sched::m;
use crate::sys::clock;
use crate::sys::rand::Rand;
use crate::sys::section::Section;
use crate::wait::Node;

/// One operation to choose from; `'s` is how long the slot of a receive is borrowed.
pub struct Case<'a, 's> {
    pub(super) port: &'a dyn Port,
    /// Room for the value of a receive.
    pub(super) slot: *mut (),
    /// Set when the slot has got a value.
    pub(super) filled: *mut bool,
    pub(super) is_send: bool,
    pub(super) partner: Partner,
    /// Its place in a queue; written by `enter`.
    pub(super) place: MaybeUninit<Place>,
    _slot: PhantomData<&'s mut ()>,
}

impl<'a, 's> Case<'a, 's> {
    #[inline]
    pub(super) fn recv(port: &'a dyn Port, slot: *mut (), filled: *mut bool) -> Case<'a, 's> {
        Case { slot, filled, is_send: false, ..Case::send(port) }
    }

    #[inline]
    pub(super) fn send(port: &'a dyn Port) -> Case<'a, 's> {
        let (slot, filled) = (ptr::null_mut(), ptr::null_mut());
        let (partner, place) = (Partner::new(), MaybeUninit::uninit());
        Case { port, slot, filled, is_send: true, partner, place, _slot: PhantomData }
    }
}

/// An operation's spot and its node there.
pub(super) struct Place {
    pub(super) spot: Spot,
    pub(super) node: Node,
}

/// A random number below `n`.
pub(super) fn random_below(n: u32) -> u32 {
    let _section = Section::enter_if_outside(); // M3
    match m::current() {
        Some(m) => m.rand_below(n),
        None => Rand::new(clock::cycles()).below(n),
    }
}

/// As many operations need no memory for their order.
const FEW: usize = 16;

/// The indices of operations, to be put into some order.
pub(super) enum Order {
    Few([u32; FEW], usize),
    Many(Vec<u32>),
}

impl Order {
    #[inline]
    pub(super) fn of(len: usize) -> Order {
        if len <= FEW {
            Order::Few(std::array::from_fn(|i| i as u32), len)
        } else {
            Order::Many((0..len as u32).collect())
        }
    }

    #[inline]
    pub(super) fn as_mut(&mut self) -> &mut [u32] {
        match self {
            Order::Few(order, len) => &mut order[..*len],
            Order::Many(order) => order,
        }
    }
}
