//! Job: `after_func`: something to do after a while, if nobody changes his mind.
//! Layer: L3 (blocking)
//! Source: Go's `time.AfterFunc`, except that runs of one function do not overlap.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::due::Due;
use crate::sched::dormant::Dormant;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::clock;

struct Func {
    due: Mutex<Due>,
    run: Mutex<Box<dyn FnMut() + Send>>,
    site: &'static Location<'static>,
}

/// The handle of [`after_func`]. Dropping it changes nothing.
pub struct AfterFunc {
    func: Arc<Func>,
}

/// Runs `f` after `duration`, in a goroutine of its own; after no duration, at once; after
/// [`Duration::MAX`], never. Never blocks.
///
/// Each [`reset`](AfterFunc::reset) has it run once more; two runs never overlap, the later one
/// waits. A panic of `f` is reported and ends that run.
///
/// ```
/// use gusty::{chan, time};
///
/// let (tx, rx) = chan::bounded(1);
/// time::after_func(time::Duration::from_millis(1), move || tx.send("now").unwrap());
/// assert_eq!(rx.recv(), Ok("now"));
/// ```
#[track_caller]
pub fn after_func(duration: Duration, f: impl FnMut() + Send + 'static) -> AfterFunc {
    let (due, run) = (Mutex::new(Due::new()), Mutex::new(Box::new(f) as Box<_>));
    let handle = AfterFunc { func: Arc::new(Func { due, run, site: Location::caller() }) };
    handle.reset(duration);
    handle
}

impl AfterFunc {
    /// Takes the run back: true if it has not begun and will not; false if it has, which this does
    /// not wait for, or if it was stopped. May park for as long as another call on this handle
    /// takes.
    ///
    /// ```
    /// use gusty::time::{Duration, after_func};
    /// let handle = after_func(Duration::from_secs(3600), || unreachable!());
    /// assert!(handle.stop());
    /// assert!(!handle.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.func.due().clear()
    }

    /// Has the function run `duration` from now, whether it has run before or not; true if that
    /// takes the place of a run that had not begun. May park as [`stop`](AfterFunc::stop).
    ///
    /// ```
    /// use gusty::{chan, time::{Duration, after_func}};
    /// let (tx, rx) = chan::unbounded();
    /// let handle = after_func(Duration::ZERO, move || tx.send("run").unwrap());
    /// assert_eq!(rx.recv(), Ok("run"));
    /// assert!(!handle.reset(Duration::from_millis(1)));
    /// assert_eq!(rx.recv(), Ok("run"));
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        let when = clock::after(duration);
        let mut due = self.func.due();
        let set = due.clear();
        due.set(when, || {
            let func = self.func.clone();
            Dormant::new(func.site, move || func.fire())
        });
        set
    }
}

impl Drop for AfterFunc {
    fn drop(&mut self) {
        let unused = self.func.due().take_spare(); // DU2: there is one handle
        drop(unused);
    }
}

impl Func {
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner) // whole at every panic
    }

    fn fire(&self) {
        let due = self.due().fire();
        if due.is_some() {
            // After a panic, too: the next run may do better.
            self.run.lock().unwrap_or_else(PoisonError::into_inner)();
        }
    }
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_one_that_is_stopped_and_dropped() {
        let held = Arc::new(());
        for rounds in 0..3 {
            let inside = held.clone();
            let handle = after_func(Duration::MAX, move || drop(Arc::clone(&inside)));
            for _ in 0..rounds {
                assert!(handle.stop());
                assert!(!handle.reset(Duration::MAX));
            }
            assert!(handle.stop());
            assert_eq!(Arc::strong_count(&held), 2);
            drop(handle);
            assert_eq!(Arc::strong_count(&held), 1, "DU2");
        }
    }
}
