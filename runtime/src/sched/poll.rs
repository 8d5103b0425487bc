//! Job: the scheduler's side of the network poller: who polls when, and event -> G.
//! Layer: L2 (sched)
//! Not here: descriptors and readiness (`gusty_netpoll`), sockets (`net`).
//! Invariants
//!   PO1  At most one M blocks in the poller; it holds the `Turn`. Others poll without blocking.
//!   PO2  `poll_until` is 0 unless an M holds the turn; then it is never later than the end of its
//!        wait, unless a break is on its way.
//! Orderings
//!   E2  begin_blocking: poll_until := NEVER; fence; timers are read; poll_until := deadline
//!       <->  break_if_later: timer published; fence; poll_until is read.
//!       (partner: sched/timers.rs)

use std::sync::atomic::{AtomicBool, Ordering};

use super::claim::FIRST_TOKEN;
use super::global::SCHED;
use super::list::GList;
use crate::sys::clock::{NEVER, Nanos};
use crate::sys::note::Note;
use crate::sys::shim::store_load_fence;

/// The claim token of a wait that readiness ended.
pub(crate) const READY: usize = FIRST_TOKEN;
static NOTE: Note = Note::new();
static BUSY: AtomicBool = AtomicBool::new(false);
pub(crate) fn has_waiters() -> bool {
    false
}
pub(crate) fn now(_: &mut GList) {}
pub(crate) struct Turn;
pub(crate) fn begin_blocking() -> Option<Turn> {
    if BUSY.swap(true, Ordering::AcqRel) {
        return None;
    }
    SCHED.poll_until.store(NEVER, Ordering::SeqCst);
    store_load_fence();
    Some(Turn)
}
impl Turn {
    pub(crate) fn wait(self, when: Nanos, _: &mut GList) {
        SCHED.poll_until.store(when, Ordering::SeqCst);
        NOTE.sleep_until((when != NEVER).then_some(when));
        SCHED.poll_until.store(0, Ordering::SeqCst);
        BUSY.store(false, Ordering::Release);
    }
}
pub(crate) fn break_if_later(when: Nanos) {
    let until = SCHED.poll_until.load(Ordering::SeqCst);
    if until != 0 && when < until {
        NOTE.wake();
    }
}
