//! Job: the Ms whose P was taken while they computed and that have no other yet: what is done at the end of
//!   a slice, and that their number stays in its bound.
//! Layer: L2 (sched)
//! Not here: taking (`retake`), stopping (`preempt`), whose slice is over (`gusty_sysmon`).
//! Invariants
//!   AS2  At most [`RUNNING`] of them run without having been stopped yet; those that the kick does not
//!        stop though they compute ("deaf": it is off, or somebody took the signal) count for AS1 only.
//!   AS3  At the limit a P is taken only to give it to one that waits, so their number stays the same (or
//!        to one that waits with goroutines of its own, `pinned`: then they are one more, until it has run
//!        those and gives the P on). If none waits, the goroutine keeps its P, is asked to let others run,
//!        and kicked once a look.
//!
//! So among goroutines that can be stopped in place (program code, with thread-locals of their own) one
//! or two threads more than Ps are enough for any number. Of those that can not, as many as the limit
//! allows have turns on the P's; others that have not begun have to wait until one of them ends, calls
//! the runtime, or is seen in a place where it can be stopped.
//!
//! The list is the watchdog's own; whether an M is still astray is seen by its `hold`. One that has
//! fallen asleep in the kernel meanwhile, outside of sections, is forgotten, as if it had lost its P
//! there. (In a section it is on its way to wait for a P, and sleeps for the scheduler's lock.) Those
//! that wait are counted where they wait. Nothing here allocates (MO2 of `monitor`).

use super::global::SCHED;
use super::m::{Astray, M};
use super::p::P;
use super::retake::{self, Heir};
use super::taker::Taker;
use super::{preempt, stopped};
use crate::config;
use crate::sys::clock::Nanos;
use crate::sys::cpu::{Activity, ThreadClock, ThreadState};
use crate::sys::shim::store_load_fence;

/// AS2.
const RUNNING: usize = 2;
/// CPU time after which an M that runs on is deaf to kicks. A late kick comes within a tick (10 ms).
const DEAF_NS: Nanos = 30_000_000;

/// One M.
struct Entry {
    m: &'static M,
    /// Its CPU clock when its P was taken, and at the last look.
    taken_at: Nanos,
    seen_at: Nanos,
}

/// See the module.
pub(super) struct List(Vec<Entry>);

impl List {
    pub(super) fn new() -> List {
        List(Vec::with_capacity(config::MAX_STOPPED))
    }

    /// The goroutine on `p` has used up its slice while others wait, and does not hear: lets them have
    /// the P, and stops it.
    pub(super) fn slice_is_over(&mut self, p: &'static P) {
        let fresh = self.look();
        let taken = if stopped::count() < stopped::limit() {
            (fresh < RUNNING).then(|| retake::from_running(p, Heir::Anybody))
        } else {
            SCHED.anybody_wants_p().then(|| retake::from_running(p, Heir::Wanting)) // AS3
        };
        match taken.flatten() {
            Some(m) => self.add(m),
            None => retake::ask(p),
        }
    }

    /// `m` has lost its P while it computed.
    pub(super) fn add(&mut self, m: &'static M) {
        let clock = ThreadClock::of(m.tid()).now().unwrap_or(0);
        let known = self.0.iter().any(|entry| std::ptr::eq(entry.m, m));
        if !known && self.0.len() < self.0.capacity() {
            self.0.push(Entry { m, taken_at: clock, seen_at: clock });
            stopped::one_runs();
        }
    }

    /// Once a round, so that it is known how many there are.
    pub(super) fn refresh(&mut self) {
        if !self.0.is_empty() {
            self.look();
        }
    }

    /// Forgets those that are not astray any more; how many run and are not deaf (AS2).
    fn look(&mut self) -> usize {
        let taker = Taker::try_new();
        let (mut waiting, mut fresh) = (0, 0);
        self.0.retain_mut(|entry| match entry.m.astray() {
            None => false,
            Some(Astray::Waits) => {
                waiting += 1;
                true
            }
            Some(Astray::Runs) => {
                let Some(clock) = ThreadClock::of(entry.m.tid()).now() else { return false };
                let stands = std::mem::replace(&mut entry.seen_at, clock) == clock;
                if stands && taker.is_some() && blocks(entry.m) {
                    return false;
                }
                let deaf = clock.saturating_sub(entry.taken_at) >= DEAF_NS;
                if deaf && taker.is_some() {
                    preempt::stop(entry.m); // the kick was lost, perhaps
                }
                fresh += usize::from(!deaf);
                true
            }
        });
        stopped::set_running(self.0.len() - waiting);
        fresh
    }
}

/// Whether `m`, whose CPU clock stands, is blocked in a call or a page fault; an observation. With the
/// `Taker`.
fn blocks(m: &M) -> bool {
    let fence = || {
        store_load_fence(); // M5 of `m`; the count of sections may be a little old
        true
    };
    ThreadState::of(m.tid()).now() == Activity::Asleep && m.is_outside(fence)
}
