//! Job: the lock for critical sections of a few dozen instructions inside the runtime.
//! Layer: L0 (machine)
//! Not here: locks for users (`sync::Mutex`), locks held over system calls (`sleep_lock`), or, outside
//!   of sections, over allocation (`parking_lot`'s).
//! Invariants
//!   LK1  A holder never parks, allocates, calls user code or makes a system call.
//!   LK2  Only the holder unlocks.
//!   LK3  A guard is a runtime section (`section`): its holder is not stopped, nor does it lose its
//!        right to run. So `lock`, where it is the outermost section, may let others run first.
//!        Who forgets a guard, for the other side of a switch to unlock, leaves its section itself.
//! Orderings
//!   E1  unlock: store(FREE, Release) -> lock: CAS(Acquire)   the section's writes are seen
//!
//! Unlocking is a plain store (1 ns instead of the 7 ns of a read-modify-write, which a futex lock
//! needs to learn of sleepers); with four of these in a channel round trip that is a fifth of its
//! cost. The price: a waiter cannot be woken, so one that waits long (its holder lost the CPU)
//! gives up its own CPU, first by `sched_yield`, then by naps, which also frees a real-time waiter
//! from spinning over a lower-priority holder.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::section::{self, Section};

/// Raw spin lock; see the module for its contract.
pub(crate) struct RawSpin(AtomicBool);

impl RawSpin {
    pub(crate) const fn new() -> RawSpin {
        RawSpin(AtomicBool::new(false))
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
            && self
                .0
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed) // E1
                .is_ok()
    }

    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_slow();
        }
    }

    #[cold]
    fn lock_slow(&self) {
        let mut round = 0u32;
        while !self.try_lock() {
            match round {
                0..8 => (0..1u32 << round).for_each(|_| std::hint::spin_loop()),
                8..32 => std::thread::yield_now(),
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
            round = round.saturating_add(1);
        }
    }

    /// # Safety
    /// The caller holds the lock (LK2).
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        debug_assert!(self.0.load(Ordering::Relaxed));
        self.0.store(false, Ordering::Release); // E1
    }
}

/// A value behind a [`RawSpin`].
pub(crate) struct SpinLock<T> {
    raw: RawSpin,
    value: UnsafeCell<T>,
}

// SAFETY: LK2 and the guard make access to the value exclusive.
unsafe impl<T: Send> Sync for SpinLock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> SpinLock<T> {
        SpinLock { raw: RawSpin::new(), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        section::enter(); // LK3
        self.raw.lock();
        SpinGuard(self)
    }

    /// The value, for who holds the lock without a guard.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.value.get()
    }

    /// The lock itself, for a park whose commit unlocks it after the guard was forgotten.
    pub(crate) fn raw(&self) -> &RawSpin {
        &self.raw
    }
}

/// Unlocks on drop.
pub(crate) struct SpinGuard<'a, T>(&'a SpinLock<T>);

impl<T> SpinGuard<'_, T> {
    /// Unlocks, but stays in the section: for what is done next, which would enter one anew.
    #[inline]
    pub(crate) fn unlock(self) -> Section {
        let guard = ManuallyDrop::new(self);
        // SAFETY: the guard is proof of holding the lock (LK2), and is forgotten.
        unsafe { guard.0.raw.unlock() };
        // SAFETY: that of the guard (LK3), which does not leave it.
        unsafe { Section::assume() }
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof of holding the lock (LK2).
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is proof of holding the lock (LK2).
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard is proof of holding the lock (LK2).
        unsafe { self.0.raw.unlock() };
        section::leave(); // LK3
    }
}

#[cfg(test)]
mod tests {
    use super::SpinLock;

    #[test]
    fn excludes() {
        let lock = SpinLock::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..50_000).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 200_000);
        let held = lock.lock();
        assert!(!lock.raw().try_lock());
        drop(held);
        assert!(lock.raw().try_lock());
    }
}
