//! Job: what the watchdog does, as a pure function of two snapshots and a few times.
//! Not here: threads, clocks, sleeping; the host's side of any action.
//! Invariants
//!   PO1  `decide` reads nothing but its arguments. Time is `Snapshot::at_ns`.
//!   PO2  It never asks for a rest beyond the moment at which, by what it sees, it will have to act.
//!   PO3  It allows the endless sleep only where no duty can come due by time alone: everything is
//!        idle, and if anybody waits for the network or a timer, an M is in the poller for them.
//!
//! A duty is repeated each round until its evidence is gone, but a repetition over unchanged
//! evidence does not count as fruitful: the rounds then back off instead of spinning.

use crate::backoff::{Backoff, SHORTEST_NS};

/// The settings. All times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many Ps a [`Snapshot`] has room for; allocated once, at the start of the thread.
    pub max_procs: usize,
    /// With every P busy, the network is polled at least this often.
    pub network_budget_ns: u64,
    /// How late a timer may be before the watchdog runs it.
    pub timer_grace_ns: u64,
    /// How long everything must have been idle before the watchdog sleeps without end. Damping: each
    /// such sleep costs whoever ends it a system call.
    pub deep_after_ns: u64,
    /// How often the warm stacks that nobody used meanwhile are given back.
    pub trim_every_ns: u64,
    /// How long everything must have been idle before warm stacks are given back at once.
    pub trim_idle_ns: u64,
    /// The low-water mark: as many warm stacks are always kept.
    pub keep_warm: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_procs: 1024,
            network_budget_ns: 1_000_000,
            timer_grace_ns: 1_000_000,
            deep_after_ns: 1_000_000,
            trim_every_ns: 10_000_000_000,
            trim_idle_ns: 1_000_000_000,
            keep_warm: 64,
        }
    }
}

/// One P at the time of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proc {
    /// How often it has picked a goroutine. Unchanged between two snapshots of a running P: the same
    /// goroutine has had it all the time.
    pub tick: u64,
    /// Whether it belongs to an M, rather than to the list of idle Ps.
    pub running: bool,
}

/// What the scheduler looks like at one moment. Its parts may be read one after the other: the
/// policy bears any mix of old and new, for the next round corrects it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken (CLOCK_MONOTONIC). Set by the watchdog.
    pub at_ns: u64,
    /// How many goroutines wait for the network.
    pub net_waiters: usize,
    /// When the network was polled last (CLOCK_MONOTONIC).
    pub last_poll_ns: u64,
    /// Whether an M is blocked in the poller; it watches the earliest timer, too.
    pub in_poller: bool,
    /// The earliest deadline of any timer (CLOCK_MONOTONIC).
    pub next_timer_ns: Option<u64>,
    /// How many unused stacks are kept with their pages.
    pub warm_stacks: usize,
    procs: Vec<Proc>,
    running: usize,
    idle: usize,
}

impl Snapshot {
    /// An empty snapshot with room for so many Ps. The only place that allocates (SM1).
    pub fn with_capacity(max_procs: usize) -> Snapshot {
        Snapshot { procs: Vec::with_capacity(max_procs), ..Snapshot::default() }
    }

    /// Adds the next P, in an order that stays the same from snapshot to snapshot.
    ///
    /// Beyond the capacity a P is counted as running or idle but not kept.
    pub fn push(&mut self, proc: Proc) {
        if self.procs.len() < self.procs.capacity() {
            self.procs.push(proc);
        }
        if proc.running {
            self.running += 1;
        } else {
            self.idle += 1;
        }
    }

    /// Forgets everything but the capacity.
    pub fn clear(&mut self) {
        let mut procs = std::mem::take(&mut self.procs);
        procs.clear();
        *self = Snapshot { procs, ..Snapshot::default() };
    }

    /// The Ps that were kept.
    pub fn procs(&self) -> &[Proc] {
        &self.procs
    }

    fn all_idle(&self) -> bool {
        self.running == 0
    }

    fn all_busy(&self) -> bool {
        self.idle == 0 && self.running > 0
    }

    /// Whether nothing comes due without an M that sees it.
    fn attended(&self) -> bool {
        self.in_poller || (self.net_waiters == 0 && self.next_timer_ns.is_none())
    }

    /// PO3: whether the endless sleep misses nothing.
    pub(crate) fn needs_nobody(&self) -> bool {
        self.all_idle() && self.attended()
    }

    /// Whether the network is nobody's: waiters, no M in the poller, no P free to look.
    fn network_unattended(&self) -> bool {
        self.all_busy() && self.net_waiters > 0 && !self.in_poller
    }

    fn network_due_ns(&self, config: &Config) -> Option<u64> {
        let due = self.last_poll_ns.saturating_add(config.network_budget_ns);
        self.network_unattended().then_some(due)
    }

    fn timer_due_ns(&self, config: &Config) -> Option<u64> {
        let deadline = self.next_timer_ns.filter(|_| !self.in_poller)?;
        Some(deadline.saturating_add(config.timer_grace_ns))
    }
}

/// What the host is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Poll the network without blocking and make ready who can go on.
    PollNetwork,
    /// Run the timers that have expired, or have an M do it.
    RunTimers,
    /// Give back the pages of warm stacks beyond this number.
    TrimStacks {
        /// How many to keep.
        keep: usize,
    },
}

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
    pub backoff: Backoff,
}

impl History {
    /// Nothing observed yet.
    pub fn new(at_ns: u64) -> History {
        History {
            idle_since_ns: None,
            trimmed_idle: false,
            window_start_ns: at_ns,
            fewest_warm: usize::MAX,
            backoff: Backoff::new(),
        }
    }
}

/// The outcome of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The rest that follows.
    pub rest: Rest,
    /// What the next round is to be given.
    pub history: History,
}

/// One round: tells `act` what to do, and returns how to rest.
///
/// Pure (PO1), apart from what `act` does; `act` is called for each action at once so that nothing
/// has to be collected (SM1).
pub fn decide(
    config: &Config,
    history: &History,
    previous: &Snapshot,
    now: &Snapshot,
    mut act: impl FnMut(Action),
) -> Verdict {
    let mut history = history.clone();
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

    note_idleness(&mut history, previous, now);
    if let Some(keep) = stacks_to_keep(config, &mut history, now) {
        act(Action::TrimStacks { keep });
    }
    let rest = rest(config, &mut history, now, fruitful);
    Verdict { rest, history }
}

/// Everything is idle, and no P has run anything since the previous snapshot.
fn note_idleness(history: &mut History, previous: &Snapshot, now: &Snapshot) {
    if now.all_idle() && previous.all_idle() && now.procs == previous.procs {
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
