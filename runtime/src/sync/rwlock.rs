//! Job: `RwLock`: std's, over a lock that parks goroutines.
//! Layer: L3 (blocking)
//! Not here: locking and waiting (`raw_rwlock`), guards (`rwlock_guard`), poisoning (`poison`).

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use super::poison::Poison;
use super::raw_rwlock::RawRwLock;
use super::rwlock_guard::{RwLockReadGuard, RwLockWriteGuard};
use crate::wait::Until;

/// Many readers or one writer, with [`std::sync::RwLock`]'s API, poisoning and error types, for
/// goroutines and threads alike.
///
/// Writers and readers take turns, as Go's do: a writer that waits keeps new readers out, and when
/// it unlocks, all readers that waited meanwhile go before the next writer. So who reads must not
/// read again before unlocking: a writer may wait in between, and then neither gets on.
///
/// Readers come and go by one addition each. Once many have been seen inside together, with no writer
/// that had to wait for them, those on different Ps no longer write the same memory: two on two Ps
/// read twice as often as one. The lock then allocates 128 bytes for each P, for 16 at most, which it
/// keeps until it is dropped; and each writer adds up that many counts.
///
/// A goroutine may hold a guard while it parks, and may continue on another OS thread then.
///
/// ```
/// use gusty::sync::{Arc, RwLock};
///
/// let lock = Arc::new(RwLock::new(5));
/// let readers: Vec<_> = (0..10)
///     .map(|_| {
///         let lock = lock.clone();
///         gusty::spawn(move || assert!(*lock.read().unwrap() >= 5))
///     })
///     .collect();
/// *lock.write().unwrap() += 1;
/// readers.into_iter().for_each(|reader| reader.join().unwrap());
/// assert_eq!(*lock.read().unwrap(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Poison,
    value: UnsafeCell<T>,
}

// SAFETY: owning the lock is owning the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: the value is given to one writer at a time (Send), or to readers (Sync), on whatever
// threads those are (RL1).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// A panic while the value was changed is reported by poisoning.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    /// An unlocked lock.
    ///
    /// ```
    /// static LIMIT: gusty::sync::RwLock<u32> = gusty::sync::RwLock::new(10);
    /// assert_eq!(*LIMIT.read().unwrap(), 10);
    /// ```
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { raw: RawRwLock::new(), poison: Poison::new(), value: UnsafeCell::new(value) }
    }

    /// The value, without locking: nobody else can have the lock.
    ///
    /// # Errors
    /// The lock is poisoned; the error holds the value.
    ///
    /// ```
    /// let lock = gusty::sync::RwLock::new(5);
    /// assert_eq!(lock.into_inner().unwrap(), 5);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        self.poison.check(self.value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading, waiting while a writer holds the lock or waits for it. Parks a goroutine,
    /// blocks a plain thread.
    ///
    /// # Errors
    /// A writer panicked; the error holds the guard.
    ///
    /// ```
    /// let lock = gusty::sync::RwLock::new(1);
    /// let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
    /// assert_eq!(*one + *other, 2);
    /// ```
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.read();
        self.read_guard()
    }

    /// Locks for reading if no writer holds the lock or waits for it. Never blocks.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if there is such a writer, [`TryLockError::Poisoned`] with the
    /// guard if a writer panicked.
    ///
    /// ```
    /// let lock = gusty::sync::RwLock::new(1);
    /// assert_eq!(*lock.try_read().unwrap(), 1);
    /// let guard = lock.write().unwrap();
    /// assert!(lock.try_read().is_err());
    /// # drop(guard);
    /// ```
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.raw.try_read() { Ok(self.read_guard()?) } else { Err(TryLockError::WouldBlock) }
    }

    /// As [`read`](RwLock::read), waiting for at most `timeout`; zero only tries.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if the time passed first, [`TryLockError::Poisoned`] with the
    /// guard if a writer panicked.
    ///
    /// ```
    /// use std::time::Duration;
    /// let lock = gusty::sync::RwLock::new(1);
    /// let guard = lock.write().unwrap();
    /// assert!(lock.read_timeout(Duration::from_millis(1)).is_err());
    /// # drop(guard);
    /// ```
    pub fn read_timeout(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if timeout.is_zero() { self.try_read() } else { self.read_until(Until::timeout(timeout)) }
    }

    /// Waits until `until`; [`TryLockError::WouldBlock`] if that came first.
    pub(super) fn read_until(&self, until: Until<'_>) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let locked = self.raw.read_until(until);
        if locked { Ok(self.read_guard()?) } else { Err(TryLockError::WouldBlock) }
    }

    /// Locks for writing, waiting while anybody else holds the lock. Parks a goroutine, blocks a
    /// plain thread. Writers that wait are served as by a [`Mutex`](super::Mutex).
    ///
    /// # Errors
    /// A writer panicked; the error holds the guard.
    ///
    /// ```
    /// let lock = gusty::sync::RwLock::new(1);
    /// *lock.write().unwrap() += 1;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw.write();
        self.write_guard()
    }

    /// Locks for writing if nobody holds the lock. Never blocks.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody holds it, [`TryLockError::Poisoned`] with the guard
    /// if a writer panicked.
    ///
    /// ```
    /// let lock = gusty::sync::RwLock::new(1);
    /// let guard = lock.read().unwrap();
    /// assert!(lock.try_write().is_err());
    /// # drop(guard);
    /// ```
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.raw.try_write() { Ok(self.write_guard()?) } else { Err(TryLockError::WouldBlock) }
    }

    /// As [`write`](RwLock::write), waiting for at most `timeout`; zero only tries. Readers that
    /// came meanwhile and had to wait for this writer get in when it gives up.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if the time passed first, [`TryLockError::Poisoned`] with the
    /// guard if a writer panicked.
    ///
    /// ```
    /// use std::time::Duration;
    /// let lock = gusty::sync::RwLock::new(1);
    /// let guard = lock.read().unwrap();
    /// assert!(lock.write_timeout(Duration::from_millis(1)).is_err());
    /// # drop(guard);
    /// ```
    pub fn write_timeout(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if timeout.is_zero() { self.try_write() } else { self.write_until(Until::timeout(timeout)) }
    }

    /// Waits until `until`; [`TryLockError::WouldBlock`] if that came first.
    pub(super) fn write_until(&self, until: Until<'_>) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let locked = self.raw.write_until(until);
        if locked { Ok(self.write_guard()?) } else { Err(TryLockError::WouldBlock) }
    }

    fn value(&self) -> NonNull<T> {
        // SAFETY: the address of a field.
        unsafe { NonNull::new_unchecked(self.value.get()) }
    }

    /// For who has just locked for reading (RL1).
    #[inline]
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        // SAFETY: locked for reading by the caller.
        self.poison.check(unsafe { RwLockReadGuard::new(self.value(), &self.raw) })
    }

    /// For who has just locked for writing (RL1).
    #[inline]
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        // SAFETY: locked for writing by the caller.
        self.poison.check(unsafe { RwLockWriteGuard::new(self.value(), &self.raw, &self.poison) })
    }

    /// Whether a writer panicked. Without holding the lock, the answer may be old.
    ///
    /// ```
    /// let lock = gusty::sync::RwLock::new(1);
    /// assert!(!lock.is_poisoned());
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Declares the value good again.
    ///
    /// ```
    /// use gusty::sync::{Arc, PoisonError, RwLock};
    /// let lock = Arc::new(RwLock::new(1));
    /// let clone = lock.clone();
    /// let _ = gusty::spawn(move || {
    ///     let _guard = clone.write().unwrap();
    ///     panic!("poisons the lock");
    /// })
    /// .join();
    /// *lock.write().unwrap_or_else(PoisonError::into_inner) = 2;
    /// lock.clear_poison();
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: nobody else can have the lock.
    ///
    /// # Errors
    /// The lock is poisoned; the error holds the reference.
    ///
    /// ```
    /// let mut lock = gusty::sync::RwLock::new(1);
    /// *lock.get_mut().unwrap() = 2;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.check(self.value.get_mut())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}
