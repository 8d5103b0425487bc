//! Job: one channel: its lock, its buffer and its waiters; what sending, receiving and closing do.
//! Layer: L3 (blocking)
//! Not here: handles (`sender`, `receiver`) and their count (`share`), the buffer's memory
//!   (`buffer`).
//! Invariants
//!   CH1  Receivers wait only while the buffer is empty, senders only while it is full, nobody once
//!        the channel is closed (but `close` may not have reached everybody yet).
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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::buffer::{Buffer, Ring};
use crate::sched::claim::{CANCELLED, TIMED_OUT, Wait};
use crate::sched::g::{GRef, WaitReason};
use crate::sched::{park, ready};
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::wait::{self, Node, OTHER, OUTCOME_SERVED, SERVED, Until, WaitQueue};

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
    WouldBlock(SpinGuard<'a, State<T>>),
}

struct State<T> {
    receivers: WaitQueue,
    senders: WaitQueue,
    buffer: Buffer<T>,
}

/// See the module.
pub(super) struct Channel<T> {
    state: SpinLock<State<T>>,
    /// Written under the lock.
    closed: AtomicBool,
    /// Written under the lock (CH4).
    len: AtomicUsize,
    capacity: usize,
}

impl<T> Channel<T> {
    pub(super) const fn new(capacity: usize) -> Channel<T> {
        let (receivers, senders) = (WaitQueue::new(), WaitQueue::new());
        let state = State { receivers, senders, buffer: Buffer::new() };
        Channel {
            state: SpinLock::new(state),
            closed: AtomicBool::new(false),
            len: AtomicUsize::new(0),
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
            Start::WouldBlock(_) => Outcome::NotNow,
        }
    }

    #[inline]
    unsafe fn start_send(&self, value: *const T) -> Start<'_, T> {
        loop {
            let mut state = self.state.lock();
            if self.closed.load(Ordering::Relaxed) {
                return Start::Ended(Outcome::Closed); // written under the lock
            }
            if let Some(receiver) = state.receivers.pop_claimed(SERVED) {
                drop(state); // CH1: the buffer is empty, so this value overtakes none
                // SAFETY: CH3: the receiver's slot takes one value.
                unsafe { receiver.data.cast::<T>().copy_from_nonoverlapping(value, 1) };
                ready::ready(receiver.g);
                return Start::Ended(Outcome::Done);
            }
            if state.buffer.len() == self.capacity {
                return Start::WouldBlock(state);
            }
            // SAFETY: the caller's value, given away as `Done`.
            if unsafe { state.buffer.push(value) } {
                self.len.store(state.buffer.len(), Ordering::Release); // E2
                return Start::Ended(Outcome::Done);
            }
            self.grow(state);
        }
    }

    /// Adds a ring to the buffer, made while the lock is free (CH2).
    #[cold]
    fn grow(&self, state: SpinGuard<'_, State<T>>) {
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
            wait::park_in(&self.state, state, &wait, until, WaitReason::ChanSend)
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
                Start::WouldBlock(state) => match me.or_else(wait::current_goroutine) {
                    // SAFETY: as above.
                    Some(g) => return unsafe { self.wait_recv(state, g, out, until) },
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
        match unsafe { self.start_recv(out) } {
            Start::Ended(outcome) => outcome,
            Start::WouldBlock(_) => Outcome::NotNow,
        }
    }

    #[inline]
    unsafe fn start_recv(&self, out: *mut T) -> Start<'_, T> {
        let mut state = self.state.lock();
        if state.buffer.len() != 0 {
            // SAFETY: not empty; the caller's room.
            let spent = unsafe { state.buffer.pop(out) };
            let sender = state.senders.pop_claimed(SERVED);
            if let Some(sender) = &sender {
                // SAFETY: CH3: the sender's value, moved behind all others.
                let moved = unsafe { state.buffer.push(sender.data.cast()) };
                debug_assert!(moved, "BF2: a full buffer has room after a pop");
            }
            self.len.store(state.buffer.len(), Ordering::Release); // E2
            drop(state);
            drop(spent);
            if let Some(sender) = sender {
                ready::ready(sender.g);
            }
            return Start::Ended(Outcome::Done);
        }
        if let Some(sender) = state.senders.pop_claimed(SERVED) {
            drop(state); // CH1: empty and yet full: there is no buffer, only this value
            // SAFETY: CH3: the sender's value.
            unsafe { out.copy_from_nonoverlapping(sender.data.cast(), 1) };
            ready::ready(sender.g);
            return Start::Ended(Outcome::Done);
        }
        if self.closed.load(Ordering::Relaxed) {
            return Start::Ended(Outcome::Closed); // written under the lock
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
            wait::park_in(&self.state, state, &wait, until, WaitReason::ChanRecv)
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
            if self.closed.load(Ordering::Relaxed) {
                return false; // written under the lock
            }
            self.closed.store(true, Ordering::Release); // E1
        }
        wait::wake_all(&self.state, |state| {
            let receiver = state.receivers.pop_claimed(OTHER);
            receiver.or_else(|| state.senders.pop_claimed(OTHER))
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
