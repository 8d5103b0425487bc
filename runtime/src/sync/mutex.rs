//! Job: `Mutex` and its guard: std's, over a mutex that parks goroutines.
//! Layer: L3 (blocking)
//! Not here: locking and waiting (`raw_mutex`), poisoning (`poison`).
//! Invariants
//!   MX1  A guard exists exactly while its owner holds the raw mutex.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use super::poison::{Before, Poison};
use super::raw_mutex::RawMutex;
use crate::wait::Until;

/// Mutual exclusion with [`std::sync::Mutex`]'s API, poisoning and error types, for goroutines and
/// threads alike.
///
/// A goroutine may hold the guard while it parks, and may continue on another OS thread then.
/// Locks are fast rather than fair, as Go's: a newcomer may overtake those who wait, but after 1 ms
/// of waiting the mutex is handed over in order.
///
/// ```
/// use gusty::{go, sync::Mutex};
/// use std::sync::Arc;
///
/// let total = Arc::new(Mutex::new(0));
/// let adders: Vec<_> = (0..10)
///     .map(|i| {
///         let total = total.clone();
///         gusty::spawn(move || *total.lock().unwrap() += i)
///     })
///     .collect();
/// adders.into_iter().for_each(|adder| adder.join().unwrap());
/// assert_eq!(*total.lock().unwrap(), 45);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Poison,
    value: UnsafeCell<T>,
}

// SAFETY: the value is given to one holder at a time (MX1), on whatever thread that is.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// A panic while the value was changed is reported by poisoning.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// Access to the value of a locked [`Mutex`]; unlocks when dropped.
///
/// Dropping it may let another goroutine run first: one that has waited for more than 1 ms gets the
/// mutex handed over and runs next, and the goroutine that unlocked goes on after it.
///
/// Not `Send`: another goroutine or thread must not unlock.
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// let mutex = gusty::sync::Mutex::new(0);
/// send(mutex.lock().unwrap());
/// ```
///
/// A reference to the guard may go elsewhere, and so may the mutex:
///
/// ```
/// fn send<T: Send>(_: T) {}
/// let mutex = gusty::sync::Mutex::new(0);
/// send(&mutex.lock().unwrap());
/// send(mutex);
/// ```
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    before: Before,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    ///
    /// ```
    /// static COUNT: gusty::sync::Mutex<u32> = gusty::sync::Mutex::new(0);
    /// *COUNT.lock().unwrap() += 1;
    /// ```
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawMutex::new(), poison: Poison::new(), value: UnsafeCell::new(value) }
    }

    /// The value, without locking: nobody else can have the mutex.
    ///
    /// # Errors
    /// The mutex is poisoned; the error holds the value.
    ///
    /// ```
    /// let mutex = gusty::sync::Mutex::new(5);
    /// assert_eq!(mutex.into_inner().unwrap(), 5);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.poison.check(self.value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting while somebody else holds the mutex. Parks a goroutine, blocks a plain
    /// thread. Locking again what one holds never returns.
    ///
    /// # Errors
    /// A holder panicked; the error holds the guard.
    ///
    /// ```
    /// let mutex = gusty::sync::Mutex::new(1);
    /// *mutex.lock().unwrap() += 1;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock();
        self.guard()
    }

    /// Locks if nobody holds the mutex. Never blocks.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody holds it, [`TryLockError::Poisoned`] with the guard
    /// if a holder panicked.
    ///
    /// ```
    /// let mutex = gusty::sync::Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// # drop(guard);
    /// ```
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() { Ok(self.guard()?) } else { Err(TryLockError::WouldBlock) }
    }

    /// As [`lock`](Mutex::lock), waiting for at most `timeout`; zero only tries.
    ///
    /// A waiter whose time is over when the mutex is just being handed over to it has it.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if the time passed first, [`TryLockError::Poisoned`] with the
    /// guard if a holder panicked.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mutex = gusty::sync::Mutex::new(1);
    /// let guard = mutex.lock_timeout(Duration::from_millis(1)).unwrap();
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_err());
    /// # drop(guard);
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        if timeout.is_zero() { self.try_lock() } else { self.lock_until(Until::timeout(timeout)) }
    }

    /// Waits until `until`; [`TryLockError::WouldBlock`] if that came first.
    pub(super) fn lock_until(&self, until: Until<'_>) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.lock_until(until) { Ok(self.guard()?) } else { Err(TryLockError::WouldBlock) }
    }

    /// For who has just locked (MX1).
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard { mutex: self, before: Before::now(), _not_send: PhantomData };
        self.poison.check(guard)
    }

    /// Whether a holder panicked. Without holding the mutex, the answer may be old.
    ///
    /// ```
    /// let mutex = gusty::sync::Mutex::new(1);
    /// assert!(!mutex.is_poisoned());
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Declares the value good again.
    ///
    /// ```
    /// use gusty::sync::{Arc, PoisonError};
    /// let mutex = Arc::new(gusty::sync::Mutex::new(1));
    /// let clone = mutex.clone();
    /// let _ = gusty::spawn(move || {
    ///     let _guard = clone.lock().unwrap();
    ///     panic!("poisons the mutex");
    /// })
    /// .join();
    /// *mutex.lock().unwrap_or_else(PoisonError::into_inner) = 2;
    /// mutex.clear_poison();
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: nobody else can have the mutex.
    ///
    /// # Errors
    /// The mutex is poisoned; the error holds the reference.
    ///
    /// ```
    /// let mut mutex = gusty::sync::Mutex::new(1);
    /// *mutex.get_mut().unwrap() = 2;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.check(self.value.get_mut())
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// For a condition variable, which unlocks and locks again under the guard.
    pub(super) fn raw(&self) -> &'a RawMutex {
        &self.mutex.raw
    }

    /// The guard as `lock` would return it now.
    pub(super) fn relocked(self) -> LockResult<MutexGuard<'a, T>> {
        self.mutex.poison.check(self)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the mutex is held (MX1).
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the mutex is held (MX1).
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.guard_ends(self.before);
        // SAFETY: the mutex is held (MX1).
        unsafe { self.mutex.raw.unlock() };
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
