//! Job: joining a goroutine for a limited time.
//! Layer: L4 (API)
//! Not here: joining without a limit (`task`).
//! Invariants
//!   JN1  The waiter's node is in the queue of an `Ended` that the handle's waker shares; it is
//!        popped by the waker, or removed before the call returns (WQ2 of `wait`).

use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{self, Poll, Wake, Waker};
use std::time::Duration;

use crate::context::Context;
use crate::sched::claim::Wait;
use crate::sched::g::WaitReason;
use crate::sched::{park, ready};
use crate::sys::lock::SpinLock;
use crate::task::{JoinHandle, Result};
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

/// What a goroutine's end wakes: the handle as a future, seen from the other side.
struct Ended(SpinLock<State>);

struct State {
    woken: bool,
    waiter: WaitQueue,
}

impl Wake for Ended {
    fn wake(self: Arc<Ended>) {
        let claimed = {
            let mut state = self.0.lock();
            state.woken = true;
            state.waiter.pop_claimed(SERVED)
        };
        if let Some(waiter) = claimed {
            ready::ready(waiter.g);
        }
    }
}

impl<T> JoinHandle<T> {
    /// As [`join`](JoinHandle::join), for at most `timeout`. The goroutine runs on if it is over.
    ///
    /// # Errors
    /// The time passed first: the handle, to join later or to drop.
    ///
    /// ```
    /// use gusty::time::Duration;
    /// let (tx, rx) = gusty::chan::bounded(0);
    /// let handle = gusty::spawn(move || rx.recv());
    /// let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    /// tx.send(7).unwrap();
    /// assert_eq!(handle.join_timeout(Duration::MAX).unwrap().unwrap(), Ok(7));
    /// ```
    pub fn join_timeout(self, timeout: Duration) -> std::result::Result<Result<T>, JoinHandle<T>> {
        self.join_until(Until::timeout(timeout))
    }

    /// As [`join`](JoinHandle::join), until `ctx` ends at the latest. The goroutine runs on then,
    /// unless it looks at a context, too.
    ///
    /// # Errors
    /// The context ended first, or before the call: the handle, to join later or to drop.
    ///
    /// ```
    /// use gusty::context;
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let handle = gusty::spawn(|| gusty::sleep(gusty::time::Duration::MAX));
    /// gusty::go!(move || cancel.cancel());
    /// assert!(handle.join_ctx(&ctx).is_err());
    /// ```
    pub fn join_ctx(self, ctx: &Context) -> std::result::Result<Result<T>, JoinHandle<T>> {
        match ctx.until() {
            Ok(until) => self.join_until(until),
            Err(_) => Err(self),
        }
    }

    fn join_until(mut self, until: Until<'_>) -> std::result::Result<Result<T>, JoinHandle<T>> {
        let ended = State { woken: false, waiter: WaitQueue::new() };
        let ended = Arc::new(Ended(SpinLock::new(ended)));
        let waker = Waker::from(ended.clone());
        if let Poll::Ready(result) =
            Pin::new(&mut self).poll(&mut task::Context::from_waker(&waker))
        {
            return Ok(result);
        }
        let wait = Wait::new(park::current());
        let node = Node::single(&wait, ptr::null_mut(), until);
        let mut state = ended.0.lock();
        if !state.woken {
            // SAFETY: on this frame until it is popped or removed (JN1); the waker readies us.
            let outcome = unsafe {
                state.waiter.push_back(&node);
                wait::park_in(&ended.0, state, &wait, until, WaitReason::Join)
            };
            if outcome != OUTCOME_SERVED {
                ended.0.lock().waiter.remove(&node);
            }
        } else {
            drop(state);
        }
        if self.is_finished() { Ok(self.join()) } else { Err(self) }
    }
}
