//! Job: what an M does with a P that it has borrowed: run urgent goroutines, and those whom they wake,
//!   until there are none or the time is up; then give it back.
//! Layer: L2 (sched)
//! Not here: borrowing and giving back (`loan`).

use super::g::GRef;
use super::global::SCHED;
use super::list::GList;
use super::m::M;
use super::p::P;
use super::ready::{self, ready_urgent};
use super::{loan, poll, timers};
use crate::sys::clock;

/// The next goroutine for `m` to run on `p`, which it has borrowed. `None` if the loan is over: `p` is
/// the lender's again, or `m`'s for good.
pub(super) fn next(m: &'static M, p: &'static P) -> Option<GRef> {
    let now = clock::now();
    if loan::may_go_on(p, now) {
        let waiting = || SCHED.urgent().take(1).pop().or_else(|| p.take_next());
        if let Some(g) = waiting() {
            return Some(g);
        }
        // Whom this one has just written to is ready by now: no need for another loan.
        let mut list = GList::new();
        poll::now(&mut list);
        if timers::earliest() <= now {
            timers::expire_all(now, &mut list);
        }
        if !list.is_empty() {
            ready_urgent(&mut list);
            return waiting();
        }
    }
    if let Some(g) = p.take_next() {
        ready::push_urgent(g); // or it would wait for the end of the lender's turn
    }
    loan::give_back(m, p);
    None
}
