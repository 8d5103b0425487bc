//! Job: a vector that never allocates: it has the room that it was made with, straight from the kernel.
//! Layer: L0 (machine)
//! Not here: the memory itself (`map`).
//! Invariants
//!   MV1  The first `len` entries of `room` are written, and `len` is at most its size.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use super::map::Mapped;

/// See the module.
pub(crate) struct MappedVec<T: Copy> {
    room: Mapped<T>,
    len: usize,
}

impl<T: Copy> MappedVec<T> {
    /// Room for nothing. No mapping.
    pub(crate) const fn none() -> MappedVec<T> {
        MappedVec { room: Mapped::none(), len: 0 }
    }

    /// Empty, with room for at least so many entries. A system call.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(crate) fn with_room(entries: usize) -> Result<MappedVec<T>, i32> {
        Ok(MappedVec { room: Mapped::with_room(entries)?, len: 0 })
    }

    /// How many entries there is room for.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.room.room()
    }

    /// # Panics
    /// If there is no room.
    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        assert!(self.len < self.room.room(), "whoever adds makes room first");
        // SAFETY: MV1: within the room, which is ours alone.
        unsafe { self.room.as_ptr().add(self.len).write(value) };
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.last().copied()?;
        self.len -= 1;
        Some(last)
    }

    /// Takes the entry at `at` out; the last one takes its place.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub(crate) fn swap_remove(&mut self, at: usize) -> T {
        let last = self.len - 1;
        self.swap(at, last);
        self.len = last;
        // SAFETY: MV1: it was the last one.
        unsafe { self.room.as_ptr().add(last).read() }
    }

    /// Keeps those that `keep` is true of, in their order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0;
        for at in 0..self.len {
            let value = self[at];
            if keep(&value) {
                self[kept] = value;
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Copies the other's entries behind its own.
    ///
    /// # Panics
    /// If there is no room.
    pub(crate) fn extend_from(&mut self, other: &[T]) {
        for &value in other {
            self.push(value);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn start(&self) -> *mut T {
        match self.len {
            0 => NonNull::dangling().as_ptr(), // there may be no mapping
            _ => self.room.as_ptr(),
        }
    }
}

impl<T: Copy> Deref for MappedVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: MV1, or no entries at a dangling address.
        unsafe { slice::from_raw_parts(self.start(), self.len) }
    }
}

impl<T: Copy> DerefMut for MappedVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: MV1, or no entries at a dangling address; the memory is ours alone.
        unsafe { slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn it_does_as_a_vec_does() {
        let (mut ours, mut std) = (MappedVec::<u32>::with_room(1000).unwrap(), Vec::new());
        let mut random = 12345u32;
        for _ in 0..10_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match random >> 28 {
                0..9 if std.len() < 1000 => {
                    ours.push(random);
                    std.push(random);
                }
                9..12 => assert_eq!(ours.pop(), std.pop()),
                12..15 if !std.is_empty() => {
                    let at = random as usize % std.len();
                    assert_eq!(ours.swap_remove(at), std.swap_remove(at));
                }
                15 if random & 0xff0 == 0 => {
                    ours.retain(|value| value & 4 == 0);
                    std.retain(|value| value & 4 == 0);
                }
                _ => {}
            }
            assert_eq!(*ours, *std);
        }
        let mut other = MappedVec::with_room(2000).unwrap();
        other.extend_from(&ours);
        assert_eq!(*other, *std);
        other.clear();
        assert!(other.is_empty());
    }

    #[test]
    fn one_without_room_is_empty_and_stays_so() {
        let mut none = MappedVec::<u64>::none();
        assert_eq!((none.room(), none.len(), none.pop()), (0, 0, None));
        assert!(catch_unwind(AssertUnwindSafe(|| none.push(1))).is_err());
    }
}
