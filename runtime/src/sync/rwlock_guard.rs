//! Job: the guards of `RwLock`.
//! Layer: L3 (blocking)
//! Not here: making them (`rwlock`), waiting (`raw_rwlock`).
//! Invariants
//!   RL1  A read guard exists exactly while its owner holds the raw lock for reading, a write guard
//!        while its owner holds it for writing.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use super::poison::{Before, Poison};
use super::raw_rwlock::RawRwLock;

/// Shared access to the value of an [`RwLock`](super::RwLock); unlocks when dropped. Never blocks doing so.
///
/// Not `Send`: another goroutine or thread must not unlock.
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// let lock = gusty::sync::RwLock::new(0);
/// send(lock.read().unwrap());
/// ```
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // A pointer, so that a guard of a longer-lived type is one of a shorter-lived type, too.
    value: NonNull<T>,
    raw: &'a RawRwLock,
}

/// Exclusive access to the value of an [`RwLock`](super::RwLock); unlocks when dropped. That may let another
/// goroutine run first, as with [`MutexGuard`](super::MutexGuard).
///
/// Not `Send`: another goroutine or thread must not unlock.
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// let lock = gusty::sync::RwLock::new(0);
/// send(lock.write().unwrap());
/// ```
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    raw: &'a RawRwLock,
    poison: &'a Poison,
    before: Before,
    _unique: PhantomData<&'a mut T>,
}

// A panic while the value was changed is reported by poisoning.
impl<T: ?Sized> UnwindSafe for RwLockWriteGuard<'_, T> {}
impl<T: ?Sized> RefUnwindSafe for RwLockWriteGuard<'_, T> {}

// SAFETY: a shared guard gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: a shared guard gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// # Safety
    /// `raw`, which guards `value`, is held for reading, and this guard is what unlocks it (RL1).
    #[inline]
    pub(super) unsafe fn new(value: NonNull<T>, raw: &'a RawRwLock) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { value, raw }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// # Safety
    /// `raw`, which guards `value`, is held for writing, and this guard is what unlocks it (RL1).
    #[inline]
    pub(super) unsafe fn new(
        value: NonNull<T>,
        raw: &'a RawRwLock,
        poison: &'a Poison,
    ) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { value, raw, poison, before: Before::now(), _unique: PhantomData }
    }

    /// Turns exclusive access into shared access, with no writer in between. Readers that wait get
    /// in, too. Never blocks.
    ///
    /// ```
    /// use gusty::sync::{RwLock, RwLockWriteGuard};
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.write().unwrap();
    /// *writer += 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*reader + *lock.read().unwrap(), 4);
    /// ```
    pub fn downgrade(s: Self) -> RwLockReadGuard<'a, T> {
        let guard = ManuallyDrop::new(s);
        guard.poison.guard_ends(guard.before);
        // SAFETY: the write guard ends here, and so does its hold, which becomes the read guard's
        // (RL1).
        unsafe {
            guard.raw.downgrade();
            RwLockReadGuard::new(guard.value, guard.raw)
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held for reading (RL1).
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held for writing (RL1).
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held for writing (RL1).
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the lock is held for reading (RL1).
        unsafe { self.raw.unlock_read() };
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.poison.guard_ends(self.before);
        // SAFETY: the lock is held for writing (RL1).
        unsafe { self.raw.unlock_write() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
