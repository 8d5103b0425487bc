//! Job: a bag of things that are taken out one by one, or all at once, under a spin lock.
//! Layer: L3 (blocking)
//! Not here: the lock; what is in the bag (`node`).
//! Invariants
//!   SX1  An index belongs to whoever was given it by `insert`, until that one removes it.
//!   SX2  No operation allocates or drops an entry: room comes from `adopt`, removed entries go to
//!        the caller.

use std::mem;

enum Slot<T> {
    Taken(T),
    /// The next free slot, or NONE.
    Free(usize),
}

const NONE: usize = usize::MAX;

/// Slots, the free ones linked: adding and removing take constant time.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: usize,
}

/// Memory for slots, allocated and freed where no lock is held.
pub(super) struct Room<T>(Vec<Slot<T>>);

impl<T> Slots<T> {
    pub(super) const fn new() -> Slots<T> {
        Slots { slots: Vec::new(), free: NONE }
    }

    /// Puts `entry` in; without room gives it back.
    pub(super) fn insert(&mut self, entry: T) -> Result<usize, T> {
        if let Some(slot) = self.slots.get_mut(self.free) {
            let Slot::Free(next) = mem::replace(slot, Slot::Taken(entry)) else {
                unreachable!("the list links free slots")
            };
            return Ok(mem::replace(&mut self.free, next));
        }
        if self.slots.len() == self.slots.capacity() {
            return Err(entry);
        }
        self.slots.push(Slot::Taken(entry));
        Ok(self.slots.len() - 1)
    }

    /// Takes out what was put in as `index`, if it is still there; to be dropped after the lock.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        let slot = self.slots.get_mut(index)?; // none if everything was taken out
        match mem::replace(slot, Slot::Free(self.free)) {
            Slot::Taken(entry) => {
                self.free = index;
                Some(entry)
            }
            Slot::Free(_) => unreachable!("SX1: removed once"),
        }
    }

    /// How much room `insert` wants when it has none.
    pub(super) fn wanted(&self) -> usize {
        (self.slots.len() * 2).max(4)
    }

    /// Moves into `room` if that is larger; returns what is to be freed after the lock (SX2).
    #[must_use = "to be dropped after the lock is released"]
    pub(super) fn adopt(&mut self, mut room: Room<T>) -> Room<T> {
        if room.0.capacity() > self.slots.capacity() {
            room.0.append(&mut self.slots);
            mem::swap(&mut room.0, &mut self.slots);
        }
        room
    }

    /// All of them, in the order of their slots.
    pub(super) fn into_iter(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().filter_map(|slot| match slot {
            Slot::Taken(entry) => Some(entry),
            Slot::Free(_) => None,
        })
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Taken(_))).count()
    }
}

impl<T> Room<T> {
    pub(super) fn new(slots: usize) -> Room<T> {
        Room(Vec::with_capacity(slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_and_room_grows_by_request_only() {
        let mut slots = Slots::new();
        assert!(slots.insert(()).is_err());
        drop(slots.adopt(Room::new(slots.wanted())));
        let indices: Vec<_> = std::iter::from_fn(|| slots.insert(()).ok()).take(1000).collect();
        assert!((4..1000).contains(&indices.len()));
        assert!(slots.remove(indices[1]).is_some());
        assert!(slots.remove(indices[3]).is_some());
        assert_eq!(slots.insert(()).ok(), Some(indices[3]));
        assert_eq!(slots.insert(()).ok(), Some(indices[1]));
        assert!(slots.insert(()).is_err());
        assert_eq!(slots.count(), indices.len());
        drop(slots.adopt(Room::new(slots.wanted())));
        assert_eq!(slots.insert(()).ok(), Some(indices.len()));
        assert_eq!(slots.into_iter().count(), indices.len() + 1);
    }

    #[test]
    fn removal_after_everything_was_taken_finds_nothing() {
        let mut slots = Slots::new();
        drop(slots.adopt(Room::new(1)));
        let index = slots.insert(()).ok().unwrap();
        assert_eq!(mem::replace(&mut slots, Slots::new()).into_iter().count(), 1);
        assert!(slots.remove(index).is_none());
    }
}
