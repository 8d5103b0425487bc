//! Job: what the watchdog does, as a pure function of two snapshots and a few times.
//! Not here: threads, clocks, sleeping; the host's side of any action.
//! Invariants
//!   PO1  `decide` reads nothing but its arguments, and by the `Probe` what it needs to know of a
//!        thread. Time is `Snapshot::at_ns`.
//!   PO2  It never asks for a rest beyond the moment at which, by what it sees, it will have to act.
//!   PO3  It allows the endless sleep only where no duty can come due by time alone: everything is
//!        idle, and if anybody waits for the network or a timer, an M is in the poller for them.
//!
//! A duty is repeated each round until its evidence is gone, but a repetition over unchanged
//! evidence does not count as fruitful, nor does anything that is done to a P: the rounds then back off
//! instead of spinning, and come back when the next step is due.

mod action;
mod facts;
mod procs;

pub use action::{Action, Why};
pub use facts::{Config, Proc, Snapshot};
pub use procs::Probe;

use crate::backoff::{Backoff, SHORTEST_NS};
use procs::Stall;

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

/// The few facts that outlive a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Since when everything has been idle; `None` while something runs.
    pub idle_since_ns: Option<u64>,
    /// Whether stacks were trimmed in this idle period: once is enough.
    pub trimmed_idle: bool,
    /// When stacks were trimmed last, or their use began to be observed.
    pub window_start_ns: u64,
    /// The fewest warm stacks since then: as many were needed by nobody.
    pub fewest_warm: usize,
    /// The state of the rests.
    pub(crate) backoff: Backoff,
    stalls: Vec<Stall>,
}

impl History {
    /// Nothing observed yet; room for so many Ps. Allocates (SM1).
    pub fn new(at_ns: u64, max_procs: usize) -> History {
        History {
            idle_since_ns: None,
            trimmed_idle: false,
            window_start_ns: at_ns,
            fewest_warm: usize::MAX,
            backoff: Backoff::new(),
            stalls: Vec::with_capacity(max_procs),
        }
    }
}

/// One round: tells `act` what to do, notes in `history` what the next round is to know, and returns how
/// to rest.
///
/// Pure (PO1), apart from what `act` does and `probe` reads; `act` is called for each action at once so
/// that nothing has to be collected (SM1).
pub fn decide(
    config: &Config,
    history: &mut History,
    previous: &Snapshot,
    now: &Snapshot,
    probe: &impl Probe,
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

    if now.poller_wanted(config) {
        act(Action::ManPoller);
    }
    let nap = procs::attend(config, &mut history.stalls, now, probe, &mut act);

    note_idleness(history, previous, now);
    if let Some(keep) = stacks_to_keep(config, history, now) {
        act(Action::TrimStacks { keep });
    }
    match rest(config, history, now, fruitful) {
        Rest::Nap(ns) => Rest::Nap(ns.min(nap)),
        deep => deep,
    }
}

/// Everything is idle, and no P has run anything since the previous snapshot.
fn note_idleness(history: &mut History, previous: &Snapshot, now: &Snapshot) {
    if now.all_idle() && previous.all_idle() && now.same_procs(previous) {
        history.idle_since_ns.get_or_insert(now.at_ns);
    } else {
        history.idle_since_ns = None;
        history.trimmed_idle = false;
    }
}

/// Whether warm stacks are to be given back now, and how many are to stay.
///
/// In a process at work, the stacks that lay unused through a whole window go, down to the low-water
/// mark; those that were taken and returned in it stay. In an idle one all above the mark go, once.
fn stacks_to_keep(config: &Config, history: &mut History, now: &Snapshot) -> Option<usize> {
    history.fewest_warm = history.fewest_warm.min(now.warm_stacks);
    let long_idle = idle_ns(history, now).is_some_and(|idle| idle >= config.trim_idle_ns);
    let keep = if long_idle && !history.trimmed_idle {
        history.trimmed_idle = true;
        config.keep_warm
    } else if now.at_ns.saturating_sub(history.window_start_ns) >= config.trim_every_ns {
        let used = now.warm_stacks - history.fewest_warm;
        config.keep_warm.saturating_add(used)
    } else {
        return None;
    };
    history.window_start_ns = now.at_ns;
    history.fewest_warm = usize::MAX;
    (now.warm_stacks > keep).then_some(keep)
}

fn idle_ns(history: &History, now: &Snapshot) -> Option<u64> {
    Some(now.at_ns.saturating_sub(history.idle_since_ns?))
}

fn rest(config: &Config, history: &mut History, now: &Snapshot, fruitful: bool) -> Rest {
    if let Some(idle) = idle_ns(history, now)
        && idle >= config.deep_after_ns
        && now.needs_nobody()
    {
        let trim_later = !history.trimmed_idle && now.warm_stacks > config.keep_warm;
        let at_most_ns =
            trim_later.then(|| config.trim_idle_ns.saturating_sub(idle).max(SHORTEST_NS));
        return Rest::Deep { at_most_ns };
    }
    let mut nap = history.backoff.next(fruitful);
    if !now.all_idle() && now.net_waiters > 0 {
        // Ps become busy and the poller empty in the middle of a nap.
        nap = nap.min(config.network_budget_ns);
    }
    let dues = [now.network_due_ns(config), now.timer_due_ns(config)];
    for due in dues.into_iter().flatten().filter(|&due| due > now.at_ns) {
        nap = nap.min(due - now.at_ns); // PO2
    }
    Rest::Nap(nap.max(SHORTEST_NS))
}

#[cfg(test)]
mod tests;
