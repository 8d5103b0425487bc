//! Job: what the watchdog is told: the settings, and the scheduler at one moment.
//! Not here: what follows from it.

/// The settings. All times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many Ps a [`Snapshot`] has room for; allocated once, at the start of the thread.
    pub max_procs: usize,
    /// How long a goroutine may run while others wait; `None` is for ever. Counted from the round
    /// that sees it first, so up to a rest longer. Meant for 100 us and more.
    pub slice_ns: Option<u64>,
    /// How long a goroutine may run while an urgent one waits (one that the network or a timer has
    /// woken); `None`: as long as with others.
    pub granularity_ns: Option<u64>,
    /// How long a goroutine is given to look at its flag before its thread is kicked.
    pub kick_after_ns: u64,
    /// How long after the flag was set the P is taken from a thread that still runs.
    pub retake_after_ns: u64,
    /// How long a thread's CPU clock must stand still until it is thought to be blocked.
    pub blocked_after_ns: u64,
    /// How long a P may be in a call that is known to block while nobody needs it.
    pub call_after_ns: u64,
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
    /// A thread that nobody needed for so long ends.
    pub reap_after_ns: u64,
    /// As many idle threads are always kept.
    pub keep_threads: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_procs: 1024,
            slice_ns: Some(10_000_000),
            granularity_ns: Some(1_000_000),
            kick_after_ns: 500_000,
            retake_after_ns: 2_000_000,
            blocked_after_ns: 2_000_000,
            call_after_ns: 100_000,
            network_budget_ns: 1_000_000,
            timer_grace_ns: 1_000_000,
            deep_after_ns: 1_000_000,
            trim_every_ns: 10_000_000_000,
            trim_idle_ns: 1_000_000_000,
            keep_warm: 64,
            reap_after_ns: 5_000_000_000,
            keep_threads: 4,
        }
    }
}

/// Who has a P.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nobody: it is in the list of idle Ps.
    #[default]
    Idle,
    /// An M, which runs a goroutine on it or looks for one.
    Running,
    /// An M that is in a call known to block; the P may be retaken at any time.
    Calling,
}

/// One P at the time of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proc {
    /// Who has it.
    pub state: State,
    /// How often it has picked a goroutine. Unchanged between two snapshots of a running P: the same
    /// goroutine has had it all the time.
    pub tick: u64,
    /// How often it has entered a call that is known to block.
    pub calls: u64,
    /// How many goroutines wait in its own queue.
    pub queued: usize,
    /// CPU time that the thread of its M has used. The watchdog fills it in, where it matters.
    pub cpu_ns: Option<u64>,
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
    /// How many goroutines wait in the global queue.
    pub queued: usize,
    /// How many goroutines wait that the network or a timer has woken, in whatever queue of theirs.
    pub urgent: usize,
    /// How many Ms look for work.
    pub searching: usize,
    /// How many threads have no P and nothing to do.
    pub idle_threads: usize,
    pub(super) procs: Vec<Proc>,
    pub(super) busy: usize,
    pub(super) idle: usize,
    pub(super) queued_locally: usize,
}

impl Snapshot {
    /// An empty snapshot with room for so many Ps. The only place that allocates (SM1).
    pub fn with_capacity(max_procs: usize) -> Snapshot {
        Snapshot { procs: Vec::with_capacity(max_procs), ..Snapshot::default() }
    }

    /// Adds the next P, in an order that stays the same from snapshot to snapshot: its number there is
    /// what actions call it by.
    ///
    /// Beyond the capacity a P is counted as busy or idle but not kept.
    pub fn push(&mut self, proc: Proc) {
        if self.procs.len() < self.procs.capacity() {
            self.procs.push(proc);
        }
        self.queued_locally += proc.queued;
        if proc.state == State::Idle {
            self.idle += 1;
        } else {
            self.busy += 1;
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

    /// Fills in the CPU times that the policy wants to know: those of the threads that may be blocked
    /// while somebody waits for their Ps.
    pub(crate) fn read_clocks(
        &mut self,
        previous: &Snapshot,
        clock: impl Fn(usize) -> Option<u64>,
    ) {
        if !self.somebody_waits() {
            return;
        }
        for (i, (proc, before)) in self.procs.iter_mut().zip(&previous.procs).enumerate() {
            if proc.state == State::Running && proc.tick == before.tick {
                proc.cpu_ns = clock(i);
            }
        }
    }

    pub(super) fn all_idle(&self) -> bool {
        self.busy == 0
    }

    pub(super) fn all_busy(&self) -> bool {
        self.idle == 0 && self.busy > 0
    }

    /// Whether a goroutine can go on as soon as it gets a P. While a P is idle it will be fetched.
    pub(super) fn somebody_waits(&self) -> bool {
        self.all_busy() && self.queued + self.urgent + self.queued_locally > 0
    }

    /// Whether work lies in the open, a P is idle, and nobody is on the way.
    pub(super) fn work_unattended(&self) -> bool {
        self.queued + self.urgent > 0 && self.idle > 0 && self.searching == 0
    }

    /// Whether nothing comes due without an M that sees it.
    fn attended(&self) -> bool {
        self.in_poller || (self.net_waiters == 0 && self.next_timer_ns.is_none())
    }

    /// PO3: whether the endless sleep misses nothing.
    pub(crate) fn needs_nobody(&self) -> bool {
        self.all_idle() && self.attended() && self.queued + self.urgent == 0
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
