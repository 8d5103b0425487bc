//! Job: what the watchdog can ask its host to do.
//! Not here: when.

/// What the host is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Ask the goroutine on this P to yield at its next call of the runtime.
    SetPreempt {
        /// Number of the P.
        proc: usize,
        /// Its tick: the host does nothing if it has another by now.
        tick: u64,
    },
    /// Kick the thread that has this P.
    Kick {
        /// Number of the P.
        proc: usize,
        /// Its tick, as above.
        tick: u64,
    },
    /// Both at once, for an urgent goroutine, which is then to be the next on this P.
    WakePreempt {
        /// Number of the P.
        proc: usize,
        /// Its tick, as above.
        tick: u64,
    },
    /// Take this P from its M, which goes on without one, and give it to another.
    Retake {
        /// Number of the P.
        proc: usize,
        /// Its tick, as above.
        tick: u64,
        /// What the M is thought to do.
        why: Why,
    },
    /// Have an M without a P look for work: some lies in the open, and nobody was woken for it.
    StartM,
    /// End threads that have nothing to do beyond this number.
    Reap {
        /// How many to keep.
        keep: usize,
    },
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

/// Why a P is retaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The goroutine computes and has not stopped: its thread should be kicked until it does.
    Running,
    /// The thread's CPU clock stands still. The host asks the kernel first whether the thread sleeps, or
    /// just waits for a processor; in the second case it does nothing.
    Blocked,
    /// The M is in a call that is known to block.
    Call,
}
