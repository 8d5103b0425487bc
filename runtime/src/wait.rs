//! Job: FIFO queues of waiters, parking a caller that is in one, and waking many at once.
//! Layer: L3 (blocking)
//! Not here: the claim word (`sched::claim`), what anybody waits for (`chan`, `sync`).
//! Invariants
//!   WQ1  A queue, and the links of the nodes in it, are touched only under the lock that guards
//!        the queue.
//!   WQ2  A node lives on its waiter's stack and dies unlinked: popped by a waker, or removed by
//!        the waiter under the lock if something else (a deadline, another node) ended the wait.
//!   WQ3  Who popped a node with its claim owns the waiter until `ready`: it may read and write
//!        what `data` points to, also after unlocking, because the waiter is still parked. The
//!        node itself is not touched again.
//!   WQ4  A sole wait has one node and no deadline: nobody contests its claim.
//!
//! One wait may have nodes in several queues, each with a token of its own; the claim decides which
//! of them ended it.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;

use crate::sched::claim::{FIRST_TOKEN, Wait};
use crate::sched::g::{GRef, WaitReason};
use crate::sched::list::GList;
use crate::sched::{park, ready};
use crate::sys::clock::{NEVER, Nanos};
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::sys::section;

/// How a waker ended a wait: with what the waiter waited for ...
pub(crate) const SERVED: usize = 0;
/// ... or in the other way that the queue's owner knows (a close, a hand-off).
pub(crate) const OTHER: usize = 1;

/// The outcome of a single wait that ended as `SERVED`.
pub(crate) const OUTCOME_SERVED: usize = FIRST_TOKEN + SERVED;
/// The outcome of a single wait that ended as `OTHER`.
pub(crate) const OUTCOME_OTHER: usize = FIRST_TOKEN + OTHER;

/// Waiters woken per critical section by [`wake_all`].
const BATCH: usize = 128;

/// One place in one queue for one wait.
pub(crate) struct Node {
    wait: *const Wait,
    data: *mut (),
    /// Even; `+ OTHER` for that end.
    token: usize,
    sole: bool,
    linked: Cell<bool>,
    prev: Cell<*const Node>,
    next: Cell<*const Node>,
}

impl Node {
    /// The only node of `wait`. `data` is the queue owner's: where a value is or goes, an epoch.
    #[inline]
    pub(crate) fn single(wait: &Wait, data: *mut (), deadline: Nanos) -> Node {
        Node {
            wait,
            data,
            token: FIRST_TOKEN,
            sole: deadline == NEVER,
            linked: Cell::new(false),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
        }
    }
}

/// A waiter whose claim was won: the winner owes it a `ready` (CL1 of `claim`, WQ3).
pub(crate) struct Claimed {
    pub(crate) g: GRef,
    pub(crate) data: *mut (),
}

/// First in, first out.
pub(crate) struct WaitQueue {
    head: *const Node,
    tail: *const Node,
}

// SAFETY: a queue goes with its lock; nodes are touched under that lock only (WQ1).
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue { head: ptr::null(), tail: ptr::null() }
    }

    /// # Safety
    /// The node is in no queue, stays where it is and dies unlinked (WQ2).
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, node: &Node) {
        debug_assert!(!node.linked.get());
        node.linked.set(true);
        node.prev.set(self.tail);
        node.next.set(ptr::null());
        // SAFETY: null or a linked node, alive (WQ2).
        match unsafe { self.tail.as_ref() } {
            Some(tail) => tail.next.set(node),
            None => self.head = node,
        }
        self.tail = node;
    }

    /// As `push_back`, before all others.
    ///
    /// # Safety
    /// As `push_back`.
    pub(crate) unsafe fn push_front(&mut self, node: &Node) {
        debug_assert!(!node.linked.get());
        node.linked.set(true);
        node.prev.set(ptr::null());
        node.next.set(self.head);
        // SAFETY: null or a linked node, alive (WQ2).
        match unsafe { self.head.as_ref() } {
            Some(head) => head.prev.set(node),
            None => self.tail = node,
        }
        self.head = node;
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// The `data` of the first waiter.
    pub(crate) fn front(&self) -> Option<*mut ()> {
        // SAFETY: null or a linked node, alive (WQ2).
        unsafe { self.head.as_ref() }.map(|node| node.data)
    }

    /// Takes the first waiter whose wait nothing else has ended, and ends it with `end`.
    #[inline]
    pub(crate) fn pop_claimed(&mut self, end: usize) -> Option<Claimed> {
        self.pop_claimed_if(end, |_| true)
    }

    /// As `pop_claimed`, up to the first waiter whose `data` says no.
    #[inline]
    pub(crate) fn pop_claimed_if(
        &mut self,
        end: usize,
        mut wanted: impl FnMut(*mut ()) -> bool,
    ) -> Option<Claimed> {
        loop {
            // SAFETY: null or a linked node, alive (WQ2).
            let node = unsafe { self.head.as_ref() }.filter(|node| wanted(node.data))?;
            self.unlink(node);
            // SAFETY: the wait outlives its linked nodes, and its waiter must take our lock or be
            // made ready by us before either dies (WQ2, WQ3).
            let wait = unsafe { &*node.wait };
            let claimed = Claimed { g: wait.g(), data: node.data };
            if node.sole {
                // WQ4: no deadline and no other queue, so there is nobody to lose to.
                wait.claim_sole(node.token + end);
                return Some(claimed);
            }
            if wait.try_claim(node.token + end) {
                return Some(claimed);
            }
        }
    }

    /// Takes `node` out, if a waker has not done so (WQ2).
    pub(crate) fn remove(&mut self, node: &Node) {
        if node.linked.get() {
            self.unlink(node);
        }
    }

    #[inline]
    fn unlink(&mut self, node: &Node) {
        node.linked.set(false);
        let (prev, next) = (node.prev.get(), node.next.get());
        // SAFETY: null or a linked node, alive (WQ2).
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => self.head = next,
        }
        // SAFETY: null or a linked node, alive (WQ2).
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(prev),
            None => self.tail = prev,
        }
    }
}

/// The calling goroutine; `None` on a plain thread, whose first wait makes it a header: that may
/// allocate, so it must be asked for (`park::current`) while no lock is held.
#[inline]
pub(crate) fn current_goroutine() -> Option<GRef> {
    park::goroutine()
}

/// Parks the caller, whose node is queued under `lock`, and unlocks; returns the outcome.
///
/// # Safety
/// `guard` is of `lock`. A node of `wait` is in a queue that `lock` guards, and whoever pops it
/// readies the waiter. After an outcome other than that of a pop the caller removes the node
/// under the lock (WQ2).
#[inline]
pub(crate) unsafe fn park_in<T>(
    lock: &SpinLock<T>,
    guard: SpinGuard<'_, T>,
    wait: &Wait,
    deadline: Nanos,
    reason: WaitReason,
) -> usize {
    let _held = ManuallyDrop::new(guard);
    let raw = lock.raw();
    // SAFETY: the lock is held, the guard forgotten; the commit runs once.
    let unlock = move || unsafe { raw.unlock() };
    let outcome = if deadline == NEVER {
        // SAFETY: the pop is followed by one `ready`, promised by the caller.
        unsafe { park::park(reason, unlock) };
        wait.outcome()
    } else {
        // SAFETY: as above; claims are made under `lock` (WQ1).
        unsafe { park::park_until(wait, deadline, reason, unlock) }
    };
    section::leave(); // that of the forgotten guard (LK3)
    outcome
}

/// Readies everybody that `pop` takes out, until it returns `None`; the lock is released after
/// every few, so that 200,000 waiters do not keep others spinning.
pub(crate) fn wake_all<T>(lock: &SpinLock<T>, mut pop: impl FnMut(&mut T) -> Option<Claimed>) {
    let mut batch = GList::new();
    loop {
        {
            let mut state = lock.lock();
            while batch.len() < BATCH
                && let Some(waiter) = pop(&mut state)
            {
                batch.push(waiter.g);
            }
        }
        let more = batch.len() == BATCH;
        ready::ready_list(&mut batch);
        if !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::claim::TIMED_OUT;
    use crate::sys::clock;

    fn data(n: usize) -> *mut () {
        ptr::without_provenance_mut(n)
    }

    #[test]
    fn waiters_leave_in_order_and_lost_claims_are_skipped() {
        let me = park::current();
        let waits: [Wait; 4] = std::array::from_fn(|_| Wait::new(me));
        let nodes: [Node; 4] = std::array::from_fn(|i| {
            Node::single(&waits[i], data(i), if i == 3 { NEVER } else { clock::now() })
        });
        let mut queue = WaitQueue::new();
        for node in &nodes {
            // SAFETY: outlives the queue's use of it.
            unsafe { queue.push_back(node) };
        }
        assert!(waits[1].try_claim(TIMED_OUT));
        assert_eq!(queue.front(), Some(data(0)));
        let order: Vec<_> =
            std::iter::from_fn(|| queue.pop_claimed(OTHER)).map(|w| w.data).collect();
        assert_eq!(order, [data(0), data(2), data(3)]);
        assert!(queue.is_empty());
        assert_eq!(waits[1].outcome(), TIMED_OUT);
        assert_eq!(waits[3].outcome(), OUTCOME_OTHER);
        queue.remove(&nodes[1]); // popped long ago: nothing to do
    }

    #[test]
    fn removal_keeps_the_rest_linked() {
        let me = park::current();
        let waits: [Wait; 3] = std::array::from_fn(|_| Wait::new(me));
        for gone in 0..3 {
            let nodes: [Node; 3] =
                std::array::from_fn(|i| Node::single(&waits[i], data(i), clock::now()));
            let mut queue = WaitQueue::new();
            // SAFETY: as above.
            unsafe {
                queue.push_back(&nodes[1]);
                queue.push_back(&nodes[2]);
                queue.push_front(&nodes[0]);
            }
            queue.remove(&nodes[gone]);
            let mut left = Vec::new();
            while let Some(first) = queue.front() {
                left.push(first.addr());
                queue.remove(&nodes[first.addr()]);
            }
            assert_eq!(left, (0..3).filter(|i| *i != gone).collect::<Vec<_>>());
        }
    }
}
