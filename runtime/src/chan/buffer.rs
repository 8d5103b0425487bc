//! Job: the values a channel holds: a FIFO that grows without copying and allocates nothing itself.
//! Layer: L3 (blocking)
//! Not here: locking, waiters (`channel`).
//! Invariants
//!   BF1  Rings are chained oldest first. Only the last takes values; every other one holds some.
//!        `last` is null exactly if `first` is.
//!   BF2  A ring smaller than the capacity cannot hold what is missing to the capacity when it is
//!        chained. So a full channel's last ring has a free slot after every pop, and moving a
//!        waiting sender's value in never needs memory.
//!   BF3  The slots `head .. head + len` of a ring, modulo its size, hold values; the others none.
//!
//! A small bounded channel is one ring of its capacity. A larger one begins with a small ring and
//! chains ever larger ones as they fill; emptied, the small ones are freed and the last serves on.
//! The caller holds a spin lock, so rings come from outside and spent ones are given back to it.

use std::mem::MaybeUninit;
use std::ptr;

/// More than memory can hold, and twice it is still a `usize`.
const MAX_SLOTS: usize = isize::MAX as usize;

/// An empty ring of more bytes than this is freed rather than kept.
const KEEP_BYTES: usize = 64 * 1024;

pub(super) struct Ring<T> {
    next: *mut Ring<T>,
    head: usize,
    len: usize,
    slots: Box<[MaybeUninit<T>]>,
}

impl<T> Ring<T> {
    /// Slots of a first ring: at most a page.
    const FIRST: usize = match size_of::<T>() {
        0 => MAX_SLOTS,
        size if size >= 4096 => 1,
        size if size > 4096 / 32 => 4096 / size,
        _ => 32,
    };

    pub(super) fn with_slots(slots: usize) -> Box<Ring<T>> {
        let slots = Box::new_uninit_slice(slots);
        Box::new(Ring { next: ptr::null_mut(), head: 0, len: 0, slots })
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.len == self.slots.len()
    }

    /// Forgets the oldest value and returns where it is; it stays there until the next push.
    ///
    /// # Safety
    /// The ring is not empty.
    #[inline]
    unsafe fn advance(&mut self) -> *mut T {
        // SAFETY: `head` is below the number of slots (BF3).
        let slot = unsafe { self.slots.as_mut_ptr().add(self.head) };
        self.head += 1;
        if self.head == self.slots.len() {
            self.head = 0;
        }
        self.len -= 1;
        slot.cast()
    }
}

/// See the module.
pub(super) struct Buffer<T> {
    first: *mut Ring<T>,
    last: *mut Ring<T>,
    len: usize,
}

impl<T> Buffer<T> {
    pub(super) const fn new() -> Buffer<T> {
        Buffer { first: ptr::null_mut(), last: ptr::null_mut(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Moves the value in; false if that takes a new ring first (`next_size`, `adopt`).
    ///
    /// # Safety
    /// `value` points to a value, which is the buffer's if this returns true.
    #[inline]
    pub(super) unsafe fn push(&mut self, value: *const T) -> bool {
        // SAFETY: null or a ring of ours.
        let Some(ring) = (unsafe { self.last.as_mut() }) else { return false };
        if ring.is_full() {
            return false;
        }
        let mut at = ring.head + ring.len;
        if at >= ring.slots.len() {
            at -= ring.slots.len();
        }
        // SAFETY: `at` is below the number of slots, and that slot is empty (BF3).
        unsafe { ring.slots.as_mut_ptr().add(at).cast::<T>().copy_from_nonoverlapping(value, 1) };
        ring.len += 1;
        self.len += 1;
        true
    }

    /// Whether the next `push` succeeds.
    pub(super) fn has_slot(&self) -> bool {
        // SAFETY: null or a ring of ours.
        unsafe { self.last.as_ref() }.is_some_and(|ring| !ring.is_full())
    }

    /// Moves the oldest value to `out`; returns a ring to free once the lock is released.
    ///
    /// # Safety
    /// The buffer is not empty; `out` has room for a value.
    #[inline]
    pub(super) unsafe fn pop(&mut self, out: *mut T) -> Option<Box<Ring<T>>> {
        debug_assert_ne!(self.len, 0);
        // SAFETY: not empty, so there is a first ring and it holds values (BF1).
        let ring = unsafe { &mut *self.first };
        // SAFETY: as above; a value is moved out once (BF3).
        unsafe { out.copy_from_nonoverlapping(ring.advance(), 1) };
        self.len -= 1;
        if ring.len != 0 {
            return None;
        }
        ring.head = 0; // the slot that is in the cache
        let bytes = ring.slots.len().saturating_mul(size_of::<T>());
        let keep = ring.slots.len() <= Ring::<T>::FIRST || bytes <= KEEP_BYTES;
        if ring.next.is_null() && keep {
            return None;
        }
        Some(self.unchain())
    }

    /// Takes the first ring out, which is empty.
    fn unchain(&mut self) -> Box<Ring<T>> {
        // SAFETY: the callers have one; it came from a Box in `adopt`.
        let ring = unsafe { Box::from_raw(self.first) };
        self.first = ring.next;
        if self.first.is_null() {
            self.last = ptr::null_mut();
        }
        ring
    }

    /// How many slots the next ring must have (BF2).
    pub(super) fn next_size(&self, capacity: usize) -> usize {
        // SAFETY: null or a ring of ours.
        let last = unsafe { self.last.as_ref() }.map_or(0, |ring| ring.slots.len());
        let size = last.saturating_mul(2).clamp(Ring::<T>::FIRST, MAX_SLOTS);
        let missing = capacity - self.len;
        if missing / 2 <= size { capacity.min(MAX_SLOTS) } else { size }
    }

    /// Chains `ring` if one of its size is needed now; gives it back otherwise.
    pub(super) fn adopt(&mut self, ring: Box<Ring<T>>, capacity: usize) -> Option<Box<Ring<T>>> {
        // SAFETY: null or a ring of ours.
        let last = unsafe { self.last.as_mut() };
        let needed = last.as_ref().is_none_or(|last| last.is_full());
        if !needed || self.len >= capacity || ring.slots.len() != self.next_size(capacity) {
            return Some(ring);
        }
        let ring = Box::into_raw(ring);
        match last {
            Some(last) => last.next = ring,
            None => self.first = ring,
        }
        self.last = ring;
        None
    }

    /// Drops all values and frees all rings.
    fn clear(&mut self) {
        // SAFETY: null or a ring of ours.
        while let Some(ring) = unsafe { self.first.as_mut() } {
            if ring.len == 0 {
                drop(self.unchain());
            } else {
                self.len -= 1;
                // SAFETY: not empty; forgotten first, so that a panic cannot drop it again.
                unsafe { ring.advance().drop_in_place() };
            }
        }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        /// Goes on with the rest if a value's destructor panics.
        struct Rest<'a, T>(&'a mut Buffer<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                self.0.clear();
            }
        }
        Rest(self).0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::mem::ManuallyDrop;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn push<T>(buffer: &mut Buffer<T>, capacity: usize, value: T) {
        let value = ManuallyDrop::new(value);
        // SAFETY: given up if it returns true.
        while !unsafe { buffer.push(&raw const *value) } {
            let ring = Ring::with_slots(buffer.next_size(capacity));
            assert!(buffer.adopt(ring, capacity).is_none());
        }
    }

    fn pop<T>(buffer: &mut Buffer<T>) -> T {
        let mut out = MaybeUninit::uninit();
        // SAFETY: the tests pop what they pushed.
        unsafe {
            buffer.pop(out.as_mut_ptr());
            out.assume_init()
        }
    }

    #[test]
    fn is_a_fifo_at_every_capacity_and_fill_level() {
        for capacity in [1, 2, 31, 32, 40, 64, 65, 200, 1000, usize::MAX] {
            let mut buffer = Buffer::new();
            let mut model = VecDeque::new();
            let mut rand = 1u32;
            for i in 0..20_000u32 {
                rand = rand.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let fill = if (i / 2000) % 2 == 0 { 3 } else { 1 };
                if model.len() < capacity.min(3000) && (rand >> 16) % 4 < fill {
                    push(&mut buffer, capacity, i);
                    model.push_back(i);
                } else if let Some(expected) = model.pop_front() {
                    assert_eq!(pop(&mut buffer), expected);
                }
                assert_eq!(buffer.len(), model.len());
            }
        }
    }

    #[test]
    fn a_full_buffer_has_room_after_every_pop() {
        for capacity in 1..300 {
            let mut buffer = Buffer::new();
            (0..capacity).for_each(|i| push(&mut buffer, capacity, i));
            for i in 0..3 * capacity {
                assert_eq!(pop(&mut buffer), i);
                let next = i + capacity;
                // SAFETY: an integer.
                assert!(unsafe { buffer.push(&raw const next) }, "BF2 at {capacity}, {i}");
            }
        }
    }

    #[test]
    fn a_drained_backlog_gives_its_memory_back() {
        let mut buffer = Buffer::new();
        (0..100_000u64).for_each(|i| push(&mut buffer, usize::MAX, i));
        (0..100_000u64).for_each(|i| assert_eq!(pop(&mut buffer), i));
        assert!(buffer.first.is_null());
    }

    #[test]
    fn a_value_without_size_needs_one_ring() {
        let mut buffer = Buffer::new();
        (0..1000).for_each(|_| push(&mut buffer, usize::MAX, ()));
        assert_eq!(buffer.first, buffer.last);
        (0..1000).for_each(|_| pop(&mut buffer));
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn a_panicking_destructor_does_not_keep_the_others_from_running() {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                DROPS.fetch_add(1, Ordering::Relaxed);
                assert!(!self.0, "bomb");
            }
        }
        let mut buffer = Buffer::new();
        (0..100).for_each(|i| push(&mut buffer, usize::MAX, Bomb(i == 31)));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(buffer))).is_err());
        assert_eq!(DROPS.load(Ordering::Relaxed), 100);
    }
}
