//! Job: the objects that a pool keeps for one P: the last one put is taken first, while it is warm.
//! Layer: L3 (blocking)
//! Invariants
//!   PF1  No object is made or dropped, and nothing allocated, under the lock: room for all that fits
//!        is made with the shelf, and what is not kept goes back to the caller.
//!   PF2  `idle` is how many objects lay untouched at the bottom since the interval began. An
//!        interval is INTERVAL puts; at its end, half of them are surplus, and as many of the next
//!        puts are refused.
//! Source: the low-water mark of tcmalloc's thread caches.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::lock::SpinLock;

/// Puts between two looks at what was not needed.
const INTERVAL: u32 = 64;

pub(super) struct Shelf<T> {
    /// As many as are kept, so that who looks for one need not lock shelves that are empty.
    len: AtomicUsize,
    kept: SpinLock<Kept<T>>,
}

struct Kept<T> {
    objects: Vec<T>,
    limit: usize,
    idle: usize,
    surplus: usize,
    puts: u32,
}

impl<T> Shelf<T> {
    pub(super) fn new(limit: usize) -> Shelf<T> {
        let objects = Vec::with_capacity(limit);
        let kept = Kept { objects, limit, idle: 0, surplus: 0, puts: 0 };
        Shelf { len: AtomicUsize::new(0), kept: SpinLock::new(kept) }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed) // a hint; the lock orders the objects
    }

    pub(super) fn take(&self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let mut kept = self.kept.lock();
        let object = kept.objects.pop()?;
        let left = kept.objects.len();
        kept.idle = kept.idle.min(left);
        self.len.store(left, Ordering::Relaxed); // as above
        Some(object)
    }

    /// Gives back what is not kept.
    pub(super) fn put(&self, object: T) -> Option<T> {
        let mut kept = self.kept.lock();
        kept.puts += 1;
        if kept.puts == INTERVAL {
            kept.surplus = kept.idle.div_ceil(2); // PF2
            kept.puts = 0;
            kept.idle = kept.objects.len();
        }
        if kept.objects.len() == kept.limit {
            return Some(object);
        }
        if kept.surplus > 0 {
            kept.surplus -= 1;
            return Some(object);
        }
        kept.objects.push(object); // PF1: fits
        self.len.store(kept.objects.len(), Ordering::Relaxed); // as above
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_up_to_its_limit_last_in_first_out() {
        let shelf = Shelf::new(2);
        assert_eq!(shelf.take(), None);
        assert_eq!((shelf.put(1), shelf.put(2), shelf.put(3)), (None, None, Some(3)));
        assert_eq!(shelf.len(), 2);
        assert_eq!((shelf.take(), shelf.take(), shelf.take()), (Some(2), Some(1), None));
    }

    #[test]
    fn what_lies_untouched_is_let_go_by_halves() {
        let shelf = Shelf::new(32);
        (0..32).for_each(|i| assert_eq!(shelf.put(i), None));
        for _ in 0..20 * INTERVAL {
            let one = shelf.take().unwrap_or(99);
            let _ = shelf.put(one); // one in use: the other 31 are surplus, sooner or later
        }
        assert!(shelf.len() <= 1, "{} left", shelf.len());
    }

    #[test]
    fn what_is_in_use_stays() {
        let shelf = Shelf::new(32);
        (0..32).for_each(|i| assert_eq!(shelf.put(i), None));
        for _ in 0..20 * INTERVAL {
            let all: Vec<_> = std::iter::from_fn(|| shelf.take()).collect();
            assert_eq!(all.len(), 32);
            all.into_iter().for_each(|one| assert_eq!(shelf.put(one), None));
        }
    }
}
