//! Job: which deadline comes next: a 4-ary min-heap of timers that are cancelled more often than they
//!   expire.
//! Layer: L1 (structures)
//! Not here: the lock around a heap, what expiry does to whom, which heap a node is in after a
//! merge (its embedder records that); this file knows no goroutine and reads no clock.
//! Invariants
//!   TH1  A queued node is pinned and alive: its owner removes it, or sees it popped, before it
//!        frees or moves it. So every pointer in `slots` may be dereferenced.
//!   TH2  A node is touched only under the lock of the heap it is in, or by its owner alone while
//!        it is in none. Its fields are therefore plain cells.
//!   TH3  `slots[node.slot]` is the node, for every queued node; an entry's slot holds its node, or
//!        nothing if that was removed: the entry is then dead. A slot is in `free` if neither a node
//!        nor an entry has it.
//!   TH4  No entry comes before its parent: entry `i` has its parent at `(i - 1) / 4`.
//!   TH5  Among equal deadlines the one inserted first comes first (`seq`).
//!   TH6  The first entry is not dead, and at most half of all (or `FEW`) are.
//! Source: lazy deletion as in Go's timers since 1.14.
//! Checked by: `tests` (random operations against a sorted model, `check` after each of them)
//!
//! Most timers are time limits: set, and taken back before they pass. So a removal only empties the
//! node's slot; the entry is dropped when it comes up, or with all dead ones together once they are
//! as many as the others. And entries know slots, which do not move, so no movement in the heap
//! touches a node: with 100,000 timers those would all be cache misses.

use std::{cell::Cell, marker::PhantomPinned, ptr::NonNull};

use crate::sys::map_vec::MappedVec;

#[cfg(test)]
mod tests;

/// Children of one entry: the tree is half as high as a binary one, for the same comparisons.
const ARITY: usize = 4;

/// As many dead entries may always stay.
const FEW: usize = 16;

/// The slot of a node that is in no heap.
const NOT_QUEUED: u32 = u32::MAX;

/// The deadline that never comes. A node armed with it may be queued and removed like any other; it
/// has a slot and no entry.
pub(crate) const NEVER: u64 = u64::MAX;

/// One timer, embedded by its owner: on the stack of a parked goroutine, or in an `Arc`.
///
/// Not `Sync`: an embedder that shares it vouches for TH2.
pub(crate) struct TimerNode {
    when: Cell<u64>,
    slot: Cell<u32>,
    data: Cell<usize>,
    _pinned: PhantomPinned,
}

impl TimerNode {
    /// A node in no heap, with the deadline [`NEVER`]; `data` is its owner's word.
    pub(crate) const fn new(data: usize) -> TimerNode {
        TimerNode {
            when: Cell::new(NEVER),
            slot: Cell::new(NOT_QUEUED),
            data: Cell::new(data),
            _pinned: PhantomPinned,
        }
    }

    /// Sets the deadline, in nanoseconds of CLOCK_MONOTONIC. Has no effect on a queued node, whose
    /// key its heap has copied: remove it first.
    pub(crate) fn set_when(&self, when: u64) {
        debug_assert!(!self.is_queued(), "a queued timer keeps its deadline");
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
        self.slot.get() != NOT_QUEUED
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
    seq: u64,
    slot: u32,
}

impl Entry {
    fn comes_before(&self, other: &Entry) -> bool {
        (self.when, self.seq) < (other.when, other.seq) // TH5
    }
}

/// Room for timers, made and dropped where no spin lock is held (see [`TimerHeap::adopt`]). Straight
/// from the kernel: who arms a timer may be in a runtime section, where nobody allocates.
pub(crate) struct Storage {
    entries: MappedVec<Entry>,
    slots: MappedVec<Option<NonNull<TimerNode>>>,
    free: MappedVec<u32>,
}

impl Storage {
    /// Room for `capacity` timers at least. A few system calls.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(crate) fn with_capacity(capacity: usize) -> Result<Storage, i32> {
        Ok(Storage {
            entries: MappedVec::with_room(capacity)?,
            slots: MappedVec::with_room(capacity)?,
            free: MappedVec::with_room(capacity)?,
        })
    }

    const fn new() -> Storage {
        Storage { entries: MappedVec::none(), slots: MappedVec::none(), free: MappedVec::none() }
    }

    fn capacity(&self) -> usize {
        self.entries.room().min(self.slots.room()).min(self.free.room())
    }
}

/// The timers of one P, under the P's timer lock.
pub(crate) struct TimerHeap {
    room: Storage,
    /// Queued nodes.
    live: usize,
    /// Entries of nodes that were removed.
    dead: usize,
    /// The next `Entry::seq`; 64 bits do not wrap.
    next_seq: u64,
}

// SAFETY: TH1, TH2: the nodes are reached only by the thread that holds the heap's lock, whichever
// thread that is.
unsafe impl Send for TimerHeap {}

impl TimerHeap {
    pub(crate) const fn new() -> TimerHeap {
        TimerHeap { room: Storage::new(), live: 0, dead: 0, next_seq: 0 }
    }

    /// How many timers are queued.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// How many take up room: those that are queued, and those whose entries are still there.
    pub(crate) fn used(&self) -> usize {
        self.live + self.dead
    }

    /// How many timers there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.room.capacity()
    }

    /// Moves the timers into `storage` and returns the other room, to be dropped after the unlock.
    /// Storage no larger than the present one is returned as it is. No system call.
    #[must_use = "to be dropped after the lock is released"]
    pub(crate) fn adopt(&mut self, mut storage: Storage) -> Storage {
        if storage.capacity() > self.capacity() {
            storage.entries.extend_from(&self.room.entries);
            storage.slots.extend_from(&self.room.slots);
            storage.free.extend_from(&self.room.free);
            std::mem::swap(&mut storage, &mut self.room);
        }
        storage
    }

    /// The earliest deadline, if there is one that ever comes.
    pub(crate) fn next(&self) -> Option<u64> {
        self.room.entries.first().map(|first| first.when) // TH6
    }

    /// Queues a node under its deadline. Returns true if [`TimerHeap::next`] became earlier by it.
    ///
    /// # Panics
    /// If there is no room: `used() == capacity()`.
    ///
    /// # Safety
    /// TH1 and TH2 hold for `node` from here until it is removed or popped. It is in no heap.
    pub(crate) unsafe fn insert(&mut self, node: NonNull<TimerNode>) -> bool {
        // SAFETY: alive by this function's contract.
        let timer = unsafe { node.as_ref() };
        debug_assert!(!timer.is_queued(), "a timer is in one heap at most");
        let slot = self.take_slot(node);
        timer.slot.set(slot);
        self.live += 1;
        let when = timer.when.get();
        if when == NEVER {
            return false;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let entries = &mut self.room.entries;
        entries.push(Entry { when, seq, slot });
        sift_up(entries) == 0
    }

    fn take_slot(&mut self, node: NonNull<TimerNode>) -> u32 {
        let Storage { slots, free, .. } = &mut self.room;
        if let Some(slot) = free.pop() {
            slots[slot as usize] = Some(node);
            return slot;
        }
        let slot = u32::try_from(slots.len()).ok().filter(|&slot| slot != NOT_QUEUED);
        slots.push(Some(node));
        slot.expect("fewer timers than goroutines, which are fewer")
    }

    /// Takes a node out. Returns false if it is in no heap: it was popped, or never queued.
    ///
    /// # Safety
    /// `node` is alive, and it is in this heap or in none.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<TimerNode>) -> bool {
        // SAFETY: alive by this function's contract.
        let timer = unsafe { node.as_ref() };
        let slot = timer.slot.replace(NOT_QUEUED);
        if slot == NOT_QUEUED {
            return false;
        }
        let Storage { slots, free, .. } = &mut self.room;
        debug_assert_eq!(slots[slot as usize], Some(node), "the timer is in another heap");
        slots[slot as usize] = None;
        self.live -= 1;
        if timer.when.get() == NEVER {
            free.push(slot);
            return true;
        }
        self.dead += 1;
        self.drop_dead();
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
        let slot = self.drop_first();
        let node = self.room.slots[slot as usize].take().expect("not dead (TH6)");
        // SAFETY: TH1, TH2: it was queued until now, and we hold the lock.
        unsafe { node.as_ref() }.slot.set(NOT_QUEUED);
        self.live -= 1;
        self.drop_dead();
        Some(node)
    }

    /// Calls `f` for every queued node, in no order.
    pub(crate) fn for_each(&self, f: impl FnMut(NonNull<TimerNode>)) {
        self.room.slots.iter().flatten().copied().for_each(f);
    }

    /// Moves every timer to `other`, behind the timers of equal deadline that are there. Returns
    /// true if `other.next()` became earlier by it.
    ///
    /// Both heaps' locks are held, and `other` has room for `self.len()` more.
    pub(crate) fn merge_into(&mut self, other: &mut TimerHeap) -> bool {
        let mut earlier = false;
        while let Some(node) = self.pop_expired(NEVER) {
            // In order, for TH5.
            // SAFETY: TH1 held in this heap and goes on to hold in the other; it is in none now.
            earlier |= unsafe { other.insert(node) };
        }
        let Storage { slots, free, .. } = &mut self.room;
        free.clear();
        for node in slots.iter().flatten().copied() {
            // SAFETY: as above; those that never come are left.
            unsafe {
                node.as_ref().slot.set(NOT_QUEUED);
                other.insert(node);
            }
        }
        slots.clear();
        self.live = 0;
        earlier
    }

    /// Takes the first entry out, which exists, and returns its slot, which is free then.
    fn drop_first(&mut self) -> u32 {
        let Storage { entries, free, .. } = &mut self.room;
        let first = entries.swap_remove(0);
        sift_down(entries, 0);
        free.push(first.slot);
        first.slot
    }

    /// Restores TH6.
    fn drop_dead(&mut self) {
        if self.dead > FEW.max(self.room.entries.len() / 2) {
            self.sweep();
        }
        while let Some(first) = self.room.entries.first()
            && self.room.slots[first.slot as usize].is_none()
        {
            self.drop_first();
            self.dead -= 1;
        }
    }

    /// Takes out all dead entries.
    #[cold]
    fn sweep(&mut self) {
        let Storage { entries, slots, free } = &mut self.room;
        entries.retain(|entry| {
            let live = slots[entry.slot as usize].is_some();
            if !live {
                free.push(entry.slot);
            }
            live
        });
        self.dead = 0;
        for pos in (0..entries.len().div_ceil(ARITY)).rev() {
            sift_down(entries, pos);
        }
    }

    /// Asserts the invariants.
    #[cfg(test)]
    fn check(&self) {
        let Storage { entries, slots, free } = &self.room;
        let node = |slot: u32| {
            slots[slot as usize].map(|node| {
                // SAFETY: TH1; tests use one thread.
                unsafe { node.as_ref() }
            })
        };
        for (pos, entry) in entries.iter().enumerate() {
            if let Some(node) = node(entry.slot) {
                assert_eq!((node.slot.get(), node.when.get()), (entry.slot, entry.when), "TH3");
            }
            assert!(entry.seq < self.next_seq, "TH5");
            if pos > 0 {
                assert!(entries[(pos - 1) / ARITY].comes_before(entry), "TH4, TH5");
            }
        }
        let dead = entries.iter().filter(|entry| node(entry.slot).is_none()).count();
        assert!(entries.first().is_none_or(|first| node(first.slot).is_some()), "TH6");
        assert!(dead <= FEW.max(entries.len() / 2), "TH6");
        assert_eq!((dead, slots.iter().flatten().count()), (self.dead, self.live));
        assert!(free.iter().all(|&slot| node(slot).is_none()), "TH3");
        assert_eq!(free.len() + self.used(), slots.len(), "TH3");
    }
}

/// Moves the last entry up to where it belongs; returns where that is.
fn sift_up(entries: &mut [Entry]) -> usize {
    let mut pos = entries.len() - 1;
    let entry = entries[pos];
    while pos > 0 {
        let parent = (pos - 1) / ARITY;
        if !entry.comes_before(&entries[parent]) {
            break;
        }
        entries[pos] = entries[parent];
        pos = parent;
    }
    entries[pos] = entry;
    pos
}

/// Moves the entry at `pos`, if there is one, down to where it belongs.
fn sift_down(entries: &mut [Entry], mut pos: usize) {
    let Some(&entry) = entries.get(pos) else { return };
    loop {
        let first = pos * ARITY + 1;
        let end = (first + ARITY).min(entries.len());
        if first >= end {
            break;
        }
        let mut least = first;
        for child in first + 1..end {
            if entries[child].comes_before(&entries[least]) {
                least = child;
            }
        }
        if !entries[least].comes_before(&entry) {
            break;
        }
        entries[pos] = entries[least];
        pos = least;
    }
    entries[pos] = entry;
}
