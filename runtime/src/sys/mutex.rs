//! Job: a lock whose waiters sleep, for the runtime's own use where a hold may last microseconds.
//! Layer: L0 (machine)
//! Not here: the lock for a few dozen instructions (`lock`), locks of code that only runs on
//!   scheduling stacks (`parking_lot`).
//! Invariants
//!   FM1  A guard is a runtime section, as LK3 of `lock` has it.
//!   FM2  Neither locking nor unlocking allocates. (parking_lot's lock does when it is contended for
//!        the first time by a thread, which here may be a goroutine, and grows a table with threads.)
//! Orderings
//!   E1  unlock: swap(FREE, Release) -> lock: CAS or swap(Acquire)   the section's writes are seen
//! Source: the three-state mutex of U. Drepper, "Futexes are tricky".

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{futex, section};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may sleep.
const CONTENDED: u32 = 2;
/// Looks at a held lock before sleeping.
const SPINS: u32 = 100;

/// A value behind a lock.
pub(crate) struct Mutex<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the guard makes access to the value exclusive.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex { word: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        section::enter(); // FM1
        let (ok, err) = (Ordering::Acquire, Ordering::Relaxed); // E1
        if self.word.compare_exchange(FREE, LOCKED, ok, err).is_err() {
            self.lock_slow();
        }
        MutexGuard(self)
    }

    #[cold]
    fn lock_slow(&self) {
        // FM2: a spin, then the kernel.
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
pub(crate) struct MutexGuard<'a, T>(&'a Mutex<T>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.word.swap(FREE, Ordering::Release) == CONTENDED {
            // E1
            futex::wake(&raw const self.0.word, 1);
        }
        section::leave(); // FM1
    }
}

#[cfg(test)]
mod tests {
    use super::Mutex;

    #[test]
    fn excludes_and_wakes() {
        let mutex = Mutex::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for i in 0..20_000 {
                        *mutex.lock() += 1;
                        if i % 1_000 == 0 {
                            let _held = mutex.lock();
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        assert_eq!(*mutex.lock(), 160_000);
    }
}
