//! Job: a lock whose waiters sleep, for the runtime's own use where a hold may last microseconds.
//! Layer: L0 (machine)
//! Not here: the lock itself (`sleep_lock`), the one for a few dozen instructions (`lock`).
//! Invariants
//!   FM1  A guard is a runtime section, as LK3 of `lock` has it.

use std::ops::{Deref, DerefMut};

use super::section::Section;
use super::sleep_lock::{SleepGuard, SleepLock};

/// A value behind a lock.
pub(crate) struct Mutex<T>(SleepLock<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(SleepLock::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let section = Section::enter(); // FM1
        MutexGuard { guard: self.0.lock(), _section: section }
    }
}

/// Unlocks on drop, and leaves the section then.
pub(crate) struct MutexGuard<'a, T> {
    guard: SleepGuard<'a, T>,
    _section: Section,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(test)]
mod tests {
    use super::Mutex;
    use crate::sys::section;

    #[test]
    fn a_guard_is_a_section() {
        let (mutex, before) = (Mutex::new(1), section::depth());
        let mut guard = mutex.lock();
        *guard += 1;
        assert_eq!((*guard, section::depth()), (2, before + 1));
        drop(guard);
        assert_eq!(section::depth(), before);
    }
}
