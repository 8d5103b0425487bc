//! Job: the intrusive FIFO of those who wait for one direction of one descriptor.
//! Not here: when to wait and when to wake (`gate`).
//! Invariants
//!   WQ1  Links and the `queued` flag of a node are touched only under the lock of the gate whose
//!        queue it is on, or by its owner while it is on none.
//!   WQ2  A queued node is alive and does not move (the contract of `enqueue`).
//!   WQ3  A node's `queued` is true exactly while it is linked; its neighbours are queued nodes of
//!        the same queue or null.

use std::ptr;

use crate::sync::UnsafeCell;

/// The place of one waiter in a queue. Lives where the waiter does, typically on its stack, and
/// costs no allocation.
#[derive(Debug)]
pub struct WaitNode {
    waiter: usize,
    links: UnsafeCell<Links>,
}

#[derive(Debug)]
struct Links {
    prev: *const WaitNode,
    next: *const WaitNode,
    queued: bool,
}

impl WaitNode {
    /// A node for `waiter`, a value that only the [`Sink`](crate::Sink) interprets.
    #[must_use]
    pub fn new(waiter: usize) -> WaitNode {
        let links = Links { prev: ptr::null(), next: ptr::null(), queued: false };
        WaitNode { waiter, links: UnsafeCell::new(links) }
    }

    /// # Safety
    /// The caller holds the lock of the gate that the node is used with (WQ1).
    unsafe fn links<R>(&self, f: impl FnOnce(&mut Links) -> R) -> R {
        // SAFETY: exclusive by WQ1; no `f` of this file reaches the same node again.
        self.links.with_mut(|links| f(unsafe { &mut *links }))
    }
}

/// A FIFO of nodes.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    head: *const WaitNode,
    tail: *const WaitNode,
}

// SAFETY: the nodes are touched only under the lock around the queue (WQ1).
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue { head: ptr::null(), tail: ptr::null() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Appends `node`.
    ///
    /// # Safety
    /// The lock is held; `node` is on no queue and stays alive and in place until it is popped or
    /// unlinked (WQ2).
    pub(crate) unsafe fn push(&mut self, node: &WaitNode) {
        let prev = self.tail;
        // SAFETY: the lock is held; `prev` is null or queued, thus alive (WQ2, WQ3).
        unsafe {
            node.links(|links| {
                debug_assert!(!links.queued, "a wait node is queued twice");
                *links = Links { prev, next: ptr::null(), queued: true };
            });
            match prev.as_ref() {
                Some(prev) => prev.links(|links| links.next = node),
                None => self.head = node,
            }
        }
        self.tail = node;
    }

    /// Takes the oldest waiter off. Its node is not touched any more once this returns.
    ///
    /// # Safety
    /// The lock is held.
    pub(crate) unsafe fn pop(&mut self) -> Option<usize> {
        // SAFETY: null or queued, thus alive (WQ2, WQ3); the lock is held.
        unsafe {
            let node = self.head.as_ref()?;
            self.unlink(node);
            Some(node.waiter)
        }
    }

    /// Takes `node` off if it is queued, and says whether it was.
    ///
    /// # Safety
    /// The lock is held; `node` is on this queue or on none.
    pub(crate) unsafe fn unlink(&mut self, node: &WaitNode) -> bool {
        // SAFETY: the lock is held; the neighbours are null or queued, thus alive (WQ2, WQ3).
        unsafe {
            let Some((prev, next)) = node.links(|links| {
                std::mem::take(&mut links.queued).then_some((links.prev, links.next))
            }) else {
                return false;
            };
            match prev.as_ref() {
                Some(prev) => prev.links(|links| links.next = next),
                None => self.head = next,
            }
            match next.as_ref() {
                Some(next) => next.links(|links| links.prev = prev),
                None => self.tail = prev,
            }
        }
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drain(queue: &mut WaitQueue) -> Vec<usize> {
        // SAFETY: one thread; the nodes outlive the queue.
        std::iter::from_fn(|| unsafe { queue.pop() }).collect()
    }

    #[test]
    fn first_in_first_out_and_unlink_anywhere() {
        for gone in 0..3 {
            let nodes = [0, 1, 2].map(WaitNode::new);
            let mut queue = WaitQueue::new();
            // SAFETY: one thread; the nodes outlive the queue.
            unsafe {
                nodes.iter().for_each(|node| queue.push(node));
                assert!(queue.unlink(&nodes[gone]));
                assert!(!queue.unlink(&nodes[gone]), "unlinked twice");
                queue.push(&nodes[gone]);
            }
            let mut expected: Vec<_> = (0..3).filter(|&i| i != gone).collect();
            expected.push(gone);
            assert_eq!(drain(&mut queue), expected);
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn unlinking_the_only_node_empties_the_queue() {
        let node = WaitNode::new(7);
        let mut queue = WaitQueue::new();
        // SAFETY: one thread; the node outlives the queue.
        unsafe {
            queue.push(&node);
            assert!(queue.unlink(&node));
            assert!(queue.is_empty());
            queue.push(&node);
        }
        assert_eq!(drain(&mut queue), [7]);
    }
}
