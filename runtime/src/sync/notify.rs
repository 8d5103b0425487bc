//! Job: `Notify`: telling one waiter, or all who wait now, that something has happened.
//! Layer: L3 (blocking)
//! Invariants
//!   NF1  A notification for one goes to a waiter or is kept as the permit; a wait that was called
//!        off has taken neither.
//!   NF2  `epoch` counts the notifications for all. A waiter's `data` is the epoch in which it came:
//!        of an earlier one, it is owed a wake-up by who ended that, or by who comes across it.
//! Source: tokio's Notify (one permit; waiters of now).

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::Duration;

use super::until;
use crate::context::{Context, Error};
use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::{park, ready};
use crate::sys::lock::SpinLock;
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// Wake-ups without a value: the part of a condition variable that needs no mutex.
///
/// [`notify_one`](Notify::notify_one) wakes the waiter that came first, or, if nobody waits, is kept
/// for the next one: at most one is kept. [`notify_waiters`](Notify::notify_waiters) wakes all who
/// wait now and is kept for nobody; who wants to check something before waiting and yet miss no such
/// call takes a [`Listener`] first.
///
/// Waiting parks a goroutine and blocks a plain thread. Nobody wakes without having been notified.
///
/// ```
/// use gusty::{go, sync::Notify};
/// use std::sync::Arc;
///
/// let ready = Arc::new(Notify::new());
/// let theirs = ready.clone();
/// go!(move || theirs.notify_one());
/// ready.notified();
/// ```
pub struct Notify {
    state: SpinLock<State>,
}

struct State {
    permit: bool,
    epoch: usize,
    queue: WaitQueue,
}

/// Whether `epoch` has ended at `now`; epochs wrap.
fn has_ended(epoch: usize, now: usize) -> bool {
    now.wrapping_sub(epoch).cast_signed() > 0
}

// No operation leaves the state in between when it panics.
impl UnwindSafe for Notify {}
impl RefUnwindSafe for Notify {}

impl Notify {
    /// With no notification kept.
    pub const fn new() -> Notify {
        let queue = WaitQueue::new();
        Notify { state: SpinLock::new(State { permit: false, epoch: 0, queue }) }
    }

    /// Wakes the waiter that came first, or lets the next wait return at once. Never blocks.
    ///
    /// ```
    /// let notify = gusty::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notify_one(); // one is kept
    /// notify.notified();
    /// assert!(!notify.notified_timeout(std::time::Duration::from_millis(1)));
    /// ```
    pub fn notify_one(&self) {
        loop {
            {
                let mut state = self.state.lock();
                let now = state.epoch;
                let others = state.queue.front().is_some_and(|came| has_ended(came.addr(), now));
                if !others {
                    let waiter = state.queue.pop_claimed(SERVED);
                    state.permit |= waiter.is_none(); // NF1
                    drop(state);
                    if let Some(waiter) = waiter {
                        ready::ready(waiter.g);
                    }
                    return;
                }
            }
            self.wake_ended(); // NF2: those are not ours
        }
    }

    /// Wakes all who wait now. Never blocks.
    ///
    /// ```
    /// let notify = gusty::sync::Notify::new();
    /// notify.notify_waiters(); // nobody waits: no effect
    /// assert!(!notify.notified_timeout(std::time::Duration::from_millis(1)));
    /// ```
    pub fn notify_waiters(&self) {
        let nobody = {
            let mut state = self.state.lock();
            state.epoch = state.epoch.wrapping_add(1);
            state.queue.is_empty()
        };
        if !nobody {
            self.wake_ended();
        }
    }

    #[cold]
    fn wake_ended(&self) {
        wait::wake_all(&self.state, |state| {
            let now = state.epoch;
            state.queue.pop_claimed_if(SERVED, |came| has_ended(came.addr(), now))
        });
    }

    /// Waits to be notified.
    pub fn notified(&self) {
        self.wait(None, Until::FOREVER);
    }

    /// As [`notified`](Notify::notified), for at most `timeout`; false if that passed first.
    pub fn notified_timeout(&self, timeout: Duration) -> bool {
        self.wait(None, Until::timeout(timeout))
    }

    /// As [`notified`](Notify::notified), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first.
    pub fn notified_ctx(&self, ctx: &Context) -> Result<(), Error> {
        until::served(ctx, |until| self.wait(None, until))
    }

    /// Begins to listen: a [`notify_waiters`](Notify::notify_waiters) from now on ends the
    /// listener's wait, also if it comes before that. Never blocks.
    ///
    /// ```
    /// use gusty::{go, sync::Notify};
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    ///
    /// let shared = Arc::new((Notify::new(), AtomicBool::new(false)));
    /// let theirs = shared.clone();
    /// go!(move || {
    ///     theirs.1.store(true, Ordering::Release);
    ///     theirs.0.notify_waiters();
    /// });
    /// loop {
    ///     let listener = shared.0.listen(); // first listen,
    ///     if shared.1.load(Ordering::Acquire) {
    ///         break; // then look,
    ///     }
    ///     listener.wait(); // then wait: nothing is missed in between
    /// }
    /// ```
    pub fn listen(&self) -> Listener<'_> {
        Listener { notify: self, since: self.state.lock().epoch }
    }

    fn wait(&self, since: Option<usize>, until: Until<'_>) -> bool {
        let wait = Wait::new(park::current());
        let mut state = self.state.lock();
        let missed = since.is_some_and(|since| since != state.epoch);
        if missed || std::mem::take(&mut state.permit) {
            return true;
        }
        let node = Node::single(&wait, ptr::without_provenance_mut(state.epoch), until);
        // SAFETY: whoever pops it readies us, or it is removed below; on this frame until then.
        let outcome = unsafe {
            state.queue.push_back(&node);
            wait::park_in(&self.state, state, &wait, until, WaitReason::Notify)
        };
        if outcome != OUTCOME_SERVED {
            self.state.lock().queue.remove(&node);
        }
        outcome == OUTCOME_SERVED
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permit = self.state.lock().permit;
        f.debug_struct("Notify").field("permit", &permit).finish_non_exhaustive()
    }
}

/// Somebody who began to listen to a [`Notify`] before looking at what it tells of; made by
/// [`Notify::listen`].
#[derive(Debug)]
#[must_use = "a listener does nothing until it waits"]
pub struct Listener<'a> {
    notify: &'a Notify,
    since: usize,
}

impl Listener<'_> {
    /// Waits to be notified: by [`notify_waiters`](Notify::notify_waiters) since the listener was
    /// made, or by [`notify_one`](Notify::notify_one).
    pub fn wait(self) {
        self.notify.wait(Some(self.since), Until::FOREVER);
    }

    /// As [`wait`](Listener::wait), for at most `timeout`; false if that passed first.
    pub fn wait_timeout(self, timeout: Duration) -> bool {
        self.notify.wait(Some(self.since), Until::timeout(timeout))
    }

    /// As [`wait`](Listener::wait), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first.
    pub fn wait_ctx(self, ctx: &Context) -> Result<(), Error> {
        until::served(ctx, |until| self.notify.wait(Some(self.since), until))
    }
}
