//! Job: the word by which a scheduler thread holds its right to run goroutines, and may lose it to
//!   the watchdog while it is in code that does not look.
//! Layer: L0 (machine)
//! Not here: the sections during which it cannot lose it (`section`), what it does when it has
//!   (`sched::comeback`), who takes (`sched::taker`).
//! Invariants
//!   HD1  HELD and TAKING: the owner has its right. LOST and GONE: somebody else has it. Only the one
//!        taker moves HELD to TAKING, TAKING to LOST, and LOST back to HELD; only the owner leaves
//!        TAKING by `notice`, moves LOST to GONE, and leaves that.
//!   HD2  The taker goes on to LOST only if, after an asymmetric fence, it saw the owner outside of
//!        every section (its depth 0).
//!   HD3  The owner looks at this word after it has raised its depth from 0, before it uses what it
//!        holds.
//! Orderings
//!   E1  owner: depth := 1; compiler fence; load word   <->   taker: word := TAKING; membarrier;
//!       load depth. The membarrier puts a full fence between two instructions of the owner. If
//!       its load of the word comes before that point, so does its store of the depth, and the
//!       taker sees 1 (or a later value) and gives up; if after, the owner sees TAKING and keeps
//!       what it holds by the exchange in `notice`, or finds LOST.
//!   E2  owner: depth := 0 (Release) -> taker: load depth (Acquire)   what the owner did with what
//!       it held is seen by who gets it next
//!   E3  taker: LOST to HELD (Release) -> owner: load word (Acquire)   and the other way round
//!
//! ```text
//!             begin             finish(true)
//!     HELD ----------> TAKING --------------> LOST --------> GONE
//!      ^ ^   notice      |                     |    notice    |
//!      | +---------------+                     |              |
//!      +---------------------------------------+              |
//!      |              give_back                               |
//!      +------------------------------------------------------+
//!                           regained
//! ```
//! An owner that is lost and computes on may be given back what it had before it has noticed.
//! The bit `ASK` beside the state asks the owner to let others run at its next look.
//! Checked by: the loom models below.

use super::shim::{AtomicU32, Ordering};

const HELD: u32 = 0;
const TAKING: u32 = 1;
const LOST: u32 = 2;
const GONE: u32 = 3;
const STATE: u32 = 3;
const ASK: u32 = 4;

/// See the module.
#[repr(transparent)]
pub(crate) struct Hold(AtomicU32);

/// What the owner finds when it looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// It still has its right; whether it was asked to let others run.
    Held { asked: bool },
    /// It has it no more.
    Lost,
}

impl Hold {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Hold {
        Hold(AtomicU32::new(HELD))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Hold {
        Hold(AtomicU32::new(HELD))
    }

    /// Owner: whether there is nothing to notice (HD3). One load.
    #[inline(always)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.load(Ordering::Acquire) == HELD // E1, E3
    }

    /// Owner: what there is to notice. Ends a TAKING that has not become LOST; after a loss nothing is
    /// given back any more.
    pub(crate) fn notice(&self) -> Notice {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let lost = seen & STATE >= LOST;
            let to = if lost { GONE } else { HELD };
            // With `finish` and `give_back`: one of them wins. E3
            let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed);
            match self.0.compare_exchange(seen, to, ok, err) {
                Ok(_) if lost => return Notice::Lost,
                Ok(_) => return Notice::Held { asked: seen & ASK != 0 },
                Err(now) => seen = now,
            }
        }
    }

    /// Owner: has noticed the loss; what it holds now, or gets next, is its own again.
    pub(crate) fn regained(&self) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed) & STATE, GONE);
        self.0.store(HELD, Ordering::Relaxed); // the taker looks only at Ms that hold something
    }

    /// Whether the owner has lost its right and has no other yet. Until it has noticed, it may be given
    /// back.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.0.load(Ordering::Acquire) & STATE >= LOST // partner: `finish`
    }

    /// Taker: announces itself; a membarrier and a look at the owner's depth follow (HD2).
    pub(crate) fn begin(&self) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1: the fence follows
        seen & STATE == HELD && self.0.compare_exchange(seen, seen | TAKING, ok, err).is_ok()
    }

    /// Taker: takes, if the owner was `outside` of every section and has not noticed since; true if
    /// the right is the taker's now. Otherwise the owner is asked to let others run, if `ask`.
    pub(crate) fn finish(&self, outside: bool, ask: bool) -> bool {
        let held = if ask { HELD | ASK } else { HELD };
        let to = if outside { LOST } else { held };
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & STATE == TAKING {
            let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // with `notice`: one of them wins
            match self.0.compare_exchange(seen, to, ok, err) {
                Ok(_) => return outside,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Taker: gives back what it took, unless the owner has noticed. The owner may use it at once.
    pub(crate) fn give_back(&self) -> bool {
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E3; with `notice`: one of them wins
        self.0.compare_exchange(LOST, HELD, ok, err).is_ok()
    }

    /// Taker: whether the owner has lost its right and goes on without having noticed.
    pub(crate) fn is_unnoticed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LOST // a hint
    }

    /// Taker: asks the owner to let others run at its next look.
    pub(crate) fn ask(&self) {
        let (ok, err) = (Ordering::Relaxed, Ordering::Relaxed); // a hint
        let _ = self.0.compare_exchange(HELD, HELD | ASK, ok, err);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_take_succeeds_only_from_outside_and_unnoticed() {
        let hold = Hold::new();
        assert!(hold.is_quiet() && hold.begin() && !hold.begin());
        assert!(!hold.finish(false, true));
        assert_eq!(hold.notice(), Notice::Held { asked: true });
        assert!(hold.begin() && !hold.finish(false, false));
        assert!(hold.is_quiet(), "not asked");
        assert!(hold.is_quiet());
        assert!(hold.begin());
        assert_eq!(hold.notice(), Notice::Held { asked: false });
        assert!(!hold.finish(true, true), "the owner noticed in time");
        assert!(hold.begin() && hold.finish(true, true));
        assert_eq!(hold.notice(), Notice::Lost);
        assert!(!hold.begin());
        hold.regained();
        assert!(hold.is_quiet());
    }

    #[test]
    fn what_was_taken_is_given_back_until_the_owner_notices() {
        let hold = Hold::new();
        assert!(!hold.give_back() && hold.begin() && hold.finish(true, true));
        assert!(hold.is_unnoticed() && hold.is_lost());
        assert!(hold.give_back() && hold.is_quiet());
        assert!(hold.begin() && hold.finish(true, true));
        assert_eq!(hold.notice(), Notice::Lost);
        assert!(!hold.give_back() && hold.is_lost() && !hold.is_unnoticed());
        hold.regained();
        assert!(hold.is_quiet());
    }

    #[test]
    fn being_asked_does_not_keep_a_take_from_beginning() {
        let hold = Hold::new();
        hold.ask();
        assert!(!hold.is_quiet() && hold.begin() && hold.finish(true, true));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sys::shim::store_load_fence;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// An owner with its depth, and what it holds: two counters that only the holder touches. The
    /// asymmetric fence is modelled by a full one on either side, which is what it amounts to.
    struct World {
        hold: Hold,
        depth: AtomicU32,
        queue: UnsafeCell<u32>,
    }

    impl World {
        fn new() -> Arc<World> {
            let (hold, depth, queue) = (Hold::new(), AtomicU32::new(0), UnsafeCell::new(0));
            Arc::new(World { hold, depth, queue })
        }
    }

    /// One section; false if the owner found that it had lost its right.
    fn section(w: &World) -> bool {
        w.depth.store(1, Ordering::Relaxed);
        store_load_fence(); // E1
        let held = w.hold.is_quiet() || w.hold.notice() != Notice::Lost;
        if held {
            // SAFETY: what the model checks.
            w.queue.with_mut(|queue| unsafe { *queue += 1 });
        }
        w.depth.store(0, Ordering::Release); // E2
        held
    }

    fn take(w: &World) -> bool {
        if !w.hold.begin() {
            return false;
        }
        store_load_fence(); // E1
        let outside = w.depth.load(Ordering::Acquire) == 0; // E2
        w.hold.finish(outside, true)
    }

    #[test]
    fn loom_nobody_uses_what_another_holds() {
        loom::model(|| {
            let w = World::new();
            let owner = {
                let w = w.clone();
                loom::thread::spawn(move || u32::from(section(&w)) + u32::from(section(&w)))
            };
            let taken = take(&w);
            if taken {
                // SAFETY: what the model checks.
                w.queue.with_mut(|queue| unsafe { *queue += 10 });
            }
            let sections = owner.join().unwrap();
            // SAFETY: the owner has ended.
            let total = w.queue.with(|queue| unsafe { *queue });
            assert_eq!(total, sections + if taken { 10 } else { 0 });
            assert!(taken || sections == 2);
        });
    }

    #[test]
    fn loom_what_is_given_back_is_used_by_one() {
        loom::model(|| {
            let w = World::new();
            let owner = {
                let w = w.clone();
                loom::thread::spawn(move || u32::from(section(&w)) + u32::from(section(&w)))
            };
            let mut by_taker = 0;
            if take(&w) {
                // SAFETY: what the model checks.
                w.queue.with_mut(|queue| unsafe { *queue += 10 });
                by_taker = 10;
                w.hold.give_back();
            }
            let sections = owner.join().unwrap();
            // SAFETY: the owner has ended.
            let total = w.queue.with(|queue| unsafe { *queue });
            assert_eq!(total, sections + by_taker);
        });
    }

    #[test]
    fn loom_a_taker_may_try_again() {
        loom::model(|| {
            let w = World::new();
            let owner = {
                let w = w.clone();
                loom::thread::spawn(move || u32::from(section(&w)))
            };
            let first = take(&w);
            let second = take(&w);
            assert!(!(first && second), "taken once, given back by nobody");
            let sections = owner.join().unwrap();
            assert!(first || second || sections == 1);
        });
    }
}
