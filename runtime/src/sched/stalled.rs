//! Job: judging whether a P stands still, and why: its goroutine computes, or its thread is blocked
//!   in a call that the runtime knows nothing of.
//! Layer: L2 (sched)
//! Not here: reading clocks (`monitor`), acting on a verdict (`retake`).
//! Invariants
//!   SD1  A thread counts as blocked only if its CPU clock stood still for `BLOCKED_NS` while the P's
//!        tick did, and the kernel says that it sleeps: under load a thread that waits for a
//!        processor has a standing clock, too.
//!   SD2  Nothing is done to a P while no goroutine waits for one.
//!
//! Pure: everything seen is passed in. How soon a blocked call is found: `BLOCKED_NS` after the
//! second look at it; looks are at most `WATCH_NS` apart while goroutines wait.

use crate::sys::clock::Nanos;

/// How long a CPU clock must stand.
pub(super) const BLOCKED_NS: Nanos = 100_000;
/// How soon to look again while goroutines wait and every P is busy ...
pub(super) const WATCH_NS: Nanos = 1_000_000;
/// ... and while a clock stands, or somebody is in a call that is known to block.
pub(super) const SUSPECT_NS: Nanos = 50_000;

/// A P as the watchdog sees it in one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sight {
    pub(super) at: Nanos,
    pub(super) tick: u32,
    pub(super) m_id: u32,
    /// The call to `blocking` that it is in; 0 for none.
    pub(super) call: u64,
}

/// What to do about a P.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Look again soon.
    Watch,
    /// Look again very soon.
    Suspect,
    /// Its goroutine has used up its slice: ask it to let others run.
    Ask,
    /// Take the P from its M.
    Retake,
}

/// What is remembered of a P from round to round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    sight: Sight,
    /// The CPU clock when it was last seen to differ, and when that was.
    clock: Option<(Nanos, Nanos)>,
}

impl Stall {
    pub(super) const NEW: Stall =
        Stall { sight: Sight { at: 0, tick: 0, m_id: u32::MAX, call: 0 }, clock: None };

    /// One round. `clock` reads the thread's CPU clock, `asleep` asks the kernel about it; neither
    /// is called without need.
    pub(super) fn judge(
        &mut self,
        now: Sight,
        waits: bool,
        slice: Nanos,
        clock: impl FnOnce() -> Option<Nanos>,
        asleep: impl FnOnce() -> bool,
    ) -> Verdict {
        let before = self.sight;
        if before.tick != now.tick || before.m_id != now.m_id {
            *self = Stall { sight: now, clock: None };
            return match (waits, now.call) {
                (false, _) => Verdict::Fine,
                (true, 0) => Verdict::Watch, // or its slice would last as long as the watchdog's rest
                (true, _) => Verdict::Suspect,
            };
        }
        self.sight.call = now.call;
        if !waits {
            self.clock = None;
            return Verdict::Fine; // SD2
        }
        if now.call != 0 {
            return if before.call == now.call { Verdict::Retake } else { Verdict::Suspect };
        }
        let Some(clock) = clock() else { return Verdict::Watch };
        match self.clock {
            Some((value, since)) if value == clock => {
                let long = now.at.saturating_sub(since) >= BLOCKED_NS;
                if long && asleep() { Verdict::Retake } else { Verdict::Suspect } // SD1
            }
            _ => {
                self.clock = Some((clock, now.at));
                let ran = now.at.saturating_sub(before.at);
                if ran >= slice { Verdict::Ask } else { Verdict::Watch }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Nanos = 10_000_000;

    fn sight(at: Nanos, tick: u32, call: u64) -> Sight {
        Sight { at, tick, m_id: 0, call }
    }

    fn never<T>() -> T {
        panic!("must not ask")
    }

    #[test]
    fn a_standing_clock_and_a_sleeping_thread_are_needed() {
        let mut stall = Stall::NEW;
        let mut look = |at, tick, clock, asleep| {
            stall.judge(sight(at, tick, 0), true, SLICE, || Some(clock), || asleep)
        };
        assert_eq!(look(0, 1, 5, true), Verdict::Watch);
        assert_eq!(look(50_000, 1, 5, true), Verdict::Watch);
        assert_eq!(look(100_000, 1, 5, true), Verdict::Suspect);
        assert_eq!(look(150_000, 1, 5, false), Verdict::Suspect, "it waits for a processor");
        assert_eq!(look(200_000, 1, 5, true), Verdict::Retake);
        assert_eq!(look(300_000, 1, 6, true), Verdict::Watch, "it has run");
        assert_eq!(look(350_000, 1, 6, true), Verdict::Suspect);
        assert_eq!(look(400_000, 2, 6, true), Verdict::Watch, "another round");
    }

    #[test]
    fn a_known_call_is_taken_at_the_second_look() {
        let mut stall = Stall::NEW;
        let mut look =
            |at, call, waits| stall.judge(sight(at, 1, call), waits, SLICE, never, never);
        assert_eq!(look(0, 7, true), Verdict::Suspect);
        assert_eq!(look(20_000, 8, true), Verdict::Suspect, "another call");
        assert_eq!(look(40_000, 8, false), Verdict::Fine, "nobody waits");
        assert_eq!(look(60_000, 8, true), Verdict::Retake);
    }

    #[test]
    fn a_computing_goroutine_is_asked_after_its_slice() {
        let mut stall = Stall::NEW;
        let mut look = |at| stall.judge(sight(at, 1, 0), true, SLICE, || Some(at), never);
        assert_eq!(look(0), Verdict::Watch);
        assert_eq!(look(5_000_000), Verdict::Watch);
        assert_eq!(look(10_000_000), Verdict::Ask);
        assert_eq!(look(11_000_000), Verdict::Ask);
    }

    #[test]
    fn nothing_is_read_while_nobody_waits() {
        let mut stall = Stall::NEW;
        for at in 0..3 {
            let verdict = stall.judge(sight(at * SLICE, 1, 0), false, SLICE, never, never);
            assert_eq!(verdict, Verdict::Fine);
        }
    }
}
