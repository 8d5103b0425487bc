//! Job: a double-ended queue in memory from the kernel, which never allocates.
//! Layer: L0 (machine)
//! Invariants
//!   RI1  The `len` entries from `head` on, modulo the room, which is a power of two, are written.

use crate::sys::map::Mapped;

/// Room for entries is made by the caller (`adopt`), where it holds no lock that others spin for.
pub(super) struct Ring<T: Copy> {
    room: Mapped<T>,
    head: usize,
    len: usize,
}

impl<T: Copy> Ring<T> {
    pub(super) const fn new() -> Ring<T> {
        const { assert!(size_of::<T>().is_power_of_two()) }; // RI1: so is the room
        Ring { room: Mapped::none(), head: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.room.room()
    }

    /// Where the entry `i` places behind the first is. There is room for it.
    fn at(&self, i: usize) -> *mut T {
        debug_assert!(i < self.capacity());
        let index = (self.head + i) & (self.capacity() - 1);
        // SAFETY: below the room, which is a power of two.
        unsafe { self.room.as_ptr().add(index) }
    }

    /// Moves to larger room; gives back what is not needed, to be dropped without a lock.
    #[must_use = "to be dropped after the lock is released"]
    pub(super) fn adopt(&mut self, mut room: Mapped<T>) -> Mapped<T> {
        if room.room() > self.capacity() {
            for i in 0..self.len {
                // SAFETY: RI1, and the other room is larger.
                unsafe { room.as_ptr().add(i).write(self.at(i).read()) };
            }
            self.room.swap(&mut room);
            self.head = 0;
        }
        room
    }

    /// # Panics
    /// If there is no room.
    pub(super) fn push_back(&mut self, entry: T) {
        assert!(self.len < self.capacity(), "room is made before it is needed");
        // SAFETY: there is room.
        unsafe { self.at(self.len).write(entry) };
        self.len += 1;
    }

    /// As `push_back`, before all others.
    pub(super) fn push_front(&mut self, entry: T) {
        assert!(self.len < self.capacity(), "room is made before it is needed");
        self.head = self.head.wrapping_sub(1) & (self.capacity() - 1);
        // SAFETY: there is room.
        unsafe { self.at(0).write(entry) };
        self.len += 1;
    }

    pub(super) fn pop_back(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: it was one of those written (RI1).
        Some(unsafe { self.at(self.len).read() })
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let left = self.len.checked_sub(1)?;
        // SAFETY: as above.
        let entry = unsafe { self.at(0).read() };
        self.head = (self.head + 1) & (self.capacity() - 1);
        self.len = left;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn agrees_with_a_deque_while_it_grows() {
        let (mut ring, mut model) = (Ring::<u64>::new(), VecDeque::new());
        let mut rand = 1u32;
        for step in 0..200_000u64 {
            rand = rand.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if ring.len() == ring.capacity() {
                let larger = Mapped::with_room(ring.capacity() + 1).unwrap();
                drop(ring.adopt(larger));
            }
            match (rand >> 16) % 7 {
                0..=2 => (ring.push_back(step), model.push_back(step)).0,
                3 => (ring.push_front(step), model.push_front(step)).0,
                4 => assert_eq!(ring.pop_back(), model.pop_back()),
                _ => assert_eq!(ring.pop_front(), model.pop_front()),
            }
            assert_eq!(ring.len(), model.len());
        }
        let refused = ring.adopt(Mapped::none());
        assert_eq!(refused.room(), 0);
        while let Some(entry) = model.pop_back() {
            assert_eq!(ring.pop_back(), Some(entry));
        }
        assert_eq!((ring.pop_back(), ring.pop_front()), (None, None));
    }
}
