//! Job: the Ms whose P was taken while they computed and that have no other yet: how many there may be,
//!   and what is done at the end of a slice.
//! Layer: L2 (sched)
//! Not here: taking (`retake`), stopping (`preempt`), whose slice is over (`stalled`).
//! Invariants
//!   AS1  A P is taken from one that computes only while fewer than [`limit`] of these Ms exist:
//!        `GUSTY_MAX_STOPPED`, or 4 * GOMAXPROCS but at least 16. So the scheduler has at most
//!        GOMAXPROCS + that + 4 threads, beside those that block in calls. Whoever waits counts, also
//!        one that lost its P while it blocked.
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
//! that wait are counted by `preempt`. Nothing here allocates (MO2 of `monitor`).

use super::global::SCHED;
use super::m::{Astray, M};
use super::p::P;
use super::{idle, preempt, retake};
use crate::config;
use crate::sys::clock::Nanos;
use crate::sys::cpu::{Activity, ThreadClock, ThreadState};
use crate::sys::shim::store_load_fence;

/// AS2.
const RUNNING: usize = 2;
/// The fewest that [`limit`] allows by default.
const FEWEST: usize = 16;
/// For each P, by default.
const FOR_EACH_P: usize = 4;
/// CPU time after which an M that runs on is deaf to kicks. A late kick comes within a tick (10 ms).
const DEAF_NS: Nanos = 30_000_000;

/// One M.
struct Entry {
    m: &'static M,
    /// Its CPU clock when its P was taken, and at the last look.
    taken_at: Nanos,
    seen_at: Nanos,
}

/// How many there are (AS1; one that begins to wait may be counted twice for a moment), and how many of
/// them run and are not deaf (AS2).
struct Seen {
    all: usize,
    fresh: usize,
}

/// See the module.
pub(super) struct List(Vec<Entry>);

/// AS1.
fn limit() -> usize {
    let by_procs = || (FOR_EACH_P * SCHED.procs() as usize).max(FEWEST);
    config::settings().max_stopped.unwrap_or_else(by_procs)
}

impl List {
    pub(super) fn new() -> List {
        List(Vec::with_capacity(config::MAX_STOPPED))
    }

    /// The goroutine that `m` runs on `p` has used up its slice while others wait: lets them have the P,
    /// and stops it. True if the P was taken.
    pub(super) fn slice_is_over(&mut self, p: &'static P, m: &'static M) -> bool {
        let Seen { all, fresh } = self.look();
        let taken = if all < limit() {
            fresh < RUNNING && retake::retake(p)
        } else {
            SCHED.anybody_wants_p() && swap(p) // AS3
        };
        if !taken {
            preempt::preempt(m);
            return false;
        }
        let clock = ThreadClock::of(m.tid()).now().unwrap_or(0);
        let known = self.0.iter().any(|entry| std::ptr::eq(entry.m, m));
        if !known && self.0.len() < self.0.capacity() {
            self.0.push(Entry { m, taken_at: clock, seen_at: clock });
        }
        preempt::stop(m);
        true
    }

    /// Forgets those that are not astray any more.
    fn look(&mut self) -> Seen {
        let (mut running, mut fresh) = (0, 0);
        self.0.retain_mut(|entry| match entry.m.astray() {
            None => false,
            Some(Astray::Waits) => true,
            Some(Astray::Runs) => {
                let Some(clock) = ThreadClock::of(entry.m.tid()).now() else { return false };
                let stands = std::mem::replace(&mut entry.seen_at, clock) == clock;
                if stands && blocks(entry.m) {
                    return false;
                }
                let deaf = clock.saturating_sub(entry.taken_at) >= DEAF_NS;
                if deaf {
                    preempt::stop(entry.m); // the kick was lost, perhaps
                }
                running += 1;
                fresh += usize::from(!deaf);
                true
            }
        });
        Seen { all: running + preempt::waiting(), fresh }
    }
}

/// Whether `m`, whose CPU clock stands, is blocked in a call or a page fault; an observation.
fn blocks(m: &M) -> bool {
    let fence = || {
        store_load_fence(); // M5 of `m`; the count of sections may be a little old
        true
    };
    ThreadState::of(m.tid()).now() == Activity::Asleep && m.is_outside(fence)
}

/// Takes `p` from its M for one that waits for a P.
fn swap(p: &'static P) -> bool {
    if !retake::take(p) {
        return false;
    }
    let needy = SCHED.lock().pop_wanting();
    match needy {
        Some(needy) => needy.give_p(p),
        None => idle::pass_on(p),
    }
    true
}
