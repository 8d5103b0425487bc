//! Job: parking a caller that is in a queue of waiters, until it is served or its time is over.
//! Layer: L3 (blocking)
//! Not here: the queues (`wait::queue`), what anybody waits for (`chan`, `sync`).
//! Invariants
//!   WT1  Lock order: the lock of any queue, then that of a `Cancel`; nobody takes a queue's lock
//!        while holding a `Cancel`'s.

mod cancel;
#[cfg(all(test, loom))]
#[path = "wait/models.rs"]
mod models;
mod queue;

use std::mem::ManuallyDrop;
use std::time::Duration;

pub(crate) use cancel::Cancel;
pub(crate) use queue::{Claimed, Node, OTHER, Reserved, SERVED, WaitQueue, wake_all};

use crate::sched::claim::{FIRST_TOKEN, Wait};
use crate::sched::g::{GRef, WaitReason};
use crate::sched::park;
use crate::sys::clock::{self, NEVER, Nanos};
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::sys::section;

/// The outcome of a single wait that ended as `SERVED`.
pub(crate) const OUTCOME_SERVED: usize = FIRST_TOKEN + SERVED;
/// The outcome of a single wait that ended as `OTHER`.
pub(crate) const OUTCOME_OTHER: usize = FIRST_TOKEN + OTHER;

/// What ends a wait that nobody served.
#[derive(Clone, Copy)]
pub(crate) struct Until<'a> {
    pub(crate) deadline: Nanos,
    pub(crate) cancel: Option<&'a Cancel>,
}

impl Until<'_> {
    /// Nothing.
    pub(crate) const FOREVER: Until<'static> = Until::deadline(NEVER);

    /// A moment.
    pub(crate) const fn deadline(deadline: Nanos) -> Until<'static> {
        Until { deadline, cancel: None }
    }

    /// The moment `timeout` from now, if there is one.
    pub(crate) fn timeout(timeout: Duration) -> Until<'static> {
        Until::deadline(clock::after(timeout))
    }

    /// As `timeout`; `None`, which stands for not waiting at all, for no time.
    pub(crate) fn unless_zero(timeout: Duration) -> Option<Until<'static>> {
        (!timeout.is_zero()).then(|| Until::timeout(timeout))
    }

    /// The firing of `cancel`.
    pub(crate) const fn cancelled_by(cancel: &Cancel) -> Until<'_> {
        Until { deadline: NEVER, cancel: Some(cancel) }
    }

    #[inline]
    fn is_forever(self) -> bool {
        self.deadline == NEVER && self.cancel.is_none()
    }
}

impl Node {
    /// The node of a wait that is in one queue only. `data` is the queue owner's.
    #[inline]
    pub(crate) fn single(wait: &Wait, data: *mut (), until: Until<'_>) -> Node {
        Node::new(wait, data, FIRST_TOKEN, until.is_forever())
    }
}

/// The calling goroutine, for who holds a lock; `None` on a plain thread, whose first wait makes it a
/// header: that may allocate, so it must be asked for (`park::current`) while no lock is held.
#[inline]
pub(crate) fn current_goroutine() -> Option<GRef> {
    park::goroutine_inside()
}

/// Parks the caller, whose node is queued under `lock`, and unlocks; returns the outcome.
///
/// # Safety
/// `guard` is of `lock`. A node of `wait` is in a queue that `lock` guards, and whoever pops it
/// readies the waiter. After an outcome other than that of a pop (`TIMED_OUT`, `CANCELLED`) the
/// caller removes the node under the lock (WQ2 of `queue`).
#[inline]
pub(crate) unsafe fn park_in<T>(
    lock: &SpinLock<T>,
    guard: SpinGuard<'_, T>,
    wait: &Wait,
    until: Until<'_>,
    reason: WaitReason,
) -> usize {
    let _held = ManuallyDrop::new(guard);
    let raw = lock.raw();
    // SAFETY: the lock is held, the guard forgotten; `unlock` runs once. The rest is promised by
    // the caller. A guard is a section (LK3).
    let outcome = unsafe {
        let unlock = move || raw.unlock();
        if until.is_forever() {
            park::park_inside(reason, unlock);
            wait.outcome()
        } else {
            park_queued(wait, until, reason, unlock)
        }
    };
    section::leave(); // that of the forgotten guard (LK3)
    outcome
}

/// Parks the caller, whose nodes are queued under locks that `unlock` releases; returns the
/// outcome.
///
/// # Safety
/// All queues with a node of `wait` are locked, by the caller, until `unlock`; it runs once, maybe
/// after the caller's frame was left for another goroutine. The caller is in a section if it has
/// locked any. Else as [`park_in`].
#[inline]
pub(crate) unsafe fn park_queued(
    wait: &Wait,
    until: Until<'_>,
    reason: WaitReason,
    unlock: impl FnOnce(),
) -> usize {
    if let Some(cancel) = until.cancel {
        // SAFETY: promised by the caller.
        return unsafe { cancel::park_until(cancel, wait, until.deadline, reason, unlock) };
    }
    if until.deadline == NEVER {
        // SAFETY: the pop is followed by one `ready`, promised by the caller.
        unsafe { park::park(reason, unlock) };
        wait.outcome()
    } else {
        // SAFETY: as above; claims are made under locks that `unlock` releases (WQ1 of `queue`).
        unsafe { park::park_until(wait, until.deadline, reason, unlock) }
    }
}

/// Waits in no queue: until the moment, or until it is called off; returns the outcome.
pub(crate) fn pause(until: Until<'_>, reason: WaitReason) -> usize {
    let wait = Wait::new(park::current());
    // SAFETY: no queue is involved; `park_queued` takes care of the rest. Nobody ends a wait for
    // nothing, so it does not return.
    unsafe { park_queued(&wait, until, reason, || ()) }
}
