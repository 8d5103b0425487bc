//! Job: `WaitGroup::go`: starting what is waited for.
//! Layer: L3 (blocking)
//! Not here: the group itself (`wait_group`).
//! Source: Go's `WaitGroup.Go`, but for a panic, which is counted as done here: the process lives.

use std::panic::Location;
use std::sync::Arc;

use super::wait_group::WaitGroup;
use crate::task::{self, Settings};

struct Done(Arc<WaitGroup>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl WaitGroup {
    /// Starts a goroutine that is waited for: [`add`](WaitGroup::add) now,
    /// [`done`](WaitGroup::done) when `f` has returned, or panicked, and all it owned is gone. A
    /// panic is reported as for every goroutine, and goes nowhere else.
    ///
    /// Blocks only as [`crate::spawn`] does.
    ///
    /// # Panics
    /// As [`crate::spawn`] and [`add`](WaitGroup::add); nothing is added then.
    ///
    /// ```
    /// use gusty::sync::WaitGroup;
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    ///
    /// let (group, sum) = (Arc::new(WaitGroup::new()), Arc::new(AtomicU32::new(0)));
    /// for i in 0..10 {
    ///     let sum = sum.clone();
    ///     group.go(move || sum.fetch_add(i, Ordering::Relaxed));
    /// }
    /// group.wait();
    /// assert_eq!(sum.load(Ordering::Relaxed), 45);
    /// ```
    #[track_caller]
    pub fn go<F, T>(self: &Arc<Self>, f: F)
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.add(1);
        let done = Done(self.clone());
        let body = move || {
            let _done = done; // dropped last, also by a panic
            drop(f());
        };
        if let Err(error) = task::start(body, Settings::default(), Location::caller()) {
            panic!("cannot spawn a goroutine: {error}");
        }
    }
}
