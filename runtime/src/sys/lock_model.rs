//! Job: the spin lock of a model check: loom's mutex, which knows who waits for it.
//! Layer: L0 (machine)
//! Not here: the real one (`lock`), whose contract this has.

use std::cell::UnsafeCell;
use std::mem;
use std::ops::{Deref, DerefMut};

use loom::sync::{Mutex, MutexGuard};

use super::section::Section;

/// As the real one.
pub(crate) struct RawSpin {
    mutex: Mutex<()>,
    /// Of the holder.
    held: UnsafeCell<Option<MutexGuard<'static, ()>>>,
}

// SAFETY: `held` is touched by the holder only.
unsafe impl Sync for RawSpin {}
// SAFETY: as above.
unsafe impl Send for RawSpin {}

impl RawSpin {
    pub(crate) fn lock(&self) {
        let guard = self.mutex.lock().unwrap();
        // SAFETY: the lock is not moved or dropped while it is held; nobody else holds it.
        unsafe { *self.held.get() = Some(mem::transmute::<MutexGuard<'_, ()>, _>(guard)) };
    }

    /// # Safety
    /// The caller holds the lock.
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: promised by the caller.
        let guard = unsafe { (*self.held.get()).take() };
        drop(guard.expect("held"));
    }
}

/// As the real one.
pub(crate) struct SpinLock<T> {
    raw: RawSpin,
    value: UnsafeCell<T>,
}

// SAFETY: access to the value is exclusive.
unsafe impl<T: Send> Sync for SpinLock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> SpinLock<T> {
        let raw = RawSpin { mutex: Mutex::new(()), held: UnsafeCell::new(None) };
        SpinLock { raw, value: UnsafeCell::new(value) }
    }

    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        self.raw.lock();
        SpinGuard(self)
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.value.get()
    }

    pub(crate) fn raw(&self) -> &RawSpin {
        &self.raw
    }
}

/// Unlocks on drop.
pub(crate) struct SpinGuard<'a, T>(&'a SpinLock<T>);

impl<T> SpinGuard<'_, T> {
    pub(crate) fn unlock(self) -> Section {
        Section
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard is proof of holding the lock.
        unsafe { self.0.raw.unlock() };
    }
}
