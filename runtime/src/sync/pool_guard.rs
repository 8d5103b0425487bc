//! Job: an object of a `Pool` that goes back by itself.
//! Layer: L3 (blocking)

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread;

use super::pool::Pool;

/// An object of a [`Pool`]; dropping it puts it back. If a panic drops it, it is not put back but
/// dropped: who knows how far its user came.
#[must_use = "the object goes back when the guard is dropped"]
pub struct PoolGuard<'a, T: Send, F: Fn() -> T = fn() -> T> {
    pool: &'a Pool<T, F>,
    /// `None` once taken out.
    object: Option<T>,
    panicking: bool,
}

impl<T: Send, F: Fn() -> T> Pool<T, F> {
    /// As [`get`](Pool::get), in a guard that puts it back.
    ///
    /// ```
    /// let pool = gusty::sync::Pool::new(Vec::<u8>::new);
    /// pool.guard().push(1);
    /// assert_eq!(pool.len(), 1);
    /// ```
    pub fn guard(&self) -> PoolGuard<'_, T, F> {
        PoolGuard { pool: self, object: Some(self.get()), panicking: thread::panicking() }
    }
}

impl<'a, T: Send, F: Fn() -> T> PoolGuard<'a, T, F> {
    /// The object, for good.
    ///
    /// An associated function, so that it hides no method of `T`.
    pub fn into_inner(mut this: PoolGuard<'a, T, F>) -> T {
        this.object.take().expect("there until here")
    }
}

impl<T: Send, F: Fn() -> T> Deref for PoolGuard<'_, T, F> {
    type Target = T;
    fn deref(&self) -> &T {
        self.object.as_ref().expect("there until the guard is consumed")
    }
}

impl<T: Send, F: Fn() -> T> DerefMut for PoolGuard<'_, T, F> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_mut().expect("there until the guard is consumed")
    }
}

impl<T: Send, F: Fn() -> T> Drop for PoolGuard<'_, T, F> {
    fn drop(&mut self) {
        let broken = !self.panicking && thread::panicking();
        if let Some(object) = self.object.take().filter(|_| !broken) {
            self.pool.put(object);
        }
    }
}

impl<T: Send + fmt::Debug, F: Fn() -> T> fmt::Debug for PoolGuard<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
