//! Job: `Semaphore`: counting permits, waiting for them, giving them out in order.
//! Layer: L3 (blocking)
//! Not here: what a holder has in hand, and the calls that put it there (`permit`).
//! Invariants
//!   SM1  Permits are free, or somebody's. A waiter's become its own when it is popped, under the
//!        lock: a wait that was called off has none, and took none from anybody.
//!   SM2  While somebody waits, newcomers queue behind, also those who want less.
//!   SM3  The first in the queue wants more than is free, whenever the lock is free and nobody is
//!        about to look again: who adds permits or leaves the queue does.
//! Source: Go's x/sync/semaphore (weights, FIFO).

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;

use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::{park, ready};
use crate::sys::lock::SpinLock;
use crate::wait::{self, Claimed, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// A number of permits that are taken and given back, one or several at a time.
///
/// Waiters are served in the order in which they came, and one that wants many keeps those behind it
/// waiting until it has them: a stream of small requests cannot starve a big one. A wait that is
/// given up (by a timeout, by a context) leaves everything as if it had not been.
///
/// All methods that wait park a goroutine and block a plain thread.
///
/// ```
/// use gusty::sync::Semaphore;
/// static CONNECTIONS: Semaphore = Semaphore::new(10);
///
/// gusty::scope(|s| {
///     for _ in 0..100 {
///         s.spawn(|| {
///             let _permit = CONNECTIONS.acquire(); // at most ten are here at a time
///         });
///     }
/// });
/// assert_eq!(CONNECTIONS.available_permits(), 10);
/// ```
pub struct Semaphore {
    state: SpinLock<State>,
}

struct State {
    free: usize,
    /// `data` is the number of permits wanted.
    queue: WaitQueue,
}

impl State {
    fn take(&mut self, n: usize) -> bool {
        let takes = self.queue.is_empty() && n <= self.free; // SM2
        if takes {
            self.free -= n;
        }
        takes
    }

    /// The first waiter, if there is enough for it: with its permits (SM1).
    fn pop(&mut self) -> Option<Claimed> {
        let free = self.free;
        let waiter = self.queue.pop_claimed_if(SERVED, |wants| wants.addr() <= free)?;
        self.free -= waiter.data.addr();
        Some(waiter)
    }

    fn has_enough_for_next(&self) -> bool {
        self.queue.front().is_some_and(|wants| wants.addr() <= self.free)
    }
}

// No operation leaves the counter in between when it panics.
impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl Semaphore {
    /// The most permits there can be.
    pub const MAX_PERMITS: usize = usize::MAX >> 1;

    /// A semaphore with this many free permits.
    ///
    /// # Panics
    /// More than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub const fn new(permits: usize) -> Semaphore {
        assert!(permits <= Self::MAX_PERMITS, "more than Semaphore::MAX_PERMITS");
        Semaphore { state: SpinLock::new(State { free: permits, queue: WaitQueue::new() }) }
    }

    /// Adds `n` permits to those there are. Wakes whom they are enough for. Never blocks.
    ///
    /// # Panics
    /// More than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) would be free; nothing is added then.
    ///
    /// ```
    /// let semaphore = gusty::sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// semaphore.acquire_many(2).forget(); // for good
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        let fits = n <= Self::MAX_PERMITS - self.available_permits().min(Self::MAX_PERMITS);
        assert!(fits, "more than Semaphore::MAX_PERMITS");
        self.give(n);
    }

    /// Permits that are free now.
    pub fn available_permits(&self) -> usize {
        self.state.lock().free
    }

    #[inline]
    pub(super) fn try_take(&self, n: usize) -> bool {
        self.state.lock().take(n)
    }

    #[inline]
    pub(super) fn take(&self, n: usize, until: Until<'_>) -> bool {
        self.try_take(n) || self.take_slow(n, until)
    }

    #[cold]
    fn take_slow(&self, n: usize, until: Until<'_>) -> bool {
        let wait = Wait::new(park::current());
        let mut state = self.state.lock();
        if state.take(n) {
            return true;
        }
        let node = Node::single(&wait, ptr::without_provenance_mut(n), until);
        // SAFETY: whoever pops it readies us, or it is removed below; on this frame until then.
        let outcome = unsafe {
            state.queue.push_back(&node);
            wait::park_in(&self.state, state, &wait, until, WaitReason::Semaphore)
        };
        if outcome == OUTCOME_SERVED {
            return true;
        }
        let others = {
            let mut state = self.state.lock();
            state.queue.remove(&node);
            state.has_enough_for_next()
        };
        if others {
            self.serve(); // SM3: we stood in their way
        }
        false
    }

    /// Gives `n` permits back.
    #[inline]
    pub(super) fn give(&self, n: usize) {
        let (first, more) = {
            let mut state = self.state.lock();
            state.free = state.free.saturating_add(n);
            let first = state.pop();
            (first, state.has_enough_for_next())
        };
        if let Some(first) = first {
            ready::ready(first.g);
        }
        if more {
            self.serve(); // SM3
        }
    }

    #[cold]
    fn serve(&self) {
        wait::wake_all(&self.state, State::pop);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("free", &self.available_permits()).finish_non_exhaustive()
    }
}
