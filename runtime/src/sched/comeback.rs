//! Job: what a goroutine does at a runtime entry where its M has something to notice: that it was
//!   asked to let others run, or that it has lost its P.
//! Layer: L2 (sched)
//! Not here: how it lost it (`retake`), where entries are (`sys::section`).
//! Invariants
//!   CB1  The entry is the goroutine's outermost section and nothing is locked: it may leave its M
//!        here, as at a park. (Where goroutines share thread-locals they did not agree to that, and a
//!        locked one stays with its thread: they wait for a P on the spot, and count as stopped.)

use super::g::GStatus;
use super::m;
use super::metrics;
use super::park;
use super::{idle, loan, locked, preempt, ready};
use crate::sys::hold::Notice;
use crate::tls;

/// Called by the outermost entry, in its section.
pub(crate) fn on_notice() {
    let m = m::current().expect("only Ms have a hold to look at");
    match m.hold.notice() {
        Notice::Held { asked: true } if tls::on_goroutine() => park::slice_is_over(),
        Notice::Held { .. } => {}
        Notice::Lost => come_back(m),
    }
}

/// The M runs a goroutine without a P: gets it one, or queues it like one that was made ready.
fn come_back(m: &'static m::M) {
    let g = m.cur().expect("an M on g0 loses nothing");
    let front = loan::noticed(m);
    if !tls::on_goroutine() || locked::is_locked(m) {
        return preempt::regain(m, g, true); // CB1
    }
    m.set_p(None); // somebody else's by now
    m.regained();
    m.end_call();
    if idle::acquire_p(m) {
        return;
    }
    metrics::REQUEUES.add();
    g.set_status(GStatus::Runnable);
    park::switch(m, None, g, move || ready::push_returned(front, g)); // CB1
}
