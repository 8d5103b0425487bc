//! Job: what is done about each P that stands still: its goroutine computes, or its thread is blocked.
//! Not here: how any of it is done; those that only need somebody in the poller (`facts`).
//! Invariants
//!   PP1  While nobody waits for a P, nothing is read and nobody is disturbed.
//!   PP2  A thread counts as blocked only if its CPU clock stood still for `blocked_after_ns` while the
//!        P's turn did, and the kernel says that it sleeps: under load a thread that waits for a
//!        processor has a standing clock, too.
//!   PP3  A call that was announced as blocking is taken at the second look at it: most are over by
//!        then.
//!   PP4  A goroutine that was asked to stop is given `retake_after_ns` of CPU time for it: if its thread
//!        waits for a processor, another one in its place would have to wait, too. But not for longer
//!        than `IGNORED_TIMES` as much on the clock.
//!   PP5  A slice that ends without the watchdog is given a quarter more, and looked at no sooner than
//!        other goroutines that compute.
//!
//! How soon a blocked thread is found: `blocked_after_ns` after the second look at it; looks are at
//! most `WATCH_NS` apart while somebody waits, or `COMPUTES_NS` if it, or the one before it, was seen to
//! compute.
//!
//! A round costs some 15 us of a CPU that computes. So slices that end at about the same time end in
//! one round, and nobody looks just to see whether a goroutine has stopped.

use super::action::{Action, Why};
use super::facts::{Config, Proc, Snapshot};
use crate::backoff::SHORTEST_NS;

/// How soon to look again while somebody waits and every P is busy ...
const WATCH_NS: u64 = 1_000_000;
/// ... unless a clock has moved since the last look ...
const COMPUTES_NS: u64 = 5_000_000;
/// ... and while a clock stands.
const SUSPECT_NS: u64 = 50_000;

/// A slice is over if no more than this part of it is left.
const PART: u64 = 8;

/// PP4.
const IGNORED_TIMES: u64 = 10;

/// What the policy may ask about the thread that has a P, which costs system calls.
pub trait Probe {
    /// CPU time that it has used; `None` if nobody knows.
    fn cpu_ns(&self, proc: usize) -> Option<u64>;

    /// Whether it sleeps in the kernel, rather than run or wait for a processor.
    fn is_asleep(&self, proc: usize) -> bool;
}

/// What is remembered of a P from round to round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stall {
    m: Option<u32>,
    turn: u64,
    call: u64,
    /// The CPU clock when it was last seen to differ, and when that was.
    clock: Option<(u64, u64)>,
    asked: Option<Asked>,
}

/// When its goroutine was asked to stop, and its thread's CPU clock then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    at: u64,
    clock: Option<u64>,
}

impl Asked {
    /// PP4.
    fn is_ignored(self, at: u64, clock: Option<u64>, after: u64) -> bool {
        let passed = at.saturating_sub(self.at);
        let computed = clock.zip(self.clock).map(|(now, then)| now.saturating_sub(then));
        computed.unwrap_or(passed) >= after || passed >= IGNORED_TIMES * after
    }
}

/// One round over all Ps. Returns the longest rest that may follow.
pub(super) fn attend(
    config: &Config,
    stalls: &mut Vec<Stall>,
    now: &Snapshot,
    probe: &impl Probe,
    act: &mut impl FnMut(Action),
) -> u64 {
    let room = now.procs().len().min(stalls.capacity());
    if stalls.len() < room {
        stalls.resize(room, Stall::default()); // within the capacity (SM1)
    }
    let waits = now.somebody_waits();
    let mut nap = u64::MAX;
    for (i, (stall, proc)) in stalls.iter_mut().zip(now.procs()).enumerate() {
        if proc.running && proc.m.is_some() && (waits || proc.awaited) {
            let mut case = Case { config, at: now.at_ns, i, proc, stall, probe, nap: &mut nap };
            if let Some(action) = case.judge() {
                act(action);
            }
        } else {
            *stall = Stall::default(); // PP1
        }
    }
    nap
}

/// A P that somebody could use.
struct Case<'a, P> {
    config: &'a Config,
    at: u64,
    i: usize,
    proc: &'a Proc,
    stall: &'a mut Stall,
    probe: &'a P,
    nap: &'a mut u64,
}

impl<P: Probe> Case<'_, P> {
    fn judge(&mut self) -> Option<Action> {
        let proc = self.proc;
        let call = std::mem::replace(&mut self.stall.call, proc.call);
        if (self.stall.m, self.stall.turn) != (proc.m, proc.turn) {
            *self.stall = Stall { m: proc.m, turn: proc.turn, call: proc.call, ..Stall::default() };
            let first = if proc.timed { COMPUTES_NS } else { WATCH_NS };
            self.look_in(if proc.call == 0 { first } else { SHORTEST_NS });
            return if proc.call == 0 { self.slice() } else { None };
        }
        if proc.call != 0 {
            let retake = Action::Retake { proc: self.i, why: Why::Call };
            self.look_in(SHORTEST_NS);
            return (proc.call == call).then_some(retake); // PP3
        }
        self.blocked().or_else(|| self.lent()).or_else(|| self.slice())
    }

    fn look_in(&mut self, ns: u64) {
        *self.nap = (*self.nap).min(ns.max(SHORTEST_NS));
    }

    /// PP2.
    fn blocked(&mut self) -> Option<Action> {
        let Some(clock) = self.probe.cpu_ns(self.i) else {
            self.look_in(WATCH_NS);
            return None;
        };
        match self.stall.clock {
            Some((value, since)) if value == clock => {
                let long = self.at.saturating_sub(since) >= self.config.blocked_after_ns;
                let asleep = long && self.probe.is_asleep(self.i);
                // One that waits for a processor has no use for a close look.
                self.look_in(if long && !asleep { WATCH_NS } else { SUSPECT_NS });
                asleep.then_some(Action::Retake { proc: self.i, why: Why::Blocked })
            }
            before => {
                self.stall.clock = Some((clock, self.at));
                let computes = before.is_some() || self.proc.timed;
                self.look_in(if computes { COMPUTES_NS } else { WATCH_NS });
                None
            }
        }
    }

    fn lent(&mut self) -> Option<Action> {
        let left = self.config.lent_ns.saturating_sub(self.proc.lent_ns?);
        self.look_in(left);
        (left == 0).then_some(Action::Recall { proc: self.i })
    }

    /// Its goroutine has used up its slice: it is asked and stopped, and if it goes on, its P is taken.
    fn slice(&mut self) -> Option<Action> {
        let slice = self.config.slice_ns?;
        let more = if self.proc.timed { slice / 4 } else { 0 }; // PP5
        let left = slice.saturating_add(more).saturating_sub(self.proc.stands_ns);
        if left > slice / PART || self.proc.lent_ns.is_some() {
            self.look_in(if self.proc.timed { left.max(COMPUTES_NS) } else { left });
            return None;
        }
        let (proc, after) = (self.i, self.config.retake_after_ns.min(slice));
        self.look_in(if after == 0 { WATCH_NS.min(slice) } else { after });
        let clock = self.probe.cpu_ns(proc);
        let asked = self.stall.asked.replace(Asked { at: self.at, clock });
        match asked {
            None if after > 0 => Some(Action::Ask { proc }),
            Some(asked) if !asked.is_ignored(self.at, clock, after) => {
                self.stall.asked = Some(asked);
                None
            }
            _ => Some(Action::Retake { proc, why: Why::Running }), // PP4
        }
    }
}
