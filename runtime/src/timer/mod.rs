//! Job: which deadline comes next: an intrusive 4-ary min-heap of timers.
//! Layer: L1 (structures)
//! Not here: the lock around a heap, what expiry does to whom, which heap a node is in after a
//! merge (its embedder records that); this file knows no goroutine and reads no clock.
//! Invariants
//!   TH1  A queued node is pinned and alive: its owner removes it, or sees it popped, before it
//!        frees or moves it. So every pointer in `entries` may be dereferenced.
//!   TH2  A node is touched only under the lock of the heap it is in, or by its owner alone while
//!        it is in none. Its fields are therefore plain cells.
//!   TH3  `entries[i].node.pos == i`, and `entries[i].when == entries[i].node.when`.
//!   TH4  No entry comes before its parent: entry `i` has its parent at `(i - 1) / 4`.
//!   TH5  Among equal deadlines the one inserted first comes first (`seq`).
//!   TH6  The first `len` entries of `room` are written.
//! Checked by: `tests` (random operations against a sorted model, `check` after each of them)
//!
//! Four children a node, because a heap of deadlines is mostly pushed to and removed from: the
//! tree is half as high as a binary one, and the four keys that a descent compares lie side by
//! side. The key is kept beside the pointer, so a comparison touches no node unless keys are equal.

use std::{cell::Cell, marker::PhantomPinned, ptr::NonNull};

use crate::sys::map::Mapped;

#[cfg(test)]
mod tests;

/// Children of one entry.
const ARITY: usize = 4;

/// The position of a node that is in no heap.
const NOT_QUEUED: usize = usize::MAX;

/// The deadline that never comes. A node armed with it may be queued and removed like any other.
pub(crate) const NEVER: u64 = u64::MAX;

/// One timer, embedded by its owner: on the stack of a parked goroutine, or in an `Arc`.
///
/// Not `Sync`: an embedder that shares it vouches for TH2.
pub(crate) struct TimerNode {
    when: Cell<u64>,
    seq: Cell<u64>,
    pos: Cell<usize>,
    data: Cell<usize>,
    _pinned: PhantomPinned,
}

impl TimerNode {
    /// A node in no heap, with the deadline [`NEVER`]; `data` is its owner's word.
    pub(crate) const fn new(data: usize) -> TimerNode {
        TimerNode {
            when: Cell::new(NEVER),
            seq: Cell::new(0),
            pos: Cell::new(NOT_QUEUED),
            data: Cell::new(data),
            _pinned: PhantomPinned,
        }
    }

    /// Sets the deadline, in nanoseconds of CLOCK_MONOTONIC. Has no effect on a queued node, whose
    /// key its heap has copied: remove it first.
    pub(crate) fn set_when(&self, when: u64) {
        debug_assert!(!self.is_queued(), "a queued timer keeps its deadline (TH3)");
        if !self.is_queued() {
            self.when.set(when);
        }
    }

    /// The deadline, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) fn when(&self) -> u64 {
        self.when.get()
    }

    /// Whether a heap holds this node.
    pub(crate) fn is_queued(&self) -> bool {
        self.pos.get() != NOT_QUEUED
    }

    /// The owner's word.
    pub(crate) fn data(&self) -> usize {
        self.data.get()
    }

    /// Changes the owner's word: an embedder that is pinned only now stores its own address.
    pub(crate) fn set_data(&self, data: usize) {
        self.data.set(data);
    }
}

#[derive(Clone, Copy)]
struct Entry {
    when: u64,
    node: NonNull<TimerNode>,
}

impl Entry {
    fn node(&self) -> &TimerNode {
        // SAFETY: TH1: it is queued, or its caller of `insert` vouches for it; TH2: cells, and we
        // hold the lock.
        unsafe { self.node.as_ref() }
    }

    fn comes_before(&self, other: &Entry) -> bool {
        if self.when == other.when {
            self.node().seq.get() < other.node().seq.get() // TH5
        } else {
            self.when < other.when
        }
    }
}

/// Room for entries, made and dropped where no spin lock is held (see [`TimerHeap::adopt`]). Straight
/// from the kernel: who arms a timer may be in a runtime section, where nobody allocates.
pub(crate) struct Storage(Mapped<Entry>);

impl Storage {
    /// Room for `capacity` timers at least. A system call.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(crate) fn with_capacity(capacity: usize) -> Result<Storage, i32> {
        Mapped::with_room(capacity).map(Storage)
    }
}

/// The timers of one P, under the P's timer lock.
pub(crate) struct TimerHeap {
    room: Mapped<Entry>,
    len: usize,
    /// The next `TimerNode::seq`; 64 bits do not wrap.
    next_seq: u64,
}

// SAFETY: TH1, TH2: the nodes are reached only by the thread that holds the heap's lock, whichever
// thread that is.
unsafe impl Send for TimerHeap {}

impl TimerHeap {
    pub(crate) const fn new() -> TimerHeap {
        TimerHeap { room: Mapped::none(), len: 0, next_seq: 0 }
    }

    /// How many timers are queued.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many timers there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.room.room()
    }

    /// Moves the timers into `storage` and returns the other room, to be dropped after the unlock.
    /// Storage no larger than the present one is returned as it is. No system call.
    #[must_use = "to be dropped after the lock is released"]
    pub(crate) fn adopt(&mut self, mut storage: Storage) -> Storage {
        if storage.0.room() > self.room.room() {
            if self.len != 0 {
                // SAFETY: TH6, and the other room is larger.
                unsafe { self.room.as_ptr().copy_to_nonoverlapping(storage.0.as_ptr(), self.len) };
            }
            self.room.swap(&mut storage.0);
        }
        storage
    }

    #[inline(always)]
    fn entries(&self) -> &[Entry] {
        let at = NonNull::new(self.room.as_ptr()).unwrap_or(NonNull::dangling());
        // SAFETY: TH6.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), self.len) }
    }

    #[inline(always)]
    fn entries_mut(&mut self) -> &mut [Entry] {
        let at = NonNull::new(self.room.as_ptr()).unwrap_or(NonNull::dangling());
        // SAFETY: TH6.
        unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), self.len) }
    }

    /// The earliest deadline, if there is one that ever comes.
    pub(crate) fn next(&self) -> Option<u64> {
        self.entries().first().map(|root| root.when).filter(|&when| when != NEVER)
    }

    /// Queues a node under its deadline. Returns true if [`TimerHeap::next`] became earlier by it.
    ///
    /// # Safety
    /// TH1 and TH2 hold for `node` from here until it is removed or popped. It is in no heap. There
    /// is room: `len() < capacity()`.
    pub(crate) unsafe fn insert(&mut self, node: NonNull<TimerNode>) -> bool {
        // SAFETY: alive by this function's contract.
        let timer = unsafe { node.as_ref() };
        debug_assert!(!timer.is_queued(), "a timer is in one heap at most");
        timer.seq.set(self.next_seq);
        self.next_seq += 1;
        let entry = Entry { when: timer.when.get(), node };
        debug_assert!(self.len < self.capacity());
        // SAFETY: there is room, by this function's contract.
        unsafe { self.room.as_ptr().add(self.len).write(entry) };
        self.len += 1; // TH6
        self.sift_up(self.len - 1, entry);
        timer.pos.get() == 0 && entry.when != NEVER
    }

    /// Takes a node out. Returns false if it is in no heap: it was popped, or never queued.
    ///
    /// # Safety
    /// `node` is alive, and it is in this heap or in none.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<TimerNode>) -> bool {
        // SAFETY: alive by this function's contract.
        let pos = unsafe { node.as_ref() }.pos.get();
        if pos == NOT_QUEUED {
            return false;
        }
        debug_assert_eq!(self.entries()[pos].node, node, "the timer is in another heap");
        self.remove_at(pos);
        true
    }

    /// Takes out the earliest timer if its deadline is `now` or before.
    ///
    /// The node's owner may free it as soon as the lock is released: read what is needed
    /// ([`TimerNode::data`]) before that.
    pub(crate) fn pop_expired(&mut self, now: u64) -> Option<NonNull<TimerNode>> {
        if self.next()? > now {
            return None;
        }
        Some(self.remove_at(0))
    }

    /// Calls `f` for every queued node, in no order.
    pub(crate) fn for_each(&self, mut f: impl FnMut(NonNull<TimerNode>)) {
        self.entries().iter().for_each(|entry| f(entry.node));
    }

    /// Moves every timer to `other`, behind the timers of equal deadline that are there. Returns
    /// true if `other.next()` became earlier by it.
    ///
    /// Both heaps' locks are held.
    ///
    /// # Panics
    /// If `other` has no room for `self.len()` more.
    pub(crate) fn merge_into(&mut self, other: &mut TimerHeap) -> bool {
        assert!(other.capacity() - other.len() >= self.len(), "room is made before a merge");
        let mut earlier = false;
        while self.len != 0 {
            let node = self.remove_at(0); // in order, for TH5
            // SAFETY: TH1 held in this heap and goes on to hold in the other; it is in none now.
            // There is room, as was asserted.
            earlier |= unsafe { other.insert(node) };
        }
        earlier
    }

    /// Takes out the entry at `pos`, which exists.
    fn remove_at(&mut self, pos: usize) -> NonNull<TimerNode> {
        let removed = self.entries()[pos];
        let last = self.len - 1;
        let moved = self.entries()[last];
        self.len = last;
        if pos < last {
            // The last entry fills the hole; it may belong above it or below it.
            if pos > 0 && moved.comes_before(&self.entries()[(pos - 1) / ARITY]) {
                self.sift_up(pos, moved);
            } else {
                self.sift_down(pos, moved);
            }
        }
        removed.node().pos.set(NOT_QUEUED);
        removed.node
    }

    /// Puts `entry` into the hole at `pos` or above it. What is in the slot is overwritten.
    fn sift_up(&mut self, mut pos: usize, entry: Entry) {
        while pos > 0 {
            let parent = (pos - 1) / ARITY;
            if !entry.comes_before(&self.entries()[parent]) {
                break;
            }
            self.place(pos, self.entries()[parent]);
            pos = parent;
        }
        self.place(pos, entry);
    }

    /// Puts `entry` into the hole at `pos` or below it. What is in the slot is overwritten.
    fn sift_down(&mut self, mut pos: usize, entry: Entry) {
        loop {
            let first = pos * ARITY + 1;
            let end = (first + ARITY).min(self.len);
            if first >= end {
                break;
            }
            let mut least = first;
            for child in first + 1..end {
                if self.entries()[child].comes_before(&self.entries()[least]) {
                    least = child;
                }
            }
            if !self.entries()[least].comes_before(&entry) {
                break;
            }
            self.place(pos, self.entries()[least]);
            pos = least;
        }
        self.place(pos, entry);
    }

    fn place(&mut self, pos: usize, entry: Entry) {
        self.entries_mut()[pos] = entry;
        entry.node().pos.set(pos); // TH3
    }

    /// Asserts TH3, TH4 and TH5.
    #[cfg(test)]
    fn check(&self) {
        for (pos, entry) in self.entries().iter().enumerate() {
            assert_eq!(entry.node().pos.get(), pos, "TH3");
            assert_eq!(entry.node().when.get(), entry.when, "TH3");
            assert!(entry.node().seq.get() < self.next_seq, "TH5");
            if pos > 0 {
                let parent = &self.entries()[(pos - 1) / ARITY];
                assert!(parent.comes_before(entry), "TH4, TH5");
            }
        }
    }
}
