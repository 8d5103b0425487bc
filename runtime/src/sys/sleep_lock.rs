//! Job: a lock whose waiters sleep in the kernel, and nothing else.
//! Layer: L0 (machine)
//! Not here: the one that is a runtime section, too (`mutex`).
//! Invariants
//!   SK1  Neither locking nor unlocking allocates. (parking_lot's lock does when it is contended for
//!        the first time by a thread, which here may be a goroutine, and grows a table with threads.)
//!   SK2  Who takes it is in a runtime section, or a thread that is no M.
//! Orderings
//!   E1  unlock: swap(FREE, Release) -> lock: CAS or swap(Acquire)   the section's writes are seen
//! Source: the three-state mutex of U. Drepper, "Futexes are tricky".

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use super::futex;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may sleep.
const CONTENDED: u32 = 2;
/// Looks at a held lock before sleeping.
const SPINS: u32 = 100;

/// A value behind a lock.
pub(crate) struct SleepLock<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the guard makes access to the value exclusive.
unsafe impl<T: Send> Sync for SleepLock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for SleepLock<T> {}

impl<T> SleepLock<T> {
    pub(crate) const fn new(value: T) -> SleepLock<T> {
        SleepLock { word: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// SK2.
    #[inline]
    pub(crate) fn lock(&self) -> SleepGuard<'_, T> {
        let (ok, err) = (Ordering::Acquire, Ordering::Relaxed); // E1
        if self.word.compare_exchange(FREE, LOCKED, ok, err).is_err() {
            self.lock_slow();
        }
        SleepGuard(self)
    }

    #[cold]
    fn lock_slow(&self) {
        // SK1: a spin, then the kernel.
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) == FREE {
                break;
            }
            std::hint::spin_loop();
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            // E1
            futex::wait(&self.word, CONTENDED, None);
        }
    }
}

/// Unlocks on drop.
pub(crate) struct SleepGuard<'a, T>(&'a SleepLock<T>);

impl<T> Deref for SleepGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for SleepGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for SleepGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.word.swap(FREE, Ordering::Release) == CONTENDED {
            // E1
            futex::wake(&raw const self.0.word, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SleepLock;

    #[test]
    fn excludes_and_wakes() {
        let lock = SleepLock::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for i in 0..20_000 {
                        *lock.lock() += 1;
                        if i % 1_000 == 0 {
                            let _held = lock.lock();
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 160_000);
    }
}
