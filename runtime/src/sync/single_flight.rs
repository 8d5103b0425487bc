//! Job: `SingleFlight`: callers who want the same at the same time share one call.
//! Layer: L3 (blocking)
//! Invariants
//!   FL1  A call is in the map until it ends or is forgotten; only who leads it takes it out then,
//!        and only itself. Its outcome is set before its followers are released.
//! Source: Go's x/sync/singleflight.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use super::mutex::{Mutex, MutexGuard};
use super::wait_group::WaitGroup;
use crate::chan::{self, Receiver};
use crate::context::{Context, Error};
use crate::task;

/// A group of calls by key, of which those with the same key that overlap become one.
///
/// The first caller *leads*: it runs its function. Who comes before that returns *follows*: it waits
/// and gets a clone of the value, and its own function is dropped without having run. A cache with an
/// expired entry, say, is refilled once, not once for each request.
///
/// If the function panics, so do all: the leader with the panic itself, the followers with a panic
/// that quotes its message. A function that asks for its own key waits for itself, for good.
///
/// ```
/// use gusty::sync::SingleFlight;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let (flights, calls) = (SingleFlight::new(), AtomicUsize::new(0));
/// gusty::scope(|s| {
///     for _ in 0..10 {
///         s.spawn(|| {
///             let (value, _shared) = flights.run("key", || {
///                 gusty::sleep(std::time::Duration::from_millis(1));
///                 calls.fetch_add(1, Ordering::Relaxed);
///                 5
///             });
///             assert_eq!(value, 5);
///         });
///     }
/// });
/// assert!(calls.into_inner() <= 10); // mostly 1
/// ```
pub struct SingleFlight<K, V> {
    calls: Mutex<HashMap<K, Arc<Call<V>>>>,
}

struct Call<V> {
    landed: WaitGroup,
    followers: AtomicUsize,
    /// The value, or the message of the panic.
    outcome: OnceLock<Result<V, String>>,
}

impl<V: Clone> Call<V> {
    fn new() -> Arc<Call<V>> {
        let landed = WaitGroup::new();
        landed.add(1);
        Arc::new(Call { landed, followers: AtomicUsize::new(0), outcome: OnceLock::new() })
    }

    #[track_caller]
    fn value(&self) -> V {
        match self.outcome.get().expect("FL1: set before the call has landed") {
            Ok(value) => value.clone(),
            Err(message) => panic!("the call that this one shares panicked: {message}"),
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> SingleFlight<K, V> {
    /// With no call under way.
    pub fn new() -> SingleFlight<K, V> {
        SingleFlight { calls: Mutex::new(HashMap::new()) }
    }

    /// The value of the call of `key` that is under way, or else of `f`, run by the caller; and
    /// whether several callers got it. Who follows parks if it is a goroutine, else blocks.
    ///
    /// # Panics
    /// If the function panics that is run for all.
    ///
    /// ```
    /// let flights = gusty::sync::SingleFlight::new();
    /// assert_eq!(flights.run(1, || "one"), ("one", false));
    /// ```
    pub fn run(&self, key: K, f: impl FnOnce() -> V) -> (V, bool) {
        match self.board(&key) {
            Seat::Leader(call) => self.lead(&key, &call, f),
            Seat::Follower(call) => {
                call.landed.wait();
                (call.value(), true)
            }
        }
    }

    /// As [`run`](SingleFlight::run), but a follower waits for at most `timeout`: `None` if that
    /// passed. A leader runs `f` to its end.
    ///
    /// # Panics
    /// As [`run`](SingleFlight::run).
    pub fn run_timeout(
        &self,
        key: K,
        timeout: Duration,
        f: impl FnOnce() -> V,
    ) -> Option<(V, bool)> {
        match self.board(&key) {
            Seat::Leader(call) => Some(self.lead(&key, &call, f)),
            Seat::Follower(call) => call.landed.wait_timeout(timeout).then(|| (call.value(), true)),
        }
    }

    /// As [`run`](SingleFlight::run), but a follower waits until `ctx` ends at the latest. A leader
    /// runs `f` to its end, which had better look at its context itself.
    ///
    /// # Errors
    /// The context ended before the call, or before that had ended.
    ///
    /// # Panics
    /// As [`run`](SingleFlight::run).
    pub fn run_ctx(
        &self,
        ctx: &Context,
        key: K,
        f: impl FnOnce() -> V,
    ) -> Result<(V, bool), Error> {
        if let Some(error) = ctx.err() {
            return Err(error);
        }
        match self.board(&key) {
            Seat::Leader(call) => Ok(self.lead(&key, &call, f)),
            Seat::Follower(call) => {
                call.landed.wait_ctx(ctx)?;
                Ok((call.value(), true))
            }
        }
    }

    /// As [`run`](SingleFlight::run) on a goroutine of its own; the result comes by a channel, for
    /// `select!` and for who may stop waiting. If the call panics, the channel ends empty.
    ///
    /// ```
    /// use gusty::sync::SingleFlight;
    /// let flights = std::sync::Arc::new(SingleFlight::new());
    /// assert_eq!(flights.run_chan("key", || 5).recv().unwrap().0, 5);
    /// ```
    #[track_caller]
    pub fn run_chan<F>(self: &Arc<Self>, key: K, f: F) -> Receiver<(V, bool)>
    where
        F: FnOnce() -> V + Send + 'static,
        K: Send + 'static,
        V: Send + Sync + 'static,
    {
        let (tx, rx) = chan::bounded(1);
        let flights = self.clone();
        drop(task::spawn(move || {
            let _ = tx.send(flights.run(key, f)); // an error: nobody wants it any more
        }));
        rx
    }

    /// Lets the next caller with this key lead a new call, also while one is under way; those who
    /// follow that one go on doing so. Never waits for a call.
    pub fn forget(&self, key: &K) {
        let forgotten = self.calls().remove(key);
        drop(forgotten);
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<K, Arc<Call<V>>>> {
        // A panic in a key's `Hash` or `Eq` leaves the map as it was.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn board(&self, key: &K) -> Seat<V> {
        let new = Call::new();
        match self.calls().entry(key.clone()) {
            Entry::Occupied(entry) => {
                let call = entry.get();
                call.followers.fetch_add(1, Ordering::Relaxed); // under the lock
                Seat::Follower(call.clone())
            }
            Entry::Vacant(entry) => Seat::Leader(entry.insert(new).clone()),
        }
    }

    fn lead(&self, key: &K, call: &Arc<Call<V>>, f: impl FnOnce() -> V) -> (V, bool) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let value = f();
            (value.clone(), value)
        }));
        let (outcome, mine) = match result {
            Ok((theirs, mine)) => (Ok(theirs), Ok(mine)),
            Err(payload) => (Err(message(&*payload)), Err(payload)),
        };
        let set = call.outcome.set(outcome); // FL1
        debug_assert!(set.is_ok());
        let landing = Landing(call);
        let shared = {
            let mut calls = self.calls();
            if calls.get(key).is_some_and(|current| Arc::ptr_eq(current, call)) {
                calls.remove(key);
            }
            call.followers.load(Ordering::Relaxed) > 0 // under the lock: it was in the map, or is forgotten
        };
        drop(landing);
        match mine {
            Ok(value) => (value, shared),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// Releases the followers, also if looking for the key in the map panics.
struct Landing<'a, V>(&'a Call<V>);

impl<V> Drop for Landing<'_, V> {
    fn drop(&mut self) {
        self.0.landed.done();
    }
}

enum Seat<V> {
    Leader(Arc<Call<V>>),
    Follower(Arc<Call<V>>),
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no message)").to_owned()
}

impl<K: Eq + Hash + Clone, V: Clone> Default for SingleFlight<K, V> {
    fn default() -> SingleFlight<K, V> {
        SingleFlight::new()
    }
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}
