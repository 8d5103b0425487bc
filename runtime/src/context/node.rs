//! Job: a context that can end: the tree of them, and how an end spreads through it.
//! Layer: L3 (blocking)
//! Not here: values (`values`), what users hold (`handle`), the channel of `done` (`done`).
//! Invariants
//!   CX1  A node has ended once `reason` is set. That happens once, under its lock; whoever sets it
//!        takes all children out under the same hold, and none is added after.
//!   CX2  Ended in this order: `reason`, the channel of `done`, waits. So who was woken, or found
//!        the channel closed, finds an error, and who finds an error finds the channel closed.
//!   CX3  A node holds its parent, the parent has a weak reference in a slot; the node gives the
//!        slot back when it has settled or dies, whichever is first.
//!   CX4  Locks: a node's is taken alone, and nothing is allocated, dropped or woken under it.
//!        Ending a tree and freeing one go without recursion: trees may be deep.
//!   CX5  Whoever ends a node settles it once all below have ended, and waits before that for those
//!        below that others are ending. Each waits for somebody who began further down, so there
//!        are no circles; no code of users runs between the end and the settling.

use std::any::Any;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use super::error::Reason;
use super::slots::{Room, Slots};
use crate::sched::alarm::Alarm;
use crate::sched::dormant::Dormant;
use crate::sched::g::WaitReason;
use crate::sys::clock::Nanos;
use crate::sys::lock::SpinLock;
use crate::wait::{self, Cancel, Until};

/// What a node knows of the channel that `Context::done` gives out.
pub(super) trait Closes: Any + Send + Sync {
    fn close(&self);
    fn is_closed(&self) -> bool;
}

/// What ends with a node.
pub(super) enum Child {
    /// This one ends, too.
    Node(Weak<Node>),
    /// This one begins.
    Start(Dormant),
}

/// `slot` of a node that is in none.
pub(super) const NO_SLOT: usize = usize::MAX;

struct State {
    children: Slots<Child>,
    /// Of a node with a deadline of its own.
    alarm: Option<Alarm>,
}

/// What is left to do for a node that has ended.
struct Ended {
    children: Slots<Child>,
    alarm: Option<Alarm>,
}

/// See the module.
pub(super) struct Node {
    cancel: Cancel,
    /// Fires when this node and all below have ended (CX5).
    settled: Cancel,
    state: SpinLock<State>,
    /// CX1.
    reason: OnceLock<Reason>,
    /// Made when first asked for; set under the lock.
    done: OnceLock<Box<dyn Closes>>,
    deadline: Option<Instant>,
    parent: Option<Arc<Node>>,
    /// Where the parent has this node; under the parent's lock.
    slot: AtomicUsize,
}

impl Node {
    /// A node that ends with its parent; its deadline is for looking at only.
    pub(super) fn child(parent: Option<Arc<Node>>, deadline: Option<Instant>) -> Arc<Node> {
        let node = Arc::new(Node {
            cancel: Cancel::new(),
            settled: Cancel::new(),
            state: SpinLock::new(State { children: Slots::new(), alarm: None }),
            reason: OnceLock::new(),
            done: OnceLock::new(),
            deadline,
            parent,
            slot: AtomicUsize::new(NO_SLOT),
        });
        if let Some(parent) = &node.parent {
            let placed = parent.add(Child::Node(Arc::downgrade(&node)), &node.slot);
            if placed.is_err() {
                let reason = parent.reason.get().expect("who takes no children has ended");
                node.end(reason.clone());
            }
        }
        node
    }

    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Why it has ended, as seen from outside: as soon as the channel is closed or, if nobody has
    /// asked for one, waits are being ended (CX2).
    #[inline]
    pub(super) fn reason(&self) -> Option<&Reason> {
        let reason = self.reason.get()?;
        let seen = self.done.get().map_or_else(|| self.cancel.is_fired(), |done| done.is_closed());
        seen.then_some(reason)
    }

    /// The channel of `done`, made by `make` at the first call.
    pub(super) fn done_or_make(&self, make: impl FnOnce() -> Box<dyn Closes>) -> &dyn Closes {
        if self.done.get().is_none() {
            let made = make();
            let unused = loop {
                let state = self.state.lock();
                if self.reason.get().is_none() || made.is_closed() {
                    break self.done.set(made); // never waits: set under the lock only
                }
                drop(state);
                made.close(); // CX2: before anybody sees it
            };
            drop(unused);
        }
        &**self.done.get().expect("set above")
    }

    /// Puts a child in; `slot` gets its place. Gives it back if this node has ended.
    pub(super) fn add(&self, mut child: Child, slot: &AtomicUsize) -> Result<(), Child> {
        loop {
            let wanted = {
                let mut state = self.state.lock();
                if self.reason.get().is_some() {
                    return Err(child); // CX1
                }
                match state.children.insert(child) {
                    Ok(index) => {
                        slot.store(index, Ordering::Relaxed); // under the lock
                        return Ok(());
                    }
                    Err(back) => child = back,
                }
                state.children.wanted()
            };
            let room = Room::new(wanted);
            let unused = self.state.lock().children.adopt(room);
            drop(unused);
        }
    }

    /// Takes a child out, unless this node has ended.
    pub(super) fn remove(&self, slot: &AtomicUsize) -> Option<Child> {
        let mut state = self.state.lock();
        match slot.swap(NO_SLOT, Ordering::Relaxed) {
            NO_SLOT => None, // under the lock
            index => state.children.remove(index),
        }
    }

    /// Has `then` begin at `when`, unless the node ends before.
    pub(super) fn set_alarm(&self, when: Nanos, then: Dormant) {
        let mut alarm = Alarm::new();
        alarm.set(when, then);
        let mut state = self.state.lock();
        if self.reason.get().is_none() {
            state.alarm = Some(alarm);
        } // else it is dropped after the lock
    }

    /// Ends this node and all below it. When this returns all of them have ended, whoever ended
    /// them (CX5).
    pub(super) fn end(&self, reason: Reason) {
        let Some(ended) = self.end_alone(&reason) else { return self.wait_settled() };
        let mut alarms: Vec<_> = ended.alarm.into_iter().collect();
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        let mut levels = vec![ended.children.into_iter()];
        while let Some(level) = levels.last_mut() {
            match level.next() {
                Some(Child::Node(child)) => {
                    let Some(child) = child.upgrade() else { continue };
                    match child.end_alone(&reason) {
                        Some(ended) => {
                            levels.push(ended.children.into_iter());
                            alarms.extend(ended.alarm);
                            ours.push(child);
                        }
                        None => others.push(child),
                    }
                }
                Some(Child::Start(dormant)) => dormant.start(),
                None => drop(levels.pop()),
            }
        }
        others.iter().for_each(|node| node.wait_settled()); // CX5
        for node in &ours {
            node.settled.fire();
        }
        self.settled.fire();
        self.leave_parent(); // not before, so that an end from above waits
        drop(alarms); // may run destructors of users, which find a settled context
    }

    /// Ends this node; returns what its caller has to care for, unless it had ended already.
    fn end_alone(&self, reason: &Reason) -> Option<Ended> {
        let reason = reason.clone();
        let ended = {
            let mut state = self.state.lock();
            if self.reason.get().is_some() {
                return None; // CX1
            }
            let set = self.reason.set(reason); // never waits: set under the lock only
            debug_assert!(set.is_ok());
            let children = mem::replace(&mut state.children, Slots::new());
            Ended { children, alarm: state.alarm.take() }
        };
        if let Some(done) = self.done.get() {
            done.close();
        }
        self.cancel.fire();
        Some(ended)
    }

    /// Waits until all below have ended; the end of this node has begun.
    fn wait_settled(&self) {
        if !self.settled.is_fired() {
            wait::pause(Until::cancelled_by(&self.settled), WaitReason::Context);
        }
    }

    fn leave_parent(&self) {
        if let Some(parent) = &self.parent {
            drop(parent.remove(&self.slot)); // CX3
        }
    }

    #[cfg(test)]
    pub(super) fn children(&self) -> usize {
        self.state.lock().children.count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.leave_parent();
        let mut above = self.parent.take();
        // CX4: a chain of nodes that only their children held is freed here, one by one.
        while let Some(mut node) = above.and_then(Arc::into_inner) {
            node.leave_parent();
            above = node.parent.take();
        }
    }
}
