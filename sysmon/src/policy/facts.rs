//! Job: what the watchdog is told: the settings, and the scheduler at one moment.
//! Not here: what follows from it.

/// The settings. All times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many Ps a [`Snapshot`] has room for; allocated once, at the start of the thread.
    pub max_procs: usize,
    /// How long a goroutine may run while others wait; `None` is for ever.
    pub slice_ns: Option<u64>,
    /// How long a goroutine that was asked to stop is given until its P is taken while it runs on.
    /// A slice if that is shorter.
    pub retake_after_ns: u64,
    /// How long a thread's CPU clock must stand still until the kernel is asked whether it sleeps.
    pub blocked_after_ns: u64,
    /// A goroutine that has had its P for so long keeps it from looking at the network and the timers.
    pub stands_ns: u64,
    /// How long a P may be on loan until the lender is stopped.
    pub lent_ns: u64,
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
            slice_ns: Some(10_000_000),
            retake_after_ns: 1_000_000,
            blocked_after_ns: 100_000,
            stands_ns: 50_000,
            lent_ns: 1_000_000,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proc {
    /// How often it has picked a goroutine. Unchanged between two snapshots of a running P: the same
    /// goroutine has had it all the time.
    pub tick: u64,
    /// Whether it belongs to an M, rather than to the list of idle Ps.
    pub running: bool,
    /// Whether it is not in use: there are fewer Ps now than there were.
    pub retired: bool,
    /// The M that has it; `None` while it is on its way to one.
    pub m: Option<u32>,
    /// Its turn: unchanged while the same goroutine has it, even if it is lent to others meanwhile.
    pub turn: u64,
    /// For how long the turn is known to have lasted.
    pub stands_ns: u64,
    /// For how long it has been on loan; `None` if it is not.
    pub lent_ns: Option<u64>,
    /// The call, of those that are announced as blocking, in which its goroutine is; 0 for none.
    pub call: u64,
    /// Goroutines wait that only its M can run.
    pub awaited: bool,
    /// Its M has set a kick for the end of its slice by itself.
    pub timed: bool,
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
    /// Whether goroutines are queued, and no P is idle that would fetch them.
    pub queued: bool,
    /// How many of them the network or a timer has woken.
    pub urgent: usize,
    pub(super) procs: Vec<Proc>,
    pub(super) running: usize,
    pub(super) idle: usize,
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
        } else if !proc.retired {
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

    pub(super) fn all_idle(&self) -> bool {
        self.running == 0
    }

    pub(super) fn all_busy(&self) -> bool {
        self.idle == 0 && self.running > 0
    }

    /// Whether the two show the same Ps in the same state, each at the same goroutine.
    pub(super) fn same_procs(&self, other: &Snapshot) -> bool {
        let facts = |snapshot: &Snapshot| (snapshot.procs.len(), snapshot.running, snapshot.idle);
        let pairs = || self.procs.iter().zip(&other.procs);
        facts(self) == facts(other)
            && pairs().all(|(a, b)| (a.tick, a.running) == (b.tick, b.running))
    }

    /// Whether a P would be of use to somebody who has none.
    pub(super) fn somebody_waits(&self) -> bool {
        self.all_busy() && (self.queued || !self.attended())
    }

    /// Whether somebody has to block in the poller for those that wait for the network or a timer: no
    /// P is free to, and some do not come by.
    pub(super) fn poller_wanted(&self, config: &Config) -> bool {
        let hogged = |proc: &Proc| {
            proc.running && (proc.lent_ns.is_some() || proc.stands_ns >= config.stands_ns)
        };
        self.all_busy()
            && !self.in_poller
            && (self.urgent > 0 || !self.attended())
            && self.procs.iter().any(hogged)
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

    pub(super) fn network_due_ns(&self, config: &Config) -> Option<u64> {
        let due = self.last_poll_ns.saturating_add(config.network_budget_ns);
        self.network_unattended().then_some(due)
    }

    pub(super) fn timer_due_ns(&self, config: &Config) -> Option<u64> {
        let deadline = self.next_timer_ns.filter(|_| !self.in_poller)?;
        Some(deadline.saturating_add(config.timer_grace_ns))
    }
}
