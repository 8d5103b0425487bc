//! Job: `WaitGroup`: waiting for a number of things to be done.
//! Layer: L3 (blocking)
//! Not here: the word's transitions (`wait_group_word`).

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::Duration;

use super::until;
use super::wait_group_word::{Done, WaitGroupWord, has_ended};
use crate::context::{Context, Error};
use crate::sched::claim::{CANCELLED, TIMED_OUT, Wait};
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::sys::lock::SpinLock;
use crate::wait::{self, Node, SERVED, Until, WaitQueue};

/// A counter that can be waited for to become zero, as Go's `sync.WaitGroup`.
///
/// [`add`](WaitGroup::add) before starting what is to be waited for, [`done`](WaitGroup::done) at
/// its end. Share it by reference or in an `Arc`. It may be used again at once, also while waiters
/// of the last round have not run yet.
///
/// ```
/// use gusty::{go, sync::WaitGroup};
/// use std::sync::Arc;
///
/// let group = Arc::new(WaitGroup::new());
/// group.add(10);
/// for _ in 0..10 {
///     let group = group.clone();
///     go!(move || group.done());
/// }
/// group.wait();
/// ```
pub struct WaitGroup {
    word: WaitGroupWord,
    queue: SpinLock<WaitQueue>,
}

// No operation leaves the group in between when it panics.
impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

impl WaitGroup {
    /// A group with nothing to wait for.
    ///
    /// ```
    /// static GROUP: gusty::sync::WaitGroup = gusty::sync::WaitGroup::new();
    /// GROUP.wait();
    /// ```
    pub const fn new() -> WaitGroup {
        WaitGroup { word: WaitGroupWord::new(), queue: SpinLock::new(WaitQueue::new()) }
    }

    /// Adds `n` things to wait for. Never blocks.
    ///
    /// # Panics
    /// The counter would exceed `u32::MAX`; it is unchanged then.
    ///
    /// ```
    /// let group = gusty::sync::WaitGroup::new();
    /// group.add(2);
    /// group.done();
    /// group.done();
    /// group.wait();
    /// ```
    #[inline]
    #[track_caller]
    pub fn add(&self, n: usize) {
        assert!(self.word.add(n), "WaitGroup counter overflow: more than u32::MAX to wait for");
    }

    /// One thing is done; the last one wakes the waiters. Never blocks.
    ///
    /// # Panics
    /// The counter is zero already: there were more calls of `done` than were added.
    ///
    /// ```should_panic
    /// gusty::sync::WaitGroup::new().done(); // negative WaitGroup counter
    /// ```
    #[inline]
    #[track_caller]
    pub fn done(&self) {
        match self.word.done() {
            Done::Nothing => {}
            Done::Wake(epoch) => self.wake(epoch),
            Done::Negative => panic!("negative WaitGroup counter: more done than added"),
        }
    }

    #[cold]
    fn wake(&self, ended: usize) {
        wait::wake_all(&self.queue, |queue| {
            queue.pop_claimed_if(SERVED, |epoch| has_ended(epoch.addr(), ended))
        });
    }

    /// Waits until the counter is zero; what was done before is visible then. Parks a goroutine,
    /// blocks a plain thread.
    ///
    /// ```
    /// use std::sync::Arc;
    /// let group = Arc::new(gusty::sync::WaitGroup::new());
    /// group.add(1);
    /// let clone = group.clone();
    /// gusty::go!(move || clone.done());
    /// group.wait();
    /// ```
    #[inline]
    pub fn wait(&self) {
        if self.word.counter() != 0 {
            self.wait_slow(Until::FOREVER);
        }
    }

    /// As [`wait`](WaitGroup::wait), for at most `timeout`; false if that passed first.
    ///
    /// ```
    /// use std::time::Duration;
    /// let group = gusty::sync::WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(1)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        if self.word.counter() == 0 {
            return true;
        }
        !timeout.is_zero() && self.wait_slow(Until::timeout(timeout))
    }

    /// As [`wait`](WaitGroup::wait), until `ctx` ends at the latest.
    ///
    /// # Errors
    /// The context ended first, or before the call.
    ///
    /// ```
    /// use gusty::{context, sync::WaitGroup};
    /// let group = WaitGroup::new();
    /// group.add(1);
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// gusty::go!(move || cancel.cancel());
    /// assert_eq!(group.wait_ctx(&ctx), Err(context::Error::Cancelled));
    /// ```
    pub fn wait_ctx(&self, ctx: &Context) -> Result<(), Error> {
        until::served(ctx, |until| self.word.counter() == 0 || self.wait_slow(until))
    }

    #[cold]
    fn wait_slow(&self, until: Until<'_>) -> bool {
        let wait = Wait::new(park::current());
        let mut queue = self.queue.lock();
        let Some(epoch) = self.word.announce() else { return true };
        let node = Node::single(&wait, ptr::without_provenance_mut(epoch), until);
        // SAFETY: popped by `wake`, which readies us, or removed below; on this frame until then.
        let outcome = unsafe {
            queue.push_back(&node);
            wait::park_in(&self.queue, queue, &wait, until, WaitReason::WaitGroup)
        };
        if matches!(outcome, TIMED_OUT | CANCELLED) {
            self.queue.lock().remove(&node);
            return false;
        }
        true
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("counter", &self.word.counter()).finish_non_exhaustive()
    }
}
