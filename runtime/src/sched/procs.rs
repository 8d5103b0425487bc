//! Job: the number of Ps: reading and changing GOMAXPROCS while goroutines run.
//! Layer: L2 (sched)
//! Not here: the default and the environment (`config`).
//! Invariants
//!   PR1  Nothing is stopped: a P above the new number retires when its M next schedules; until
//!        then its goroutine runs on. (Go stops the world for this.)

use super::global::{MAX_PROCS, SCHED, State};
use super::idle;
use super::p::P;
use super::retire::retire;
use crate::sys::section::Section;

/// Sets the number of Ps without stopping any (PR1), clamped to `1..=MAX_PROCS`; returns the number before.
pub(crate) fn resize(n: usize) -> usize {
    let n = n.clamp(1, MAX_PROCS);
    // Made before the section, in which nobody allocates. Ps are never taken back, so there are enough
    // of them even if somebody else comes first.
    let mut new: Vec<_> = (SCHED.made()..n).map(|i| P::new(i as u32)).collect();
    let _section = Section::enter(); // who holds the lock is not stopped
    let mut state = SCHED.lock();
    let old = SCHED.procs() as usize;
    if n == old {
        return old;
    }
    SCHED.set_procs(u32::try_from(n).expect("at most MAX_PROCS"));
    if n > old {
        grow(&mut state, old, n, &mut new);
        drop(state);
        // Whoever is queued may now run in parallel.
        for _ in old..n {
            idle::wake_p();
        }
    } else {
        state.remove_ps(|p| {
            let goes = p.id as usize >= n;
            if goes {
                retire(p);
            }
            goes
        });
    }
    old
}

/// `new` holds the Ps that may have to be added. What is left is freed by the caller, in no section.
fn grow(state: &mut State, old: usize, n: usize, new: &mut Vec<P>) {
    for i in old..n {
        if i >= SCHED.made() {
            let at = new.iter().position(|p| p.id as usize == i);
            let p = new.swap_remove(at.expect("made before the lock was taken"));
            idle::offer_p(state, SCHED.add_p(p));
        } else if SCHED.p(i).retired.replace(false) {
            idle::offer_p(state, SCHED.p(i));
        } // else its M has not noticed yet and simply keeps it
    }
}
