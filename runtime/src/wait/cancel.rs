//! Job: an event that happens once and ends every wait that looks at it: the core of a context.
//! Layer: L3 (blocking)
//! Not here: why it fires, and what of (`context`).
//! Invariants
//!   CN1  Nobody is queued after it has fired: `fired` is set, and looked at, under the lock.
//! Orderings
//!   E1  fire: fired.store(Release) -> is_fired: fired.load(Acquire)   what led to it is seen

use std::mem::ManuallyDrop;
use std::ptr;

use super::queue::{Node, SERVED, WaitQueue, wake_all};
use crate::sched::claim::{CANCELLED, Wait};
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::sys::clock::Nanos;
use crate::sys::lock::SpinLock;
use crate::sys::section::{self, Section};
use crate::sys::shim::{AtomicBool, Ordering};

/// See the module.
pub(crate) struct Cancel {
    lock: SpinLock<WaitQueue>,
    fired: AtomicBool,
}

impl Cancel {
    pub(crate) fn new() -> Cancel {
        Cancel { lock: SpinLock::new(WaitQueue::new()), fired: AtomicBool::new(false) }
    }

    #[inline]
    pub(crate) fn is_fired(&self) -> bool {
        self.fired.load(Ordering::Acquire) // E1
    }

    /// Nobody has left a node here.
    #[cfg(all(test, loom))]
    pub(super) fn is_unawaited(&self) -> bool {
        self.lock.lock().is_empty()
    }

    /// Ends the waits of now and of later; true for the first call. The caller keeps the `Cancel`
    /// alive until this returns.
    pub(crate) fn fire(&self) -> bool {
        {
            let _queue = self.lock.lock();
            if self.fired.load(Ordering::Relaxed) {
                return false; // written under the lock (CN1)
            }
            self.fired.store(true, Ordering::Release); // E1
        }
        wake_all(&self.lock, |queue| queue.pop_claimed(SERVED));
        true
    }
}

/// Parks the caller until its wait is ended by a node that it has queued, by `deadline`, or by
/// `cancel`, for which it gets a second node here.
///
/// # Safety
/// As `park_queued` of the parent.
#[inline(never)]
pub(super) unsafe fn park_until(
    cancel: &Cancel,
    wait: &Wait,
    deadline: Nanos,
    reason: WaitReason,
    unlock: impl FnOnce(),
) -> usize {
    let node = Node::new(wait, ptr::null_mut(), CANCELLED, false);
    let _section = Section::enter(); // `unlock` may run here, as commits do
    let mut queue = cancel.lock.lock(); // WT1
    if cancel.fired.load(Ordering::Relaxed) {
        drop(queue); // written under the lock (CN1)
        // All other nodes are under locks of ours: there is nobody to lose to.
        let claimed = wait.try_claim(CANCELLED);
        debug_assert!(claimed);
        unlock();
        return CANCELLED;
    }
    // SAFETY: on this frame until it is unlinked below.
    unsafe { queue.push_back(&node) };
    let _held = ManuallyDrop::new(queue);
    let raw = cancel.lock.raw();
    // SAFETY: the lock is held, its guard forgotten; commits run once. Claims are made under the
    // locks that the commit releases, and under the timer's; who pops a node readies us.
    let outcome = unsafe {
        park::park_until(wait, deadline, reason, move || {
            raw.unlock();
            unlock();
        })
    };
    section::leave(); // that of the forgotten guard (LK3)
    cancel.lock.lock().remove(&node);
    outcome
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sched::claim::{FIRST_TOKEN, TIMED_OUT};
    use crate::sys::clock::{self, NEVER};

    /// One wait of a plain thread in `queue` and in `cancel`.
    fn wait(queue: &SpinLock<WaitQueue>, cancel: &Cancel, deadline: Nanos) -> usize {
        let wait = Wait::new(park::current());
        let node = Node::new(&wait, ptr::null_mut(), FIRST_TOKEN, false);
        let mut guard = queue.lock();
        // SAFETY: on this frame until it is removed below, where `guard` is released.
        let outcome = unsafe {
            guard.push_back(&node);
            let _held = ManuallyDrop::new(guard);
            let raw = queue.raw();
            park_until(cancel, &wait, deadline, WaitReason::Park, move || raw.unlock())
        };
        section::leave(); // that of the forgotten guard
        queue.lock().remove(&node);
        assert!(cancel.lock.lock().is_empty() && queue.lock().is_empty());
        outcome
    }

    #[test]
    fn fires_once_and_for_good() {
        let (queue, cancel) = (SpinLock::new(WaitQueue::new()), Cancel::new());
        assert!(!cancel.is_fired());
        assert!(cancel.fire());
        assert!(!cancel.fire());
        assert!(cancel.is_fired());
        assert_eq!(wait(&queue, &cancel, NEVER), CANCELLED);
    }

    #[test]
    fn each_of_three_events_ends_a_wait() {
        let (queue, cancel) = (SpinLock::new(WaitQueue::new()), Cancel::new());
        assert_eq!(wait(&queue, &cancel, clock::now()), TIMED_OUT);
        for fires in [false, true] {
            std::thread::scope(|s| {
                let waiter = s.spawn(|| wait(&queue, &cancel, NEVER));
                while queue.lock().is_empty() {
                    std::thread::yield_now();
                }
                if fires {
                    assert!(cancel.fire());
                } else {
                    wake_all(&queue, |queue| queue.pop_claimed(SERVED));
                }
                let outcome = waiter.join().unwrap();
                assert_eq!(outcome, if fires { CANCELLED } else { FIRST_TOKEN });
            });
        }
    }
}
