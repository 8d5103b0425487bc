//! Job: the waits of this module that end with a context.
//! Layer: L3 (blocking)
//! Not here: the waits themselves; those with a timeout stand beside them.
//!
//! As everywhere, a context that has ended already is an error, even if there is nothing to wait for.

use std::sync::{LockResult, TryLockError, TryLockResult};

use super::barrier::{Barrier, BarrierWaitResult};
use super::condvar::{self, Condvar};
use super::mutex::{Mutex, MutexGuard};
use super::once::Once;
use super::once_lock::OnceLock;
use super::rwlock::RwLock;
use super::rwlock_guard::{RwLockReadGuard, RwLockWriteGuard};
use super::until;
use crate::context::{Context, Error};

/// Sorts apart "not in time" and "poisoned".
fn locked<G>(ctx: &Context, result: TryLockResult<G>) -> Result<LockResult<G>, Error> {
    match result {
        Ok(guard) => Ok(Ok(guard)),
        Err(TryLockError::Poisoned(error)) => Ok(Err(error)),
        Err(TryLockError::WouldBlock) => Err(ctx.ended()),
    }
}

impl<T: ?Sized> Mutex<T> {
    /// As [`lock`](Mutex::lock), until `ctx` ends at the latest. A waiter whose context ends when
    /// the mutex is just being handed over to it has it.
    ///
    /// # Errors
    /// The context ended first, or before the call. Within the `Ok`: as `lock`.
    ///
    /// ```
    /// use gusty::{context, sync::Mutex};
    /// let mutex = Mutex::new(1);
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let guard = mutex.lock_ctx(&ctx).unwrap().unwrap();
    /// cancel.cancel();
    /// assert!(mutex.lock_ctx(&ctx).is_err());
    /// # drop(guard);
    /// ```
    pub fn lock_ctx(&self, ctx: &Context) -> Result<LockResult<MutexGuard<'_, T>>, Error> {
        locked(ctx, self.lock_until(ctx.until()?))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// As [`read`](RwLock::read), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first, or before the call. Within the `Ok`: as `read`.
    ///
    /// ```
    /// use gusty::{context, sync::RwLock};
    /// let lock = RwLock::new(1);
    /// assert_eq!(*lock.read_ctx(&context::background()).unwrap().unwrap(), 1);
    /// ```
    pub fn read_ctx(&self, ctx: &Context) -> Result<LockResult<RwLockReadGuard<'_, T>>, Error> {
        locked(ctx, self.read_until(ctx.until()?))
    }

    /// As [`write`](RwLock::write), until `ctx` ends at the latest. Readers that came meanwhile and
    /// had to wait for this writer get in when it gives up.
    ///
    /// # Errors
    /// The context ended first, or before the call. Within the `Ok`: as `write`.
    ///
    /// ```
    /// use gusty::{context, sync::RwLock};
    /// let lock = RwLock::new(1);
    /// *lock.write_ctx(&context::background()).unwrap().unwrap() += 1;
    /// assert_eq!(lock.into_inner().unwrap(), 2);
    /// ```
    pub fn write_ctx(&self, ctx: &Context) -> Result<LockResult<RwLockWriteGuard<'_, T>>, Error> {
        locked(ctx, self.write_until(ctx.until()?))
    }
}

impl Condvar {
    /// As [`wait`](Condvar::wait), until `ctx` ends at the latest; how long locking takes
    /// afterwards is not limited. A notification that comes just as the context ends is either
    /// reported, or goes to the next waiter.
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait); the error holds what else would be returned. Beside the guard:
    /// the context ended without a notification, or before the call: the mutex was not
    /// unlocked then.
    ///
    /// ```
    /// use gusty::{context, sync::{Condvar, Mutex}};
    /// use std::time::Duration;
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// let (ctx, _cancel) =
    ///     context::with_timeout(&context::background(), Duration::from_millis(1));
    /// let (_guard, notified) = condvar.wait_ctx(mutex.lock().unwrap(), &ctx).unwrap();
    /// assert!(notified.unwrap_err().is_timeout());
    /// ```
    pub fn wait_ctx<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        ctx: &Context,
    ) -> LockResult<(MutexGuard<'a, T>, Result<(), Error>)> {
        let notified = until::served(ctx, |until| self.wait_until(&guard, until));
        condvar::with(guard.relocked(), notified)
    }
}

impl Barrier {
    /// As [`wait`](Barrier::wait), until `ctx` ends at the latest; the caller then does not count
    /// as here.
    ///
    /// # Errors
    /// The context ended before the round was complete, or before the call.
    ///
    /// ```
    /// use gusty::{context, sync::Barrier};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// cancel.cancel();
    /// assert!(Barrier::new(2).wait_ctx(&ctx).is_err());
    /// assert!(Barrier::new(1).wait_ctx(&context::background()).unwrap().is_leader());
    /// ```
    pub fn wait_ctx(&self, ctx: &Context) -> Result<BarrierWaitResult, Error> {
        self.wait_until(ctx.until()?).ok_or_else(|| ctx.ended())
    }
}

impl Once {
    /// As [`wait`](Once::wait), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first, or before the call.
    ///
    /// # Panics
    /// As [`wait`](Once::wait).
    ///
    /// ```
    /// use gusty::{context, sync::Once};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// cancel.cancel();
    /// assert!(Once::new().wait_ctx(&ctx).is_err());
    /// ```
    pub fn wait_ctx(&self, ctx: &Context) -> Result<(), Error> {
        until::served(ctx, |until| self.wait_until(false, until))
    }
}

impl<T> OnceLock<T> {
    /// As [`wait`](OnceLock::wait), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first, or before the call.
    ///
    /// ```
    /// use gusty::{context, sync::OnceLock};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// cancel.cancel();
    /// assert!(OnceLock::<u8>::new().wait_ctx(&ctx).is_err());
    /// assert_eq!(OnceLock::from(5).wait_ctx(&context::background()), Ok(&5));
    /// ```
    pub fn wait_ctx(&self, ctx: &Context) -> Result<&T, Error> {
        self.wait_until(ctx.until()?).ok_or_else(|| ctx.ended())
    }
}
