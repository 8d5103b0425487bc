//! Job: FIFO queues of waiters, and waking many at once.
//! Layer: L3 (blocking)
//! Not here: parking (`wait`), the claim word (`sched::claim`), what anybody waits for (`chan`,
//!   `sync`).
//! Invariants
//!   WQ1  A queue, and the links of the nodes in it, are touched only under the lock that guards
//!        the queue.
//!   WQ2  A node lives on its waiter's stack and dies unlinked: popped by a waker, or removed by
//!        the waiter under the lock if something else (a deadline, another node) ended the wait.
//!   WQ3  Who popped a node with its claim owns the waiter until `ready`: it may read and write
//!        what `data` points to, also after unlocking, because the waiter is still parked. The
//!        node itself is not touched again.
//!   WQ4  A sole wait has one node and nothing else that ends it: nobody contests its claim.
//!
//! One wait may have nodes in several queues, each with a token of its own; the claim decides which
//! of them ended it.

use std::cell::Cell;
use std::ptr;

use crate::sched::claim::{FIRST_TOKEN, OPEN, Wait};
use crate::sched::g::GRef;
use crate::sched::list::GList;
use crate::sched::ready;
use crate::sys::lock::SpinLock;

/// How a waker ended a wait: with what the waiter waited for ...
pub(crate) const SERVED: usize = 0;
/// ... or in the other way that the queue's owner knows (a close, a hand-off).
pub(crate) const OTHER: usize = 1;

/// Waiters taken out per critical section by [`wake_all`].
const BATCH: usize = 128;

/// One place in one queue for one wait.
pub(crate) struct Node {
    wait: *const Wait,
    data: *mut (),
    /// Even; `+ OTHER` for that end.
    token: usize,
    sole: bool,
    late: bool,
    linked: Cell<bool>,
    prev: Cell<*const Node>,
    next: Cell<*const Node>,
}

impl Node {
    /// A node that ends `wait` with `token`, or with `token + OTHER`. `data` is the queue owner's:
    /// where a value is or goes, an epoch. `sole`: nothing else can end the wait (WQ4).
    #[inline]
    pub(crate) fn new(wait: &Wait, data: *mut (), token: usize, sole: bool) -> Node {
        debug_assert_eq!(token & OTHER, 0);
        Node {
            wait,
            data,
            token,
            sole,
            late: false,
            linked: Cell::new(false),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
        }
    }

    /// Marks a waiter that has its part of the exchange only after it was woken; what that means
    /// for its waker is the queue owner's business.
    pub(crate) fn late(self) -> Node {
        Node { late: true, ..self }
    }

    /// How its wait ends if it is claimed here, or `+ OTHER`.
    #[inline]
    pub(crate) fn token(&self) -> usize {
        self.token
    }

    /// The claimed waiter of this node, which was popped.
    #[inline]
    fn reserved(&self) -> Reserved {
        Reserved { wait: self.wait, data: self.data, token: self.token }
    }
}

/// A waiter whose claim was won: the winner owes it a `ready` (CL1 of `claim`, WQ3).
pub(crate) struct Claimed {
    pub(crate) g: GRef,
    pub(crate) data: *mut (),
    /// See [`Node::late`].
    pub(crate) late: bool,
}

/// A waiter whose claim was won with `SERVED`, by somebody who cannot serve it at once: it stays
/// parked until `serve` or `send_back`.
pub(crate) struct Reserved {
    wait: *const Wait,
    pub(crate) data: *mut (),
    token: usize,
}

impl Reserved {
    /// A waiter that reserves itself, for somebody who will serve it: `wait` is in no queue.
    ///
    /// # Safety
    /// `wait` stays where it is until it was made ready.
    pub(crate) unsafe fn by_itself(wait: &Wait, data: *mut ()) -> Reserved {
        wait.claim_sole(FIRST_TOKEN + SERVED);
        Reserved { wait, data, token: FIRST_TOKEN }
    }

    /// Readies the waiter, which has got what it waits for.
    ///
    /// # Safety
    /// The owner of the queue has moved what it moves.
    pub(crate) unsafe fn serve(self) {
        // SAFETY: parked until now, so its frame is alive (WQ3).
        ready::ready(unsafe { &*self.wait }.g());
    }

    /// Readies the waiter, which gets nothing: its wait ends as `OTHER`.
    pub(crate) fn send_back(self) {
        // SAFETY: as in `serve`.
        let wait = unsafe { &*self.wait };
        wait.amend(self.token + OTHER);
        ready::ready(wait.g());
    }
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
        wanted: impl FnMut(*mut ()) -> bool,
    ) -> Option<Claimed> {
        self.pop_if(end, wanted).map(|(g, node)| Claimed { g, data: node.data, late: node.late })
    }

    /// As `pop_claimed`, for a waker that serves later.
    pub(crate) fn pop_reserved(&mut self) -> Option<Reserved> {
        self.pop_if(SERVED, |_| true).map(|(_, node)| node.reserved())
    }

    /// A popped node, whose waiter is parked and ours (WQ3).
    #[inline]
    fn pop_if(
        &mut self,
        end: usize,
        mut wanted: impl FnMut(*mut ()) -> bool,
    ) -> Option<(GRef, &Node)> {
        loop {
            // SAFETY: null or a linked node, alive (WQ2).
            let node = unsafe { self.head.as_ref() }.filter(|node| wanted(node.data))?;
            self.unlink(node);
            // SAFETY: the wait outlives its linked nodes, and its waiter must take our lock or be
            // made ready by us before either dies (WQ2, WQ3).
            let wait = unsafe { &*node.wait };
            if node.sole {
                // WQ4: there is nobody to lose to.
                wait.claim_sole(node.token + end);
                return Some((wait.g(), node));
            }
            if wait.try_claim(node.token + end) {
                return Some((wait.g(), node));
            }
        }
    }

    /// Whether there is a waiter whose wait nothing has ended yet.
    pub(crate) fn has_open(&self) -> bool {
        let mut at = self.head;
        // SAFETY: null or a linked node, alive (WQ2), and so is its wait.
        while let Some(node) = unsafe { at.as_ref() } {
            // SAFETY: as above.
            if unsafe { &*node.wait }.outcome() == OPEN {
                return true;
            }
            at = node.next.get();
        }
        false
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

/// Readies everybody that `pop` takes out, until it returns `None`; the lock is released after
/// every few, so that 200,000 waiters do not keep others spinning. Nobody is readied before all are
/// out: those who run first would otherwise have their turns before a caller whose slice ends.
pub(crate) fn wake_all<T>(lock: &SpinLock<T>, mut pop: impl FnMut(&mut T) -> Option<Claimed>) {
    let mut all = GList::new();
    loop {
        let before = all.len();
        {
            let mut state = lock.lock();
            while all.len() - before < BATCH
                && let Some(waiter) = pop(&mut state)
            {
                all.push(waiter.g);
            }
        }
        if all.len() - before < BATCH {
            break;
        }
    }
    ready::ready_list(&mut all);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sched::claim::TIMED_OUT;
    use crate::sched::park;

    fn data(n: usize) -> *mut () {
        ptr::without_provenance_mut(n)
    }

    #[test]
    fn waiters_leave_in_order_and_lost_claims_are_skipped() {
        let me = park::current();
        let waits: [Wait; 4] = std::array::from_fn(|_| Wait::new(me));
        let nodes: [Node; 4] =
            std::array::from_fn(|i| Node::new(&waits[i], data(i), FIRST_TOKEN, i == 3));
        let mut queue = WaitQueue::new();
        for node in &nodes {
            // SAFETY: outlives the queue's use of it.
            unsafe { queue.push_back(node) };
        }
        assert!(waits[1].try_claim(TIMED_OUT));
        assert_eq!(queue.front(), Some(data(0)));
        assert!(queue.has_open());
        let order: Vec<_> =
            std::iter::from_fn(|| queue.pop_claimed(OTHER)).map(|w| w.data).collect();
        assert_eq!(order, [data(0), data(2), data(3)]);
        assert!(queue.is_empty());
        assert_eq!(waits[1].outcome(), TIMED_OUT);
        assert_eq!(waits[3].outcome(), FIRST_TOKEN + OTHER);
        queue.remove(&nodes[1]); // popped long ago: nothing to do
    }

    #[test]
    fn a_wait_that_was_ended_elsewhere_is_not_open() {
        let wait = Wait::new(park::current());
        let node = Node::new(&wait, data(0), FIRST_TOKEN, false);
        let mut queue = WaitQueue::new();
        // SAFETY: outlives the queue's use of it.
        unsafe { queue.push_back(&node) };
        assert!(wait.try_claim(TIMED_OUT));
        assert!(!queue.is_empty() && !queue.has_open());
        queue.remove(&node);
    }

    #[test]
    fn a_reservation_that_is_given_up_ends_the_other_way() {
        let waits: [Wait; 2] = std::array::from_fn(|_| Wait::new(park::current()));
        let node = Node::new(&waits[0], data(0), FIRST_TOKEN + 2, false);
        let mut queue = WaitQueue::new();
        // SAFETY: outlives the queue's use of it.
        unsafe { queue.push_back(&node) };
        let reserved = queue.pop_reserved().unwrap();
        assert_eq!(waits[0].outcome(), FIRST_TOKEN + 2 + SERVED);
        reserved.send_back();
        assert_eq!(waits[0].outcome(), FIRST_TOKEN + 2 + OTHER);
        // SAFETY: stays here; nothing is to be moved.
        unsafe { Reserved::by_itself(&waits[1], data(1)).serve() };
        assert_eq!(waits[1].outcome(), FIRST_TOKEN + SERVED);
    }

    #[test]
    fn removal_keeps_the_rest_linked() {
        let me = park::current();
        let waits: [Wait; 3] = std::array::from_fn(|_| Wait::new(me));
        for gone in 0..3 {
            let nodes: [Node; 3] =
                std::array::from_fn(|i| Node::new(&waits[i], data(i), FIRST_TOKEN, false));
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
