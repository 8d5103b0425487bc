//! Job: the places of the registered descriptors: found by index without a lock, recycled.
//! Not here: what a place does (`gate`), who owns it (`source`).
//! Invariants
//!   SL1  A slot, once made, stays where it is until the poller is dropped, so an event may look at
//!        any slot at any time. Whether it is meant is the generation's business (GA4).
//!   SL2  An index is either on the free list or owned by one `Source`.
//!   SL3  Both gates of a slot change hands together and so have the same generation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_utils::CachePadded;

use crate::gate::Gate;
use crate::sync::SpinLock;

/// Bucket `b` has `FIRST << b` slots. All buckets together have more indices than a process can
/// have descriptors, and fewer than `u32` has values, so that the topmost tokens stay free.
const FIRST: usize = 64;
const BUCKETS: usize = 26;

/// End of the free list.
const NONE: u32 = u32::MAX;

/// One descriptor's state. Padded, so that busy neighbours do not share cache lines.
pub(crate) struct Slot {
    pub(crate) read: Gate,
    pub(crate) write: Gate,
    /// The next free index, while this slot is on the free list.
    next_free: AtomicU32,
}

/// A slot in use, as its owner and the kernel know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// All slots of a poller.
pub(crate) struct Slots {
    buckets: [OnceLock<Box<[CachePadded<Slot>]>>; BUCKETS],
    /// How many indices have been given out for the first time.
    used: AtomicU32,
    free: SpinLock<u32>,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        let buckets = [const { OnceLock::new() }; BUCKETS];
        Slots { buckets, used: AtomicU32::new(0), free: SpinLock::new(NONE) }
    }

    /// The slot of an index that was given out at some time (SL1).
    pub(crate) fn get(&self, index: u32) -> Option<&Slot> {
        let (bucket, offset) = place(index)?;
        Some(&self.buckets[bucket].get()?[offset])
    }

    /// Takes a free slot and opens its gates. `None` if there is none: `make_room` helps. Allocates
    /// nothing.
    pub(crate) fn acquire(&self) -> Option<(Key, &Slot)> {
        let (index, slot) = self.pop_free().or_else(|| self.unused())?;
        let generation = slot.read.open();
        let also = slot.write.open();
        debug_assert_eq!(generation, also); // SL3
        Some((Key { index, generation }, slot))
    }

    /// Gives a slot back. Events that are still under way for it are stale from now on.
    pub(crate) fn release(&self, key: Key) {
        let Some(slot) = self.get(key.index) else { return };
        slot.read.retire();
        slot.write.retire();
        // SL2: the owner gives up the index, so nobody else uses `next_free` until it is popped.
        self.free.with(|head| {
            slot.next_free.store(*head, Ordering::Relaxed); // the lock publishes it
            *head = key.index;
        });
    }

    fn pop_free(&self) -> Option<(u32, &Slot)> {
        self.free.with(|head| {
            let slot = self.get(*head)?;
            Some((std::mem::replace(head, slot.next_free.load(Ordering::Relaxed)), slot))
        })
    }

    /// An index that nobody has had, if there is a slot for it.
    fn unused(&self) -> Option<(u32, &Slot)> {
        let (ok, err) = (Ordering::Relaxed, Ordering::Relaxed); // the bucket publishes its slots
        let exists = |used| self.get(used).map(|_| used + 1);
        let index = self.used.fetch_update(ok, err, exists).ok()?;
        Some((index, self.get(index)?))
    }

    /// Makes slots for the next index that nobody has had, unless there are; false if the indices have
    /// run out. Allocates: nobody waits for that, as it is outside of any lock.
    pub(crate) fn make_room(&self) -> bool {
        let Some((bucket, _)) = place(self.used.load(Ordering::Relaxed)) else { return false };
        if self.buckets[bucket].get().is_none() {
            let slots = (0..FIRST << bucket).map(|_| CachePadded::new(Slot::new())).collect();
            drop(self.buckets[bucket].set(slots)); // the loser of a race drops its own
        }
        true
    }
}

impl Slot {
    fn new() -> Slot {
        Slot { read: Gate::new(), write: Gate::new(), next_free: AtomicU32::new(NONE) }
    }
}

/// The bucket of an index and the offset in it.
fn place(index: u32) -> Option<(usize, usize)> {
    let shifted = index as usize + FIRST;
    let bucket = (shifted / FIRST).ilog2() as usize;
    (bucket < BUCKETS).then(|| (bucket, shifted - (FIRST << bucket)))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            assert_eq!(place(index), Some(expected), "index {index}");
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(NONE), None);
    }

    fn acquire(slots: &Slots) -> (Key, &Slot) {
        slots.acquire().unwrap_or_else(|| {
            assert!(slots.make_room());
            slots.acquire().unwrap()
        })
    }

    #[test]
    fn a_released_slot_comes_back_with_another_generation() {
        let slots = Slots::new();
        let (first, _) = acquire(&slots);
        let (second, _) = acquire(&slots);
        assert_ne!(first.index, second.index);
        slots.release(first);
        slots.release(second);
        let (again, _) = slots.acquire().unwrap();
        let (and_again, _) = slots.acquire().unwrap();
        assert_eq!((again.index, and_again.index), (second.index, first.index));
        assert_eq!((again.generation, and_again.generation), (1, 1));
    }

    #[test]
    fn growing_keeps_slots_in_place() {
        let slots = Slots::new();
        assert!(slots.acquire().is_none(), "room is made by who asks for it");
        let (_, first) = acquire(&slots);
        let keys: Vec<_> = (0..1000).map(|_| acquire(&slots).0).collect();
        assert!(std::ptr::eq(first, slots.get(0).unwrap()));
        assert_eq!(keys.last().unwrap().index, 1000);
        assert!(slots.get(5000).is_none(), "not made yet");
    }
}
