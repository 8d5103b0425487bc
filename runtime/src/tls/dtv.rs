//! Job: the loader's table of a block: where each library's thread-locals are.
//! Layer: L0 (machine)
//! Not here: where the table is (`block`).
//! Invariants
//!   DV1  Of each entry, word 0 is an address and word 1 what to free for it: 0 for thread-locals at a
//!        fixed distance from the FS base. Entry -1 is the capacity, entry 0 the generation.

use std::ptr;

/// Value of an entry that the loader fills in at the first access.
const UNALLOCATED: usize = usize::MAX;
/// Of an entry.
pub(super) const BYTES: usize = 16;

/// A word of an entry (0 or 1) of the table at `dtv`.
#[inline(always)]
fn word(dtv: usize, entry: isize, index: usize) -> *mut usize {
    let at = dtv.wrapping_add_signed(entry * BYTES as isize) + index * 8;
    ptr::with_exposed_provenance_mut(at)
}

/// Writes a table whose first `fixed` entries are for libraries that are there. Generation 0 makes
/// the loader set the entries of libraries loaded later at the first access, and tells us
/// afterwards that there was one.
///
/// # Safety
/// The memory is zeroed, has room for that many entries, and nobody uses it.
pub(super) unsafe fn make(dtv: usize, capacity: usize, fixed: usize) {
    // SAFETY: as for this function.
    unsafe {
        *word(dtv, -1, 0) = capacity;
        (1..=fixed as isize).for_each(|entry| *word(dtv, entry, 0) = UNALLOCATED);
    }
}

/// Frees the variables that the loader allocated for libraries loaded later, if there are any, in a
/// table from [`make`].
///
/// # Safety
/// Nobody uses those variables any more.
#[inline]
pub(super) unsafe fn clear(dtv: usize, capacity: usize, fixed: usize) {
    // SAFETY: as for this function.
    unsafe {
        if *word(dtv, 0, 0) != 0 {
            free(dtv, capacity, fixed);
        }
    }
}

/// # Safety
/// As [`clear`].
#[cold]
unsafe fn free(dtv: usize, capacity: usize, fixed: usize) {
    // SAFETY: as for this function; the loader allocates with malloc.
    unsafe {
        for entry in 1..=capacity as isize {
            if *word(dtv, entry, 0) == 0 {
                break; // no library ever had this number or a greater one
            }
            libc::free(ptr::with_exposed_provenance_mut(*word(dtv, entry, 1)));
            *word(dtv, entry, 0) = if entry <= fixed as isize { UNALLOCATED } else { 0 };
            *word(dtv, entry, 1) = 0;
        }
        *word(dtv, 0, 0) = 0;
    }
}

/// The same for a table that the loader made, and reallocates as it sees fit. This is what it does
/// itself to an entry whose library was closed, so the generation stays.
///
/// # Safety
/// As [`clear`].
#[inline]
pub(super) unsafe fn clear_loaders(dtv: usize) {
    // SAFETY: as for this function.
    unsafe {
        for entry in 1..=*word(dtv, -1, 0) as isize {
            let allocated = *word(dtv, entry, 1);
            if allocated != 0 {
                libc::free(ptr::with_exposed_provenance_mut(allocated));
                *word(dtv, entry, 0) = UNALLOCATED;
                *word(dtv, entry, 1) = 0;
            }
        }
    }
}

/// Does the table that the loader made have an entry of this value as DV1 says?
///
/// # Safety
/// It is a thread's that has ended.
pub(super) unsafe fn is_as_expected(dtv: usize, entry: usize, address: usize) -> bool {
    // SAFETY: as for this function.
    unsafe {
        let known = [address, UNALLOCATED];
        entry <= *word(dtv, -1, 0)
            && known.contains(&*word(dtv, entry as isize, 0))
            && *word(dtv, entry as isize, 1) == 0
    }
}
