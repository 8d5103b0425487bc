//! Job: what a channel's lock guards: the buffer, those who wait, and those who only watch.
//! Layer: L3 (blocking)
//! Not here: sending and receiving (`channel`, `two_step`).
//! Invariants
//!   CW1  Whatever may make an operation possible takes all watchers out and readies them.

use std::mem::ManuallyDrop;

use super::buffer::Buffer;
use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::list::GList;
use crate::sched::ready;
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::sys::section;
use crate::wait::{self, Claimed, SERVED, Until, WaitQueue};

/// See the module.
pub(super) struct State<T> {
    pub(super) receivers: WaitQueue,
    pub(super) senders: WaitQueue,
    pub(super) buffer: Buffer<T>,
    /// The capacity without the places that are promised to selected sends (`late`).
    pub(super) limit: usize,
    /// Those who wait until an operation is possible and do not perform it.
    pub(super) watchers: WaitQueue,
}

impl<T> State<T> {
    pub(super) const fn new(capacity: usize) -> State<T> {
        State {
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
            buffer: Buffer::new(),
            limit: capacity,
            watchers: WaitQueue::new(),
        }
    }

    /// Gives the place in the buffer that became free to the first waiting sender.
    #[inline]
    pub(super) fn move_up(&mut self) -> Option<Claimed> {
        if self.senders.is_empty() || !self.buffer.has_slot() {
            return None;
        }
        let sender = self.senders.pop_claimed(SERVED)?;
        if sender.late {
            self.limit -= 1;
        } else {
            // SAFETY: CH3: the sender's value, moved behind all others.
            let moved = unsafe { self.buffer.push(sender.data.cast()) };
            debug_assert!(moved, "has a slot");
        }
        Some(sender)
    }

    /// Takes out who is to be made ready once the lock is released (CW1).
    #[inline]
    pub(super) fn take_watchers(&mut self) -> GList {
        let mut list = GList::new();
        while let Some(watcher) = self.watchers.pop_claimed(SERVED) {
            list.push(watcher.g);
        }
        list
    }
}

/// Readies the watchers, and unlocks before (CH2, CW1).
#[cold]
pub(super) fn tell_watchers<T>(mut state: SpinGuard<'_, State<T>>) {
    let mut watchers = state.take_watchers();
    drop(state);
    ready::ready_list(&mut watchers);
}

/// As `wait::park_in`; that somebody waits may be what a watcher waits for (CW1).
///
/// # Safety
/// As `wait::park_in`.
#[inline]
pub(super) unsafe fn park_telling<T>(
    lock: &SpinLock<State<T>>,
    mut state: SpinGuard<'_, State<T>>,
    wait: &Wait,
    until: Until<'_>,
    reason: WaitReason,
) -> usize {
    if state.watchers.is_empty() {
        // SAFETY: promised by the caller.
        return unsafe { wait::park_in(lock, state, wait, until, reason) };
    }
    let mut watchers = state.take_watchers();
    let _held = ManuallyDrop::new(state);
    let raw = lock.raw();
    let commit = move || {
        // SAFETY: the lock is held, its guard forgotten; commits run once.
        unsafe { raw.unlock() };
        ready::ready_list(&mut watchers);
    };
    // SAFETY: promised by the caller.
    let outcome = unsafe { wait::park_queued(wait, until, reason, commit) };
    section::leave(); // that of the forgotten guard (LK3)
    outcome
}
