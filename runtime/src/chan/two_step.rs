//! Job: sending in two steps, as a select does: first it is decided that the value will be taken,
//!   then the value comes.
//! Layer: L3 (blocking)
//! Not here: sending and receiving at once (`channel`), which operation is selected (`choose`).
//! Invariants
//!   TS1  `limit` of a channel is its capacity less the places that decided sends were promised
//!        (LT1 of `late`) and have not used or given back.

use std::sync::atomic::Ordering;

use super::channel::{Channel, Outcome};
use super::late::Grant;
use super::state;
use crate::sched::ready;
use crate::wait::SERVED;

impl<T> Channel<T> {
    /// Decides a send, if that is possible at once.
    pub(super) fn decide_send(&self) -> Option<Grant> {
        if self.capacity() != 0 && self.len() >= self.capacity() && !self.is_closed() {
            return None; // as `try_send`
        }
        let mut state = self.state.lock();
        if self.is_closed_locked() {
            return Some(Grant::Closed);
        }
        let receiver = state.receivers.pop_reserved();
        self.publish_receivers(&state);
        if let Some(receiver) = receiver {
            return Some(Grant::Receiver(receiver));
        }
        if state.buffer.len() < state.limit {
            state.limit -= 1; // TS1
            return Some(Grant::Room);
        }
        None
    }

    /// Completes a decided send. It may still find the channel closed.
    ///
    /// # Safety
    /// `grant` is of a send on this channel. `value` points to a value, which is given away if the
    /// outcome is `Done`, and else kept.
    pub(super) unsafe fn complete_send(&self, grant: Grant, value: *const T) -> Outcome {
        match grant {
            Grant::Receiver(receiver) => {
                // SAFETY: CH3: the receiver's slot takes one value.
                unsafe {
                    receiver.data.cast::<T>().copy_from_nonoverlapping(value, 1);
                    receiver.serve();
                }
                Outcome::Done
            }
            // SAFETY: promised by the caller.
            Grant::Room => unsafe { self.use_place(value) },
            Grant::Closed | Grant::Received => Outcome::Closed,
        }
    }

    /// # Safety
    /// As `complete_send`, with a promised place.
    unsafe fn use_place(&self, value: *const T) -> Outcome {
        loop {
            let mut state = self.state.lock();
            if self.is_closed_locked() {
                state.limit += 1;
                return Outcome::Closed;
            }
            if let Some(receiver) = state.receivers.pop_claimed(SERVED) {
                self.publish_receivers(&state);
                drop(state);
                // SAFETY: CH3: the receiver's slot takes one value.
                unsafe { receiver.data.cast::<T>().copy_from_nonoverlapping(value, 1) };
                ready::ready(receiver.g);
                self.give_place_back();
                return Outcome::Done;
            }
            // SAFETY: the caller's value, given away as `Done`.
            if unsafe { state.buffer.push(value) } {
                state.limit += 1;
                self.publish_len(&state);
                state::tell_watchers(state);
                return Outcome::Done;
            }
            self.grow(state);
        }
    }

    /// Gives up a decided operation (LT1, LT4).
    pub(super) fn give_up(&self, grant: Grant) {
        match grant {
            Grant::Receiver(receiver) => receiver.send_back(),
            Grant::Room => self.give_place_back(),
            Grant::Closed | Grant::Received => {}
        }
    }

    fn give_place_back(&self) {
        let mut state = self.state.lock();
        state.limit += 1;
        state::tell_watchers(state);
        self.fill();
    }

    /// Lets senders that wait in, while there are places.
    #[cold]
    pub(super) fn fill(&self) {
        loop {
            let mut state = self.state.lock();
            let places = state.buffer.len() < state.limit;
            if !places || state.senders.is_empty() || self.is_closed_locked() {
                return;
            }
            if !state.buffer.has_slot() {
                self.grow(state);
                continue;
            }
            let sender = state.move_up();
            self.publish_len(&state);
            state::tell_watchers(state);
            if let Some(sender) = sender {
                ready::ready(sender.g);
            }
        }
    }

    /// Whether a send would not wait.
    ///
    /// # Safety
    /// The caller holds the lock.
    pub(super) unsafe fn can_send(&self) -> bool {
        // SAFETY: the lock is held.
        let state = unsafe { &*self.state.as_ptr() };
        let place = state.buffer.len() < state.limit;
        place || self.is_closed_locked() || state.receivers.has_open()
    }

    /// Whether a receive would not wait.
    ///
    /// # Safety
    /// The caller holds the lock.
    pub(super) unsafe fn can_recv(&self) -> bool {
        // SAFETY: the lock is held.
        let state = unsafe { &*self.state.as_ptr() };
        state.buffer.len() != 0 || self.is_closed_locked() || state.senders.has_open()
    }

    /// Whether a send may be possible, by a look without the lock.
    pub(super) fn may_send(&self) -> bool {
        self.len.load(Ordering::Relaxed) < self.capacity()
            || self.receivers_wait.load(Ordering::Relaxed)
            || self.is_closed()
    }

    /// Whether a receive may be possible, by a look without the lock.
    pub(super) fn may_recv(&self) -> bool {
        self.len.load(Ordering::Relaxed) != 0
            || self.senders_wait.load(Ordering::Relaxed)
            || self.is_closed()
    }
}
