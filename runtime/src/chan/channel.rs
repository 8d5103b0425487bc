//! Job: one channel: its lock, its buffer and its waiters; what sending, receiving and closing do.
//! Layer: L3 (blocking)
//! Not here: handles (`sender`, `receiver`) and their count (`share`), what the lock guards
//!   (`state`), sending in two steps (`two_step`).
//! Invariants
//!   CH1  Receivers wait only while the buffer is empty, senders only while it has no free place
//!        (`limit`), nobody once the channel is closed (but `close` may not have reached everybody
//!        yet). Both queues hold somebody only if a select waits in both.
//!   CH2  No user code (destructors), no allocation and no `ready` under the lock.
//!   CH3  Whoever puts a value into a receiver's slot, or takes it from a sender's, has popped that
//!        waiter (WQ3 of `wait`) and moves the value exactly once.
//!   CH4  `len` equals the buffer's length whenever the lock is free.
//! Orderings
//!   E1  close: closed.store(Release) -> closed.load(Acquire)   what came before the close is seen
//!   E2  lock-free failures load `len` (Acquire), then `closed`: a channel that is seen open was
//!       still open when it was seen empty or full, so nothing was to be had at that moment
//!
//! A value moves once: from the sender's frame into the receiver's slot, or into the buffer and out
//! of it. Direct moves happen after unlocking.

use std::mem::{ManuallyDrop, MaybeUninit};

use super::buffer::{Buffer, Ring};
use super::late;
use super::state::{State, park_telling, tell_watchers};
use crate::sched::claim::{CANCELLED, TIMED_OUT, Wait};
use crate::sched::g::{GRef, WaitReason};
use crate::sched::{park, ready};
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::sys::shim::{AtomicBool, AtomicUsize, Ordering};
use crate::wait::{self, Claimed, Node, OTHER, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// The capacity that stands for "no bound".
pub(super) const UNBOUNDED: usize = usize::MAX;

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Done,
    Closed,
    /// Full or empty, now or until the deadline.
    NotNow,
    /// Full or empty until the wait was called off.
    Cancelled,
}

/// What the first, unblocking half of an operation found.
enum Start<'a, T> {
    Ended(Outcome),
    /// A sender was taken out that has no value yet.
    Late(Claimed),
    WouldBlock(SpinGuard<'a, State<T>>),
}

/// See the module.
pub(super) struct Channel<T> {
    pub(super) state: SpinLock<State<T>>,
    /// Written under the lock.
    closed: AtomicBool,
    /// Written under the lock (CH4).
    pub(super) len: AtomicUsize,
    /// Whether somebody is in the queue of this name: for who looks without the lock whether it is
    /// worth taking it. Written under the lock; true for too long after waits that were not served.
    pub(super) senders_wait: AtomicBool,
    pub(super) receivers_wait: AtomicBool,
    capacity: usize,
}

impl<T> Channel<T> {
    pub(super) fn new(capacity: usize) -> Channel<T> {
        Channel {
            state: SpinLock::new(State::new(capacity)),
            closed: AtomicBool::new(false),
            len: AtomicUsize::new(0),
            senders_wait: AtomicBool::new(false),
            receivers_wait: AtomicBool::new(false),
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire) // E2
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) // E1
    }

    /// Sends, waiting for room until `until`.
    ///
    /// # Safety
    /// `value` points to a value, which is given away if the outcome is `Done`, and else kept.
    #[inline]
    pub(super) unsafe fn send(&self, value: *mut T, until: Until<'_>) -> Outcome {
        let mut me = None;
        loop {
            // SAFETY: promised by the caller.
            match unsafe { self.start_send(value) } {
                Start::Ended(outcome) => return outcome,
                Start::Late(_) => unreachable!("receivers are never late"),
                Start::WouldBlock(state) => match me.or_else(wait::current_goroutine) {
                    // SAFETY: as above.
                    Some(g) => return unsafe { self.wait_send(state, g, value, until) },
                    None => {
                        drop(state); // a thread's first wait allocates (CH2)
                        me = Some(park::current());
                    }
                },
            }
        }
    }

    /// Sends if that is possible at once.
    ///
    /// # Safety
    /// As `send`.
    #[inline]
    pub(super) unsafe fn try_send(&self, value: *mut T) -> Outcome {
        if self.capacity != 0 && self.len() >= self.capacity && !self.is_closed() {
            return Outcome::NotNow;
        }
        // SAFETY: promised by the caller.
        match unsafe { self.start_send(value) } {
            Start::Ended(outcome) => outcome,
            _ => Outcome::NotNow,
        }
    }

    #[inline]
    unsafe fn start_send(&self, value: *const T) -> Start<'_, T> {
        loop {
            let mut state = self.state.lock();
            if self.is_closed_locked() {
                return Start::Ended(Outcome::Closed);
            }
            if let Some(receiver) = state.receivers.pop_claimed(SERVED) {
                self.publish_receivers(&state);
                let section = state.unlock(); // CH1: the buffer is empty, so this value overtakes none
                // SAFETY: CH3: the receiver's slot takes one value.
                unsafe { receiver.data.cast::<T>().copy_from_nonoverlapping(value, 1) };
                ready::ready_inside(&section, receiver.g);
                return Start::Ended(Outcome::Done);
            }
            if state.buffer.len() == state.limit {
                return Start::WouldBlock(state);
            }
            // SAFETY: the caller's value, given away as `Done`.
            if unsafe { state.buffer.push(value) } {
                self.publish_len(&state);
                if !state.watchers.is_empty() {
                    tell_watchers(state);
                }
                return Start::Ended(Outcome::Done);
            }
            self.grow(state);
        }
    }

    /// Restores CH4 before the lock is released.
    #[inline]
    pub(super) fn publish_len(&self, state: &State<T>) {
        self.len.store(state.buffer.len(), Ordering::Release); // E2
    }

    /// Restores `senders_wait` before the lock is released.
    #[inline]
    pub(super) fn publish_senders(&self, state: &State<T>) {
        self.senders_wait.store(!state.senders.is_empty(), Ordering::Relaxed); // a hint
    }

    /// Restores `receivers_wait` before the lock is released.
    #[inline]
    pub(super) fn publish_receivers(&self, state: &State<T>) {
        self.receivers_wait.store(!state.receivers.is_empty(), Ordering::Relaxed); // a hint
    }

    /// Whether it is closed, for who holds the lock.
    #[inline]
    pub(super) fn is_closed_locked(&self) -> bool {
        self.closed.load(Ordering::Relaxed) // written under the lock
    }

    /// Adds a ring to the buffer, made while the lock is free (CH2).
    #[cold]
    pub(super) fn grow(&self, state: SpinGuard<'_, State<T>>) {
        let slots = state.buffer.next_size(self.capacity);
        drop(state);
        let ring = Ring::with_slots(slots);
        let unused = self.state.lock().buffer.adopt(ring, self.capacity);
        drop(unused);
    }

    #[inline(never)]
    unsafe fn wait_send(
        &self,
        mut state: SpinGuard<'_, State<T>>,
        me: GRef,
        value: *mut T,
        until: Until<'_>,
    ) -> Outcome {
        let wait = Wait::new(me);
        let node = Node::single(&wait, value.cast(), until);
        // SAFETY: `end` unlinks it if it was not popped; both are on this frame until then.
        let outcome = unsafe {
            state.senders.push_back(&node);
            self.senders_wait.store(true, Ordering::Relaxed); // a hint
            park_telling(&self.state, state, &wait, until, WaitReason::ChanSend)
        };
        self.end(outcome, &node, |state| &mut state.senders)
    }

    /// Receives, waiting for a value until `until`.
    ///
    /// # Safety
    /// `out` has room for a value, which is there if the outcome is `Done`.
    #[inline]
    pub(super) unsafe fn recv(&self, out: *mut T, until: Until<'_>) -> Outcome {
        let mut me = None;
        loop {
            // SAFETY: promised by the caller.
            match unsafe { self.start_recv(out) } {
                Start::Ended(outcome) => return outcome,
                // SAFETY: as above.
                Start::Late(sender) => unsafe {
                    if late::await_value(sender, out.cast()) {
                        return Outcome::Done;
                    }
                },
                Start::WouldBlock(state) => match me.or_else(wait::current_goroutine) {
                    // SAFETY: as above.
                    Some(g) => match unsafe { self.wait_recv(state, g, out, until) } {
                        // Closed, or a selected send was given up: look again.
                        Outcome::Closed => {}
                        outcome => return outcome,
                    },
                    None => {
                        drop(state); // a thread's first wait allocates (CH2)
                        me = Some(park::current());
                    }
                },
            }
        }
    }

    /// Receives if that is possible at once.
    ///
    /// # Safety
    /// As `recv`.
    #[inline]
    pub(super) unsafe fn try_recv(&self, out: *mut T) -> Outcome {
        if self.capacity != 0 && self.len() == 0 && !self.is_closed() {
            return Outcome::NotNow;
        }
        // SAFETY: promised by the caller.
        unsafe { self.try_recv_locking(out) }
    }

    /// As `try_recv`, from a sender that waits for a promised place, too: the buffer is empty then.
    ///
    /// # Safety
    /// As `recv`.
    pub(super) unsafe fn try_recv_locking(&self, out: *mut T) -> Outcome {
        loop {
            // SAFETY: promised by the caller.
            match unsafe { self.start_recv(out) } {
                Start::Ended(outcome) => return outcome,
                Start::WouldBlock(_) => return Outcome::NotNow,
                // SAFETY: as above.
                Start::Late(sender) => unsafe {
                    if late::await_value(sender, out.cast()) {
                        return Outcome::Done;
                    }
                },
            }
        }
    }

    #[inline]
    unsafe fn start_recv(&self, out: *mut T) -> Start<'_, T> {
        let mut state = self.state.lock();
        if state.buffer.len() != 0 {
            // SAFETY: not empty; the caller's room.
            let spent = unsafe { state.buffer.pop(out) };
            let sender = state.move_up();
            self.publish_len(&state);
            // BF2: a full buffer has a slot after a pop, but one with promised places is not full.
            let stuck = sender.is_none() && !state.senders.is_empty();
            if state.watchers.is_empty() {
                drop(state);
            } else {
                tell_watchers(state);
            }
            drop(spent);
            if let Some(sender) = sender {
                ready::ready(sender.g);
            } else if stuck {
                self.fill();
            }
            return Start::Ended(Outcome::Done);
        }
        let sender = state.senders.pop_claimed(SERVED);
        self.publish_senders(&state);
        if let Some(sender) = sender {
            let section = state.unlock(); // CH1: empty and yet no place: there is only this value
            if sender.late {
                return Start::Late(sender);
            }
            // SAFETY: CH3: the sender's value.
            unsafe { out.copy_from_nonoverlapping(sender.data.cast(), 1) };
            ready::ready_inside(&section, sender.g);
            return Start::Ended(Outcome::Done);
        }
        if self.is_closed_locked() {
            return Start::Ended(Outcome::Closed);
        }
        Start::WouldBlock(state)
    }

    #[inline(never)]
    unsafe fn wait_recv(
        &self,
        mut state: SpinGuard<'_, State<T>>,
        me: GRef,
        out: *mut T,
        until: Until<'_>,
    ) -> Outcome {
        let wait = Wait::new(me);
        let node = Node::single(&wait, out.cast(), until);
        // SAFETY: `end` unlinks it if it was not popped; both are on this frame until then.
        let outcome = unsafe {
            state.receivers.push_back(&node);
            self.receivers_wait.store(true, Ordering::Relaxed); // a hint
            park_telling(&self.state, state, &wait, until, WaitReason::ChanRecv)
        };
        self.end(outcome, &node, |state| &mut state.receivers)
    }

    /// After a wait: unlinks the node of one that nobody served, and translates.
    #[inline]
    fn end(
        &self,
        outcome: usize,
        node: &Node,
        queue: impl FnOnce(&mut State<T>) -> &mut WaitQueue,
    ) -> Outcome {
        match outcome {
            OUTCOME_SERVED => Outcome::Done,
            TIMED_OUT | CANCELLED => {
                queue(&mut self.state.lock()).remove(node);
                if outcome == TIMED_OUT { Outcome::NotNow } else { Outcome::Cancelled }
            }
            _ => Outcome::Closed,
        }
    }

    /// Closes the channel and wakes everybody; true if it was open.
    pub(super) fn close(&self) -> bool {
        {
            let _state = self.state.lock();
            if self.is_closed_locked() {
                return false;
            }
            self.closed.store(true, Ordering::Release); // E1
        }
        wait::wake_all(&self.state, |state| {
            let receiver = state.receivers.pop_claimed(OTHER);
            let waiter = receiver.or_else(|| state.senders.pop_claimed(OTHER));
            waiter.or_else(|| state.watchers.pop_claimed(SERVED))
        });
        true
    }

    /// Closes the channel, which nobody receives from any more, and takes what is in it. The
    /// caller drops that, when it has nothing else to do: destructors may panic.
    pub(super) fn close_and_drain(&self) -> Buffer<T> {
        self.close();
        let mut state = self.state.lock();
        self.len.store(0, Ordering::Release); // E2
        std::mem::replace(&mut state.buffer, Buffer::new())
    }
}

/// Moves a value through `send`-like operations: `Ok` if it was given away.
#[inline]
pub(super) fn give<T>(value: T, send: impl FnOnce(*mut T) -> Outcome) -> Result<(), (T, Outcome)> {
    let mut value = ManuallyDrop::new(value);
    match send(&raw mut *value) {
        Outcome::Done => Ok(()),
        outcome => Err((ManuallyDrop::into_inner(value), outcome)),
    }
}

/// Moves a value out of `recv`-like operations.
#[inline]
pub(super) fn take<T>(recv: impl FnOnce(*mut T) -> Outcome) -> Result<T, Outcome> {
    let mut slot = MaybeUninit::uninit();
    match recv(slot.as_mut_ptr()) {
        // SAFETY: `Done` means that a value was moved there.
        Outcome::Done => Ok(unsafe { slot.assume_init() }),
        outcome => Err(outcome),
    }
}
