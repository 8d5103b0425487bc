//! Job: slices that end without the watchdog: an M whose goroutine was stopped sets its kick for the end of
//!   the next slice itself, as long as others wait.
//! Layer: L2 (sched)
//! Not here: the first slice of such a row, and those that the kick does not end (`gusty_sysmon`); what
//!   stopping is (`preempt`).
//! Invariants
//!   SL1  Such a kick ends a turn only if the turn has lasted for a slice, but for a `PART`, and somebody
//!        waits for a P. It is set anew only while somebody does.
//!   SL2  `M::timed` says that it is set. Then the watchdog gives the slice a quarter more before it acts
//!        itself: the kick counts time in user mode, and may hit a section.
//!
//! All this is in the signal handler of the M's thread (PV4 of `preempt`).
//!
//! Why: where every P computes, a watchdog that ends each slice has to be woken for each, and its kick
//! interrupts another processor twice. With slices of 1 ms its thread alone took 1.2 % of two processors; this
//! way it runs as often as without slices.

use std::sync::atomic::Ordering;

use super::global::SCHED;
use super::idle;
use super::m::M;
use super::metrics;
use crate::config;
use crate::sys::clock::{self, NEVER};
use crate::sys::kick::{Kick, Rung};

/// SL1.
const PART: u64 = 8;

/// The kick has come that `m` had set: whether its goroutine is to let others run. If not yet, the kick
/// is set again.
pub(super) fn is_over(m: &'static M, kick: &Kick) -> bool {
    let slice = config::settings().slice;
    let Some(p) = m.p().filter(|p| slice != NEVER && !p.is_lent()) else { return false };
    if !somebody_waits() {
        return false;
    }
    let left = slice.saturating_sub(p.stands_for(clock::now()));
    if left > slice / PART {
        set(m, kick, left);
        return false;
    }
    m.hold.ask();
    metrics::PREEMPTIONS.add();
    true
}

/// The goroutine of `m` has been stopped: the next one has a slice.
pub(super) fn begin(m: &'static M, kick: &Kick) {
    let slice = config::settings().slice;
    if slice != NEVER && somebody_waits() {
        set(m, kick, slice);
    }
}

fn set(m: &'static M, kick: &Kick, ns: u64) {
    if matches!(kick.rung(), Rung::Perf | Rung::Timer) {
        m.timed.store(true, Ordering::Relaxed); // SL2, a hint
        kick.arm(ns);
        metrics::KICKS.add();
    }
}

fn somebody_waits() -> bool {
    SCHED.anybody_wants_p() || idle::any_work()
}
