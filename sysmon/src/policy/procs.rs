//! Job: what is done about each P: a goroutine that has run for long, a thread that is blocked, a
//!   call that takes its time.
//! Not here: how any of it is done.
//! Invariants
//!   PP1  While no goroutine waits that could run, nobody is disturbed: no flag, no kick, no retake but
//!        that of a call, which disturbs nobody.
//!   PP2  What is done to a P names the tick at which it was seen, so that a host can tell whether the
//!        same goroutine is still there.
//!
//! The steps for a goroutine that has used up its slice: its flag at once, kicks after
//! `kick_after_ns` (each after twice the time, for it may be where it cannot be stopped), and after
//! `retake_after_ns` the P goes even though the thread goes on. For an urgent goroutine the flag and
//! the kick come together.

use super::action::{Action, Why};
use super::facts::{Config, Proc, Snapshot, State};
use crate::backoff::SHORTEST_NS;

/// The least time between two tries of the same step.
const AGAIN_NS: u64 = 100_000;
/// Doublings of the time between two tries.
const DOUBLINGS: u32 = 6;

/// What is remembered of a P from round to round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    tick: u64,
    /// When this tick was seen first.
    since_ns: u64,
    calls: u64,
    /// When this call was seen first.
    call_since_ns: u64,
    cpu_ns: Option<u64>,
    /// When the CPU clock was seen first to show this time.
    stood_since_ns: u64,
    asked: Option<Asked>,
}

/// The goroutine of this tick (PP2) has been asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    kicks: u32,
    kick_ns: u64,
    retakes: u32,
    retake_ns: u64,
}

impl Trace {
    fn update(&mut self, at_ns: u64, proc: &Proc) {
        if proc.state == State::Idle || proc.tick != self.tick {
            *self = Trace { since_ns: at_ns, call_since_ns: at_ns, tick: proc.tick, ..*self };
            self.asked = None;
        }
        if proc.state != State::Calling || proc.calls != self.calls {
            (self.calls, self.call_since_ns) = (proc.calls, at_ns);
        }
        if proc.cpu_ns.is_none() || proc.cpu_ns != self.cpu_ns {
            (self.cpu_ns, self.stood_since_ns) = (proc.cpu_ns, at_ns);
        }
    }

    fn ask(&mut self, config: &Config, now_ns: u64, kick_ns: u64, kicks: u32) {
        let retake_ns = now_ns.saturating_add(config.retake_after_ns);
        self.asked = Some(Asked { kicks, kick_ns, retakes: 0, retake_ns });
    }
}

/// One round over all Ps. Returns when the next step comes due.
pub(super) fn attend(
    config: &Config,
    traces: &mut Vec<Trace>,
    now: &Snapshot,
    act: &mut impl FnMut(Action),
) -> Option<u64> {
    let at = now.at_ns;
    while traces.len() < now.procs().len().min(traces.capacity()) {
        traces.push(Trace::default());
    }
    let pairs = || now.procs().iter().zip(0..);
    for (trace, (proc, _)) in traces.iter_mut().zip(pairs()) {
        trace.update(at, proc);
    }
    let mut due = Due(None);
    preempt_for_urgent(config, traces, now, act, &mut due);
    for (trace, (proc, i)) in traces.iter_mut().zip(pairs()) {
        match proc.state {
            State::Running if now.somebody_waits() => {
                let mut p = Running { config, at, proc: i, trace, act };
                p.end_slice(now.urgent > 0, &mut due);
                p.retake_if_blocked(&mut due);
            }
            State::Calling => {
                let patience =
                    if now.somebody_waits() { SHORTEST_NS } else { config.call_after_ns };
                if due.is_over(at, trace.call_since_ns.saturating_add(patience)) {
                    act(Action::Retake { proc: i, tick: proc.tick, why: Why::Call });
                    trace.call_since_ns = at; // again, if it stays
                }
            }
            State::Running | State::Idle => trace.asked = None, // PP1
        }
    }
    due.0
}

/// The earliest moment at which something will have to be done.
struct Due(Option<u64>);

impl Due {
    /// Whether the moment has come; if not it is noted.
    fn is_over(&mut self, now_ns: u64, moment_ns: u64) -> bool {
        if moment_ns > now_ns {
            self.0 = Some(self.0.map_or(moment_ns, |due| due.min(moment_ns)));
        }
        moment_ns <= now_ns
    }
}

/// Has the longest running goroutines make room for urgent ones, one for each.
fn preempt_for_urgent(
    config: &Config,
    traces: &mut [Trace],
    now: &Snapshot,
    act: &mut impl FnMut(Action),
    due: &mut Due,
) {
    let Some(granularity) = config.granularity_ns.filter(|_| now.all_busy()) else { return };
    let running = |(_, proc): &(&mut Trace, &Proc)| proc.state == State::Running;
    let asked = traces.iter().filter(|trace| trace.asked.is_some()).count();
    for _ in asked..now.urgent.min(traces.len()) {
        let unasked = traces.iter_mut().zip(now.procs()).enumerate();
        let oldest = unasked
            .filter(|(_, pair)| running(pair) && pair.0.asked.is_none())
            .min_by_key(|(_, (trace, _))| trace.since_ns);
        let Some((i, (trace, proc))) = oldest else { return };
        if !due.is_over(now.at_ns, trace.since_ns.saturating_add(granularity)) {
            return;
        }
        act(Action::WakePreempt { proc: i, tick: proc.tick });
        let again = now.at_ns.saturating_add(later(config.kick_after_ns, 1));
        trace.ask(config, now.at_ns, again, 1);
    }
}

/// A P that runs while somebody waits.
struct Running<'a, F> {
    config: &'a Config,
    at: u64,
    proc: usize,
    trace: &'a mut Trace,
    act: &'a mut F,
}

impl<F: FnMut(Action)> Running<'_, F> {
    fn end_slice(&mut self, urgent: bool, due: &mut Due) {
        let Running { config, at, proc, .. } = *self;
        let tick = self.trace.tick;
        if self.trace.asked.is_none() {
            let Some(slice) = config.slice_ns else { return };
            if !due.is_over(at, self.trace.since_ns.saturating_add(slice)) {
                return;
            }
            (self.act)(Action::SetPreempt { proc, tick });
            let grace = if urgent { 0 } else { config.kick_after_ns };
            self.trace.ask(config, at, at.saturating_add(grace), 0);
        }
        let Some(asked) = &mut self.trace.asked else { return };
        if urgent && asked.kicks == 0 {
            asked.kick_ns = at; // no time for its flag
        }
        if due.is_over(at, asked.kick_ns) {
            (self.act)(Action::Kick { proc, tick });
            asked.kicks += 1;
            asked.kick_ns = at.saturating_add(later(config.kick_after_ns, asked.kicks));
            due.is_over(at, asked.kick_ns);
        }
        if due.is_over(at, asked.retake_ns) {
            (self.act)(Action::Retake { proc, tick, why: Why::Running });
            asked.retakes += 1;
            asked.retake_ns = at.saturating_add(later(config.retake_after_ns, asked.retakes));
            due.is_over(at, asked.retake_ns);
        }
    }

    fn retake_if_blocked(&mut self, due: &mut Due) {
        let trace = &mut *self.trace;
        if trace.cpu_ns.is_none() {
            due.is_over(self.at, self.at.saturating_add(self.config.blocked_after_ns));
        } else if due
            .is_over(self.at, trace.stood_since_ns.saturating_add(self.config.blocked_after_ns))
        {
            let (proc, tick) = (self.proc, trace.tick);
            (self.act)(Action::Retake { proc, tick, why: Why::Blocked });
            trace.stood_since_ns = self.at; // again, if it stays
            due.is_over(self.at, self.at.saturating_add(self.config.blocked_after_ns));
        }
    }
}

/// The time to the next try after so many.
fn later(base_ns: u64, tries: u32) -> u64 {
    base_ns.max(AGAIN_NS).saturating_mul(1 << tries.min(DOUBLINGS).saturating_sub(1))
}
