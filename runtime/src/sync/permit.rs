//! Job: permits of a `Semaphore` in somebody's hand, which go back when dropped; and the calls that
//!   put them there.
//! Layer: L3 (blocking)
//! Not here: counting and waiting (`semaphore`).

use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::semaphore::Semaphore;
use super::until;
use crate::context::{Context, Error};
use crate::wait::Until;

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

impl Semaphore {
    /// Takes one permit, waiting for it.
    ///
    /// ```
    /// let semaphore = gusty::sync::Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// drop(permit);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    #[inline]
    pub fn acquire(&self) -> Permit<&Semaphore> {
        self.acquire_many(1)
    }

    /// Takes `n` permits together, waiting for them: for good, if there will never be so many.
    ///
    /// ```
    /// let semaphore = gusty::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.acquire_many(2).count(), 2);
    /// ```
    #[inline]
    pub fn acquire_many(&self, n: usize) -> Permit<&Semaphore> {
        self.take(n, Until::FOREVER);
        Permit::new(self, n)
    }

    /// Takes one permit, if one is free and nobody waits. Never blocks.
    ///
    /// ```
    /// let semaphore = gusty::sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some() && semaphore.try_acquire().is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<&Semaphore>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits together, if so many are free and nobody waits. Never blocks.
    #[inline]
    pub fn try_acquire_many(&self, n: usize) -> Option<Permit<&Semaphore>> {
        self.try_take(n).then(|| Permit::new(self, n))
    }

    /// As [`acquire`](Semaphore::acquire), for at most `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let semaphore = gusty::sync::Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<&Semaphore>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), for at most `timeout`.
    pub fn acquire_many_timeout(&self, n: usize, timeout: Duration) -> Option<Permit<&Semaphore>> {
        if timeout.is_zero() {
            return self.try_acquire_many(n);
        }
        self.take(n, Until::timeout(timeout)).then(|| Permit::new(self, n))
    }

    /// As [`acquire`](Semaphore::acquire), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first.
    ///
    /// ```
    /// use gusty::{context, sync::Semaphore};
    /// let semaphore = Semaphore::new(0);
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// gusty::go!(move || cancel.cancel());
    /// assert_eq!(semaphore.acquire_ctx(&ctx).unwrap_err(), context::Error::Cancelled);
    /// ```
    pub fn acquire_ctx(&self, ctx: &Context) -> Result<Permit<&Semaphore>, Error> {
        self.acquire_many_ctx(ctx, 1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first.
    pub fn acquire_many_ctx(&self, ctx: &Context, n: usize) -> Result<Permit<&Semaphore>, Error> {
        until::served(ctx, |until| self.take(n, until)).map(|()| Permit::new(self, n))
    }

    /// As [`acquire`](Semaphore::acquire), with a permit that owns its semaphore and can go anywhere.
    ///
    /// ```
    /// use gusty::{go, sync::Semaphore};
    /// use std::sync::Arc;
    ///
    /// let workers = Arc::new(Semaphore::new(4));
    /// for i in 0..20 {
    ///     let permit = workers.clone().acquire_owned(); // waits here ...
    ///     go!(move || {
    ///         let _ends_with_us = permit; // ... until one of these ends
    ///         i * i
    ///     });
    /// }
    /// ```
    pub fn acquire_owned(self: Arc<Self>) -> Permit<Arc<Semaphore>> {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with permits that own their semaphore.
    pub fn acquire_many_owned(self: Arc<Self>, n: usize) -> Permit<Arc<Semaphore>> {
        self.take(n, Until::FOREVER);
        Permit::new(self, n)
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many), with permits that own their semaphore.
    pub fn try_acquire_many_owned(self: Arc<Self>, n: usize) -> Option<Permit<Arc<Semaphore>>> {
        self.try_take(n).then(|| Permit::new(self, n))
    }
}
