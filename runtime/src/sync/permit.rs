//! Job: permits of a `Semaphore` in somebody's hand; they go back when dropped.
//! Layer: L3 (blocking)
//! Not here: taking them (`semaphore`).

use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use super::semaphore::Semaphore;

/// A [`Permit`] that borrows its semaphore.
pub type SemaphorePermit<'a> = Permit<&'a Semaphore>;

/// A [`Permit`] that owns its semaphore, and can go to other goroutines.
pub type OwnedSemaphorePermit = Permit<Arc<Semaphore>>;

/// One or several permits of a [`Semaphore`]; dropping it gives them back.
///
/// `S` is a `&Semaphore` or an `Arc<Semaphore>`.
#[must_use = "dropping a permit gives it back at once"]
pub struct Permit<S: Deref<Target = Semaphore>> {
    semaphore: S,
    count: usize,
}

impl<S: Deref<Target = Semaphore>> Permit<S> {
    pub(super) fn new(semaphore: S, count: usize) -> Permit<S> {
        Permit { semaphore, count }
    }

    /// How many these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does away with them: they do not go back.
    ///
    /// ```
    /// let semaphore = gusty::sync::Semaphore::new(2);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Adds the permits of `other` to these.
    ///
    /// # Panics
    /// They are of another semaphore; they go back to that one.
    #[track_caller]
    pub fn merge(&mut self, mut other: Permit<S>) {
        let (mine, theirs): (&Semaphore, &Semaphore) = (&self.semaphore, &other.semaphore);
        assert!(ptr::eq(mine, theirs), "permits of different semaphores");
        self.count += std::mem::take(&mut other.count);
    }
}

impl<S: Deref<Target = Semaphore> + Clone> Permit<S> {
    /// Splits off `n`, if there are so many.
    ///
    /// ```
    /// let semaphore = gusty::sync::Semaphore::new(3);
    /// let mut all = semaphore.acquire_many(3);
    /// drop(all.split(2));
    /// assert_eq!((all.count(), semaphore.available_permits()), (1, 2));
    /// ```
    pub fn split(&mut self, n: usize) -> Option<Permit<S>> {
        self.count = self.count.checked_sub(n)?;
        Some(Permit::new(self.semaphore.clone(), n))
    }
}

impl<S: Deref<Target = Semaphore>> Drop for Permit<S> {
    #[inline]
    fn drop(&mut self) {
        if self.count != 0 {
            self.semaphore.give(self.count);
        }
    }
}

impl<S: Deref<Target = Semaphore>> fmt::Debug for Permit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}
