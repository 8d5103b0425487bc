//! Job: `Barrier`: std's, over goroutines that park.
//! Layer: L3 (blocking)
//! Invariants
//!   BA1  Those who wait in one round are counted and queued with its number. Who completes the
//!        count begins the next round, and wakes those of earlier ones.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::Duration;

use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::sys::lock::SpinLock;
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// Lets a number of goroutines or threads wait for each other, with [`std::sync::Barrier`]'s API.
///
/// It may be used again at once: who comes early for the next round waits for that one.
///
/// ```
/// use gusty::sync::{Arc, Barrier};
///
/// let barrier = Arc::new(Barrier::new(3));
/// let others: Vec<_> = (0..2)
///     .map(|_| {
///         let barrier = barrier.clone();
///         gusty::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let mut leaders = usize::from(barrier.wait().is_leader());
/// leaders += others.into_iter().map(|other| usize::from(other.join().unwrap())).sum::<usize>();
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    size: usize,
    state: SpinLock<State>,
}

struct State {
    /// How many wait in this round.
    count: usize,
    round: usize,
    queue: WaitQueue,
}

/// What [`Barrier::wait`] returns; as [`std::sync::BarrierWaitResult`].
pub struct BarrierWaitResult(bool);

// Nothing of it is in between when user code panics.
impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl Barrier {
    /// A barrier for `n` at a time. With 0 or 1, nobody waits.
    ///
    /// ```
    /// let barrier = gusty::sync::Barrier::new(1);
    /// assert!(barrier.wait().is_leader());
    /// ```
    #[must_use]
    pub const fn new(n: usize) -> Barrier {
        let state = State { count: 0, round: 0, queue: WaitQueue::new() };
        Barrier { size: n, state: SpinLock::new(state) }
    }

    /// Waits until as many as the barrier is for are here. One of them, the last to come, is the
    /// leader. Parks a goroutine, blocks a plain thread.
    ///
    /// See [`Barrier`] for an example.
    pub fn wait(&self) -> BarrierWaitResult {
        self.wait_until(Until::FOREVER).expect("there was no deadline")
    }

    /// As [`wait`](Barrier::wait), for at most `timeout`; `None` if that passed first. The caller
    /// then does not count as here, and the round still waits for as many as before it came.
    ///
    /// ```
    /// use std::time::Duration;
    /// let barrier = gusty::sync::Barrier::new(2);
    /// assert!(barrier.wait_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Option<BarrierWaitResult> {
        self.wait_until(Until::timeout(timeout))
    }

    /// `None` if `until` came first.
    pub(super) fn wait_until(&self, until: Until<'_>) -> Option<BarrierWaitResult> {
        let wait = Wait::new(park::current());
        let mut state = self.state.lock();
        state.count += 1;
        if state.count >= self.size {
            state.count = 0;
            state.round = state.round.wrapping_add(1);
            drop(state);
            self.wake();
            return Some(BarrierWaitResult(true));
        }
        let round = state.round;
        let node = Node::single(&wait, ptr::without_provenance_mut(round), until);
        // SAFETY: popped by `wake`, which readies us, or removed below; on this frame until then.
        let outcome = unsafe {
            state.queue.push_back(&node);
            wait::park_in(&self.state, state, &wait, until, WaitReason::Barrier)
        };
        if outcome != OUTCOME_SERVED {
            let mut state = self.state.lock();
            state.queue.remove(&node);
            if state.round == round {
                state.count -= 1;
                return None;
            }
            // The last one came just in time: the round is complete with us.
        }
        Some(BarrierWaitResult(false))
    }

    fn wake(&self) {
        wait::wake_all(&self.state, |state| {
            let round = state.round;
            state.queue.pop_claimed_if(SERVED, |data| data.addr() != round) // BA1
        });
    }
}

impl BarrierWaitResult {
    /// Whether the caller is the one leader of its round.
    ///
    /// See [`Barrier`] for an example.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}
