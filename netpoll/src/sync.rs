//! Job: the atomics, the cell and the lock of the state machines, so that loom can check them.
//! Not here: any protocol.
//! Invariants
//!   SY1  Who finds `locked` false and sets it owns the value until it stores false.
//!   SY2  A section that others may wait for (`with`) is a few dozen instructions: no system call,
//!        no allocation, no parking. A section only entered by `try_with` may take long.
//! Orderings
//!   E1  unlock: locked.store(false, Release) -> lock: locked.CAS(Acquire)   the section is seen
//!
//! Why not a lock that sleeps: its slow path allocates and uses thread-locals, and waiters here may
//! be green threads that are stopped inside the allocator.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64};
#[cfg(not(loom))]
use std::sync::atomic::AtomicBool;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64};

pub(crate) use std::sync::atomic::Ordering;

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

/// `std::cell::UnsafeCell` with loom's way of access.
#[cfg(not(loom))]
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A value behind a spin lock (SY2).
#[cfg(not(loom))]
pub(crate) struct SpinLock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock makes access to the value exclusive (SY1); it moves between threads as `T`.
#[cfg(not(loom))]
unsafe impl<T: Send> Sync for SpinLock<T> {}

#[cfg(not(loom))]
impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> SpinLock<T> {
        SpinLock { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `f` with the lock held; waits for it if need be.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        if !self.acquire() {
            self.acquire_slow();
        }
        self.section(f)
    }

    /// Runs `f` with the lock held, or returns `None` at once if it is taken.
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.acquire().then(|| self.section(f))
    }

    fn acquire(&self) -> bool {
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed) // E1
            .is_ok()
    }

    #[cold]
    fn acquire_slow(&self) {
        let backoff = crossbeam_utils::Backoff::new();
        while !self.acquire() {
            backoff.snooze();
        }
    }

    /// The caller has acquired the lock; released at the end, also by a panic.
    fn section<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        struct Unlock<'a>(&'a AtomicBool);
        impl Drop for Unlock<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release); // E1
            }
        }
        let _unlock = Unlock(&self.locked);
        // SAFETY: SY1.
        self.value.with_mut(|value| f(unsafe { &mut *value }))
    }
}

/// The same for models: loom's mutex, because a spin loop has no end in a model.
#[cfg(loom)]
pub(crate) struct SpinLock<T>(loom::sync::Mutex<T>);

#[cfg(loom)]
impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> SpinLock<T> {
        SpinLock(loom::sync::Mutex::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().expect("a model that panics is over"))
    }

    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_lock().ok().map(|mut value| f(&mut value))
    }
}
