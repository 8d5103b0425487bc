//! Job: who is idle and who is looking for work: the counters by which a submitter decides whether
//!   to wake somebody, and a searcher whether it may go to sleep. Losing a wake-up here is a hang.
//! Layer: L1 (structures)
//! Not here: the lists of idle Ps and Ms and their lock (`sched::idle`).
//! Invariants
//!   SR1  A searcher that gives up does so in the order: leave (`retire`), fence, look at every
//!        source once more.
//!   SR2  A submitter does so in the order: publish the work, fence, look at the counters.
//!   SR3  Whoever finds work while searching wakes the next searcher (`found` -> `should_wake`), so
//!        that one wake-up per burst is enough.
//!   SR4  Who gives up a P without having searched, because others search, looks once more as well if
//!        nobody does by then: whoever searched may have found something else, and a submitter who saw
//!        no idle P has woken nobody.
//! Orderings
//!   E1  submit: publish; store_load_fence  <->  retire: sub; store_load_fence; look again.
//!       One of the two fences comes first in their total order. Submitter's first: the searcher's
//!       second look finds the work. Searcher's first: the submitter sees it gone and wakes one.
//! Source: Go's proc.go, "Worker thread parking/unparking".
//! Checked by: the loom models below.

use crate::sys::shim::{AtomicU32, Ordering, store_load_fence};

/// See the module.
pub(crate) struct Searchers {
    /// Ps without an M. Changed under the scheduler's lock only; read without it.
    idle: AtomicU32,
    /// Ms that look for work and have announced so.
    spinning: AtomicU32,
}

impl Searchers {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Searchers {
        Searchers { idle: AtomicU32::new(0), spinning: AtomicU32::new(0) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Searchers {
        Searchers { idle: AtomicU32::new(0), spinning: AtomicU32::new(0) }
    }

    #[inline]
    pub(crate) fn idle(&self) -> u32 {
        self.idle.load(Ordering::Relaxed) // ordered by the callers' fences (E1)
    }

    #[inline]
    pub(crate) fn spinning(&self) -> u32 {
        self.spinning.load(Ordering::Relaxed) // ordered by the callers' fences (E1)
    }

    /// A P became idle (under the scheduler's lock).
    pub(crate) fn idle_add(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    /// A P was taken from the idle list (under the scheduler's lock).
    pub(crate) fn idle_sub(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// After work was published and a fence passed (SR2): must the caller start a searcher? If so
    /// it is already counted as spinning, and the caller owes either a started searcher or
    /// `abandon`.
    #[inline]
    pub(crate) fn should_wake(&self) -> bool {
        self.idle() != 0
            && self.spinning() == 0
            && self
                .spinning
                .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed) // E1
                .is_ok()
    }

    /// An M starts to search by itself.
    pub(crate) fn enter(&self) {
        self.spinning.fetch_add(1, Ordering::AcqRel); // E1
    }

    /// `should_wake` was true but there was nobody to start. The caller's work stays published;
    /// a P that was idle a moment ago is running now and will look for it.
    pub(crate) fn abandon(&self) {
        self.spinning.fetch_sub(1, Ordering::AcqRel); // E1
    }

    /// A searcher found work. Returns nothing: the caller calls `should_wake` next (SR3).
    pub(crate) fn found(&self) {
        self.spinning.fetch_sub(1, Ordering::AcqRel); // E1
    }

    /// A searcher gives up; it must look at every source once more afterwards (SR1).
    pub(crate) fn retire(&self) {
        self.spinning.fetch_sub(1, Ordering::AcqRel); // E1
        store_load_fence();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;

    struct World {
        searchers: Searchers,
        /// The P's own queue, which only a search sees.
        work: AtomicU32,
        /// Somebody was started for the work.
        woken: AtomicBool,
        /// The P is on the idle list (its lock, as one flag).
        p_idle: AtomicBool,
    }

    fn world(spinning: u32) -> Arc<World> {
        let searchers = Searchers::new();
        (0..spinning).for_each(|_| searchers.enter());
        Arc::new(World {
            searchers,
            work: AtomicU32::new(0),
            woken: AtomicBool::new(false),
            p_idle: AtomicBool::new(false),
        })
    }

    fn take(w: &World) -> bool {
        w.work.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The searcher's way to sleep: give the P up, retire, look again. True if it found the work.
    fn search_then_sleep(w: &World) -> bool {
        if take(w) {
            return true;
        }
        w.p_idle.store(true, Ordering::Release);
        w.searchers.idle_add();
        w.searchers.retire();
        w.work.load(Ordering::Acquire) == 1 && w.p_idle.swap(false, Ordering::AcqRel) && {
            w.searchers.idle_sub();
            w.searchers.enter();
            take(w)
        }
    }

    fn submit(w: &World) {
        w.work.store(1, Ordering::Release);
        store_load_fence();
        if w.searchers.should_wake() {
            if w.p_idle.swap(false, Ordering::AcqRel) {
                w.searchers.idle_sub();
                w.woken.store(true, Ordering::Release);
            } else {
                w.searchers.abandon();
            }
        }
    }

    #[test]
    fn loom_work_published_while_the_last_searcher_leaves_is_not_lost() {
        loom::model(|| {
            let w = world(1);
            let searcher = {
                let w = w.clone();
                loom::thread::spawn(move || search_then_sleep(&w))
            };
            submit(&w);
            let found = searcher.join().unwrap();
            assert!(
                found || w.woken.load(Ordering::Acquire),
                "an idle P, published work, and nobody coming"
            );
        });
    }

    /// SR4: another searcher finds something else meanwhile.
    #[test]
    fn loom_a_p_is_given_up_without_a_search_and_nothing_is_lost() {
        loom::model(|| {
            let w = world(1);
            let gives_up = {
                let w = w.clone();
                loom::thread::spawn(move || {
                    w.p_idle.store(true, Ordering::Release);
                    w.searchers.idle_add();
                    store_load_fence();
                    w.searchers.spinning() == 0 && w.work.load(Ordering::Acquire) == 1
                })
            };
            w.searchers.found();
            store_load_fence();
            let woken_for_it = w.searchers.should_wake();
            if woken_for_it {
                w.woken.store(true, Ordering::Release);
            }
            submit(&w);
            let looks = gives_up.join().unwrap();
            assert!(looks || w.woken.load(Ordering::Acquire), "published work, and nobody coming");
        });
    }

    #[test]
    fn loom_two_submitters_start_at_most_one_searcher_per_idle_p() {
        loom::model(|| {
            let w = world(1);
            let searcher = {
                let w = w.clone();
                loom::thread::spawn(move || search_then_sleep(&w))
            };
            let other = {
                let w = w.clone();
                loom::thread::spawn(move || submit(&w))
            };
            submit(&w);
            other.join().unwrap();
            let found = searcher.join().unwrap();
            assert!(found || w.woken.load(Ordering::Acquire) || !w.p_idle.load(Ordering::Acquire));
            assert!(w.searchers.spinning() <= 2);
        });
    }
}
