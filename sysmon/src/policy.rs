//! Job: what the watchdog does, as a pure function of two snapshots and a few times.
//! Not here: threads, clocks, sleeping; the host's side of any action.
//! Invariants
//!   PO1  `decide` reads nothing but its arguments. Time is `Snapshot::at_ns`.
//!   PO2  It never asks for a rest beyond the moment at which, by what it sees, it will have to act.
//!   PO3  It allows the endless sleep only where no duty can come due by time alone: everything is
//!        idle, and if anybody waits for the network or a timer, an M is in the poller for them.
//!
//! A duty is repeated until its evidence is gone. A repetition over unchanged evidence does not count
//! as fruitful, nor does anything that is done to a P: the rounds then back off instead of spinning,
//! and come back when the next step is due.

mod action;
mod facts;
mod procs;
mod spare;

pub use action::{Action, Why};
pub use facts::{Config, Proc, Snapshot, State};

use crate::backoff::{Backoff, SHORTEST_NS};
use procs::Trace;
use spare::{Rule, Spare};

/// With all Ps busy but nobody waiting, a new waiter is noticed within the slice, or this.
const WATCH_NS: u64 = 1_000_000;

/// How the watchdog rests after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// So many nanoseconds, whatever happens.
    Nap(u64),
    /// Until woken, and if given, at most so many nanoseconds.
    Deep {
        /// The rest that warm stacks are granted before they are trimmed.
        at_most_ns: Option<u64>,
    },
}

/// What outlives a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Since when everything has been idle; `None` while something runs.
    idle_since_ns: Option<u64>,
    stacks: Spare,
    threads: Spare,
    /// The state of the rests.
    pub(crate) backoff: Backoff,
    traces: Vec<Trace>,
}

impl History {
    /// Nothing observed yet; room for so many Ps. Allocates (SM1).
    pub fn new(at_ns: u64, max_procs: usize) -> History {
        History {
            idle_since_ns: None,
            stacks: Spare::new(at_ns),
            threads: Spare::new(at_ns),
            backoff: Backoff::new(),
            traces: Vec::with_capacity(max_procs),
        }
    }
}

/// One round: tells `act` what to do, notes in `history` what the next round is to know, and returns how
/// to rest.
///
/// Pure (PO1), apart from what `act` does; `act` is called for each action at once so that nothing
/// has to be collected (SM1).
pub fn decide(
    config: &Config,
    history: &mut History,
    previous: &Snapshot,
    now: &Snapshot,
    mut act: impl FnMut(Action),
) -> Rest {
    let mut fruitful = false;
    let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now.at_ns);
    if is_due(now.network_due_ns(config)) {
        act(Action::PollNetwork);
        fruitful |=
            previous.last_poll_ns != now.last_poll_ns || previous.network_due_ns(config).is_none();
    }
    if is_due(now.timer_due_ns(config)) {
        act(Action::RunTimers);
        fruitful |= previous.timer_due_ns(config) != now.timer_due_ns(config);
    }
    if now.work_unattended() && previous.work_unattended() {
        act(Action::StartM);
    }
    let step_due = procs::attend(config, &mut history.traces, now, &mut act);

    note_idleness(history, previous, now);
    let (at, idle) = (now.at_ns, idle_ns(history, now));
    if let Some(keep) = history.stacks.keep(stack_rule(config), at, idle, now.warm_stacks) {
        act(Action::TrimStacks { keep });
    }
    if let Some(keep) = history.threads.keep(thread_rule(config), at, idle, now.idle_threads) {
        act(Action::Reap { keep });
    }
    let dues = [now.network_due_ns(config), now.timer_due_ns(config), step_due];
    rest(config, history, now, fruitful, dues)
}

fn stack_rule(config: &Config) -> Rule {
    Rule { every_ns: config.trim_every_ns, idle_ns: config.trim_idle_ns, keep: config.keep_warm }
}

fn thread_rule(config: &Config) -> Rule {
    let after = config.reap_after_ns;
    Rule { every_ns: after, idle_ns: after, keep: config.keep_threads }
}

/// Everything is idle, and no P has run anything since the previous snapshot.
fn note_idleness(history: &mut History, previous: &Snapshot, now: &Snapshot) {
    if now.all_idle() && previous.all_idle() && now.procs() == previous.procs() {
        history.idle_since_ns.get_or_insert(now.at_ns);
    } else {
        history.idle_since_ns = None;
    }
}

fn idle_ns(history: &History, now: &Snapshot) -> Option<u64> {
    Some(now.at_ns.saturating_sub(history.idle_since_ns?))
}

fn rest(
    config: &Config,
    history: &mut History,
    now: &Snapshot,
    fruitful: bool,
    dues: [Option<u64>; 3],
) -> Rest {
    if let Some(idle) = idle_ns(history, now)
        && idle >= config.deep_after_ns
        && now.needs_nobody()
    {
        let stacks = history.stacks.after_ns(stack_rule(config), idle, now.warm_stacks);
        let threads = history.threads.after_ns(thread_rule(config), idle, now.idle_threads);
        let at_most_ns = stacks.into_iter().chain(threads).min();
        return Rest::Deep { at_most_ns: at_most_ns.map(|ns| ns.max(SHORTEST_NS)) };
    }
    let mut nap = history.backoff.next(fruitful);
    if !now.all_idle() && now.net_waiters > 0 {
        // Ps become busy and the poller empty in the middle of a nap.
        nap = nap.min(config.network_budget_ns);
    }
    if now.all_busy()
        && let Some(slice) = config.slice_ns
    {
        nap = nap.min(slice.max(WATCH_NS));
    }
    for due in dues.into_iter().flatten().filter(|&due| due > now.at_ns) {
        nap = nap.min(due - now.at_ns); // PO2
    }
    Rest::Nap(nap.max(SHORTEST_NS))
}

#[cfg(test)]
mod tests;
