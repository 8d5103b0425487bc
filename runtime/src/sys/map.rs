//! Job: arrays in memory that comes straight from the kernel, for what grows where nobody may allocate.
//! Layer: L0 (machine)
//! Not here: stacks (`stack::slab`), headers (`sched::gslab`).
//! Invariants
//!   MP1  `at` is null, with room for nothing, or a private mapping of our own of `room` entries.
//!   MP2  Neither making nor dropping one takes a lock of the process, or calls the allocator: so both
//!        may be done in a runtime section. Both are system calls: not under a spin lock.

use std::mem;
use std::ptr;

use super::sleep_lock::SleepLock;

const PAGE: usize = 4096;

/// Room for values that are copied; which of the entries hold some is the owner's business.
pub(crate) struct Mapped<T: Copy> {
    at: *mut T,
    room: usize,
}

// SAFETY: owns its memory, as a `Vec` does.
unsafe impl<T: Copy + Send> Send for Mapped<T> {}
// SAFETY: a shared reference gives the address only; whoever follows it vouches for that.
unsafe impl<T: Copy + Sync> Sync for Mapped<T> {}

impl<T: Copy> Mapped<T> {
    /// Room for nothing. No mapping.
    pub(crate) const fn none() -> Mapped<T> {
        Mapped { at: ptr::null_mut(), room: 0 }
    }

    /// Room for at least `entries`, a power of two of bytes; reads as zeroes and takes no memory
    /// before it is written to.
    ///
    /// # Errors
    /// The kernel's error number.
    pub(crate) fn with_room(entries: usize) -> Result<Mapped<T>, i32> {
        const { assert!(size_of::<T>() != 0 && align_of::<T>() <= PAGE) };
        let bytes = entries.checked_mul(size_of::<T>()).and_then(usize::checked_next_power_of_two);
        let bytes = bytes.ok_or(libc::ENOMEM)?.max(PAGE);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            // SAFETY: errno of the call above.
            return Err(unsafe { *libc::__errno_location() });
        }
        Ok(Mapped { at: at.cast(), room: bytes / size_of::<T>() })
    }

    /// How many entries there is room for.
    #[inline(always)]
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Where the first is; null if there is room for nothing.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.at
    }

    /// Takes the other's place, and gives it back.
    pub(crate) fn swap(&mut self, other: &mut Mapped<T>) {
        mem::swap(self, other);
    }
}

impl<T: Copy> Drop for Mapped<T> {
    fn drop(&mut self) {
        if !self.at.is_null() {
            let bytes = (self.room * size_of::<T>()).next_power_of_two();
            // SAFETY: MP1: a mapping of ours, of this size. Should it fail, address space is lost.
            unsafe { libc::munmap(self.at.cast(), bytes) };
        }
    }
}

/// Moves `value` to where it stays for ever. Neither allocates nor waits for who does.
///
/// # Errors
/// The kernel's error number.
pub(crate) fn keep<T>(value: T) -> Result<&'static T, i32> {
    const CHUNK: usize = 1 << 16;
    /// Where the rest of the newest chunk is, and how many bytes it has.
    static REST: SleepLock<(usize, usize)> = SleepLock::new((0, 0));
    const { assert!(size_of::<T>() <= CHUNK && align_of::<T>() <= PAGE) };
    let mut rest = REST.lock();
    let padding = rest.0.next_multiple_of(align_of::<T>()) - rest.0;
    if rest.1 < padding + size_of::<T>() {
        let chunk = mem::ManuallyDrop::new(Mapped::<u8>::with_room(CHUNK)?);
        *rest = (chunk.as_ptr().expose_provenance(), chunk.room());
    } else {
        *rest = (rest.0 + padding, rest.1 - padding);
    }
    let at = ptr::with_exposed_provenance_mut::<T>(rest.0);
    *rest = (rest.0 + size_of::<T>(), rest.1 - size_of::<T>());
    // SAFETY: within a chunk that is never unmapped, aligned, and handed out once.
    unsafe {
        at.write(value);
        Ok(&*at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mapped, keep};

    #[test]
    fn what_is_kept_stays_apart() {
        #[repr(align(64))]
        struct Wide([u64; 9]);
        let kept: Vec<_> =
            (0..3_000u64).map(|i| (keep(i as u8).unwrap(), keep(Wide([i; 9])).unwrap())).collect();
        for (i, (byte, wide)) in kept.iter().enumerate() {
            assert_eq!((**byte, wide.0), (i as u8, [i as u64; 9]));
            assert!(std::ptr::from_ref(*wide).addr().is_multiple_of(64));
        }
    }

    #[test]
    fn room_is_as_asked_for_and_reads_as_zeroes() {
        for entries in [1, 341, 342, 4096, 100_000] {
            let mapped = Mapped::<[u32; 3]>::with_room(entries).unwrap();
            assert!((entries..entries.max(400) * 2).contains(&mapped.room()));
            for at in [0, mapped.room() - 1] {
                // SAFETY: within the room; zeroes are integers.
                unsafe {
                    assert_eq!(mapped.as_ptr().add(at).read(), [0; 3]);
                    mapped.as_ptr().add(at).write([1, 2, 3]);
                }
            }
        }
        assert_eq!(Mapped::<u64>::none().room(), 0);
        assert!(Mapped::<u64>::with_room(usize::MAX / 2).is_err());
        assert!(Mapped::<u64>::with_room(1 << 58).is_err(), "more than any address space");
    }
}
