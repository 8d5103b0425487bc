//! Job: `Condvar`: std's, over goroutines that park.
//! Layer: L3 (blocking)
//! Not here: queueing, parking, notifying (`raw_condvar`).

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use super::mutex::MutexGuard;
use super::raw_condvar::RawCondvar;
use crate::wait::Until;

/// Whether a wait with a timeout ended by that; as [`std::sync::WaitTimeoutResult`].
///
/// ```
/// use gusty::sync::{Condvar, Mutex};
/// use std::time::Duration;
/// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
/// let (_guard, result) =
///     condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(1)).unwrap();
/// assert!(result.timed_out());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time passed without a notification.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// Waiting, with a [`Mutex`](super::Mutex) unlocked meanwhile, until somebody notifies; with
/// [`std::sync::Condvar`]'s API, for goroutines and threads alike.
///
/// Waiters are notified in the order in which they came; each notification wakes one who waited
/// already when it was made. There are no spurious wake-ups, but another may take what one was
/// woken for before one has the mutex again: so test the condition in a loop, or use
/// [`wait_while`](Condvar::wait_while).
///
/// It may be used with several mutexes, also at the same time (std allows that to panic): each
/// waiter unlocks and locks its own.
///
/// ```
/// use gusty::sync::{Arc, Condvar, Mutex};
///
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let clone = pair.clone();
/// gusty::go!(move || {
///     *clone.0.lock().unwrap() = true;
///     clone.1.notify_one();
/// });
/// let mut started = pair.0.lock().unwrap();
/// while !*started {
///     started = pair.1.wait(started).unwrap();
/// }
/// ```
pub struct Condvar {
    raw: RawCondvar,
}

// Nothing of it is in between when user code panics.
impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl Condvar {
    /// A condition variable that nobody waits for.
    ///
    /// ```
    /// static CHANGED: gusty::sync::Condvar = gusty::sync::Condvar::new();
    /// CHANGED.notify_all(); // nobody waits: nothing happens
    /// ```
    #[must_use]
    pub const fn new() -> Condvar {
        Condvar { raw: RawCondvar::new() }
    }

    /// Unlocks the guard's mutex, waits for a notification, and locks it again. Parks a goroutine,
    /// blocks a plain thread.
    ///
    /// # Errors
    /// The mutex is poisoned when it is locked again; the error holds the guard.
    ///
    /// See [`Condvar`] for an example.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(&guard, Until::FOREVER);
        guard.relocked()
    }

    /// Waits as long as `condition` holds; does not wait if it does not. As [`wait`](Condvar::wait)
    /// otherwise.
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait).
    ///
    /// ```
    /// use gusty::sync::{Arc, Condvar, Mutex};
    /// let pair = Arc::new((Mutex::new(3), Condvar::new()));
    /// let clone = pair.clone();
    /// gusty::go!(move || {
    ///     for _ in 0..3 {
    ///         *clone.0.lock().unwrap() -= 1;
    ///         clone.1.notify_one();
    ///     }
    /// });
    /// let left = pair.1.wait_while(pair.0.lock().unwrap(), |left| *left > 0).unwrap();
    /// assert_eq!(*left, 0);
    /// ```
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait_timeout`](Condvar::wait_timeout) with milliseconds; true if notified.
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait).
    #[deprecated = "use `wait_timeout`, as with std"]
    pub fn wait_timeout_ms<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let notified = self.wait_until(&guard, Until::timeout(Duration::from_millis(ms.into())));
        with(guard.relocked(), notified)
    }

    /// As [`wait`](Condvar::wait), waiting for a notification for at most `timeout`; how long
    /// locking takes afterwards is not limited. A notification that comes just as the time passes
    /// is either reported, or goes to the next waiter.
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait); the error holds what else would be returned.
    ///
    /// See [`WaitTimeoutResult`] for an example.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let notified = self.wait_until(&guard, Until::timeout(timeout));
        with(guard.relocked(), WaitTimeoutResult(!notified))
    }

    /// As [`wait_while`](Condvar::wait_while), for at most `timeout`, notifications or not. It
    /// "timed out" if `condition` still holds then.
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait); the error holds what else would be returned.
    ///
    /// ```
    /// use gusty::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    /// let (mutex, condvar) = (Mutex::new(1), Condvar::new());
    /// let short = Duration::from_millis(1);
    /// let (guard, result) =
    ///     condvar.wait_timeout_while(mutex.lock().unwrap(), short, |n| *n > 0).unwrap();
    /// assert!(result.timed_out());
    /// let (_guard, result) = condvar.wait_timeout_while(guard, short, |n| *n > 1).unwrap();
    /// assert!(!result.timed_out());
    /// ```
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let until = Until::timeout(timeout);
        let mut in_time = true;
        while condition(&mut guard) {
            if !in_time {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            in_time = self.wait_until(&guard, until);
            guard = match guard.relocked() {
                Ok(guard) => guard,
                error => return with(error, WaitTimeoutResult(!in_time)),
            };
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// The guard is good again when this returns; whether it was notified.
    pub(super) fn wait_until<T>(&self, guard: &MutexGuard<'_, T>, until: Until<'_>) -> bool {
        // SAFETY: the guard is proof of holding the mutex (MX1), and nobody can use it before the
        // mutex is held again: it was moved into our caller.
        unsafe { self.raw.wait(guard.raw(), until) }
    }

    /// Wakes the one who has waited longest, if anybody waits. Never blocks.
    ///
    /// See [`Condvar`] for an example.
    #[inline]
    pub fn notify_one(&self) {
        self.raw.notify_one();
    }

    /// Wakes everybody who waits. Never blocks.
    ///
    /// ```
    /// use gusty::sync::{Arc, Condvar, Mutex};
    /// let pair = Arc::new((Mutex::new(false), Condvar::new()));
    /// let waiters: Vec<_> = (0..10)
    ///     .map(|_| {
    ///         let pair = pair.clone();
    ///         gusty::spawn(move || drop(pair.1.wait_while(pair.0.lock().unwrap(), |go| !*go)))
    ///     })
    ///     .collect();
    /// *pair.0.lock().unwrap() = true;
    /// pair.1.notify_all();
    /// waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    /// ```
    #[inline]
    pub fn notify_all(&self) {
        self.raw.notify_all();
    }
}

/// Pairs a guard with something else, poisoned or not.
pub(super) fn with<'a, T, R>(
    guard: LockResult<MutexGuard<'a, T>>,
    rest: R,
) -> LockResult<(MutexGuard<'a, T>, R)> {
    match guard {
        Ok(guard) => Ok((guard, rest)),
        Err(error) => Err(PoisonError::new((error.into_inner(), rest))),
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
