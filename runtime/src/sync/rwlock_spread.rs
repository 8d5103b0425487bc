//! Job: the counts of a reader-writer lock that many readers use at once, each in cache lines of its
//!   own.
//! Layer: L3 (blocking), with nothing below it but atomics
//! Not here: what is counted, and who may conclude what from the sum (`rwlock_word`).
//! Invariants
//!   RS1  The pointer is null, or for good one to `mask + 1` counts with the mask in the bits that
//!        its alignment leaves free. (A reader finds its count by two loads that do not wait for one
//!        another's line.)
//! Orderings
//!   E1  install: (Release) -> at, sum, ..: (Acquire)   the counts are there

use std::ptr;

use crossbeam_utils::CachePadded;

use crate::sys::shim::{AtomicPtr, AtomicUsize, Ordering};

type Count = CachePadded<AtomicUsize>;

/// The mask's bits (RS1).
const MASK: usize = align_of::<Count>() - 1;
/// More counts than this are more for a writer to add up than they save the readers.
const MAX: usize = 16;

const _: () = assert!(MAX.is_power_of_two() && MAX <= MASK);

/// No counts, until some are installed.
pub(super) struct Spread(AtomicPtr<Count>);

impl Spread {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Spread {
        Spread(AtomicPtr::new(ptr::null_mut()))
    }

    #[cfg(loom)]
    pub(super) fn new() -> Spread {
        Spread(AtomicPtr::new(ptr::null_mut()))
    }

    /// The count for `place`; any number will do.
    #[inline]
    pub(super) fn at(&self, place: impl FnOnce() -> usize) -> Option<&AtomicUsize> {
        let tagged = self.0.load(Ordering::Acquire); // E1
        if tagged.is_null() {
            return None;
        }
        // SAFETY: within the counts, which live as long as this does (RS1).
        Some(unsafe { &*untagged(tagged).add(place() & tagged.addr() & MASK) })
    }

    /// Whether there are counts.
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null() // concludes nothing about the counts
    }

    /// Modulo 2^64. Each count is read once, in turn. Acquire.
    pub(super) fn sum(&self) -> usize {
        let counts = all(self.0.load(Ordering::Acquire)); // E1
        // SAFETY: they live as long as this does (RS1).
        let counts = unsafe { counts.as_ref() }.unwrap_or_default();
        counts.iter().fold(0, |sum, count| {
            sum.wrapping_add(count.load(Ordering::Acquire)) // E1 of `rwlock_word`
        })
    }

    /// Makes counts for `places`, rounded, unless there are some or there is no memory. Allocates.
    pub(super) fn install(&self, places: usize) {
        let len = places.clamp(1, MAX).next_power_of_two();
        let mut counts = Vec::new();
        if self.is_there() || counts.try_reserve_exact(len).is_err() {
            return;
        }
        counts.extend((0..len).map(|_| Count::new(AtomicUsize::new(0))));
        let new = Box::into_raw(counts.into_boxed_slice());
        let tagged = new.cast::<Count>().map_addr(|addr| addr | (len - 1));
        let (ok, err) = (Ordering::Release, Ordering::Relaxed); // E1
        if self.0.compare_exchange(ptr::null_mut(), tagged, ok, err).is_err() {
            // SAFETY: nobody has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

fn untagged(tagged: *mut Count) -> *mut Count {
    tagged.map_addr(|addr| addr & !MASK)
}

/// Null, or all counts (RS1).
fn all(tagged: *mut Count) -> *mut [Count] {
    let len = if tagged.is_null() { 0 } else { (tagged.addr() & MASK) + 1 };
    ptr::slice_from_raw_parts_mut(untagged(tagged), len)
}

impl Drop for Spread {
    fn drop(&mut self) {
        let counts = all(self.0.load(Ordering::Acquire)); // E1
        if !counts.is_null() {
            // SAFETY: from `install`, and nobody uses it any more.
            drop(unsafe { Box::from_raw(counts) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_count_and_places_next_to_one_another_have_two() {
        let spread = Spread::new();
        assert!(spread.at(|| 3).is_none() && spread.sum() == 0 && !spread.is_there());
        spread.install(3);
        spread.install(16); // too late
        let at = |place| spread.at(|| place).expect("installed");
        assert!(spread.is_there() && ptr::eq(at(1), at(5)) && !ptr::eq(at(1), at(3)));
        (0..100).for_each(|place| _ = at(place).fetch_add(2, Ordering::Relaxed));
        at(7).fetch_sub(200, Ordering::Relaxed); // below zero by itself
        assert_eq!(spread.sum(), 0);
    }

    #[test]
    fn there_are_at_most_so_many() {
        let spread = Spread::new();
        spread.install(1_000);
        let at = |place| spread.at(|| place).expect("installed");
        assert!(ptr::eq(at(0), at(MAX)) && !ptr::eq(at(0), at(MAX - 1)));
    }
}
