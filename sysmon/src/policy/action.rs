//! Job: what the watchdog can ask its host to do.
//! Not here: when.

/// What the host is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Ask the goroutine on this P to let others run, and stop it if it does not hear.
    Ask {
        /// Number of the P.
        proc: usize,
    },
    /// Take this P from its M, which goes on without one, and give it to another.
    Retake {
        /// Number of the P.
        proc: usize,
        /// What the M is thought to do.
        why: Why,
    },
    /// This P is on loan for too long: stop the goroutine of the M that has lent it.
    Recall {
        /// Number of the P.
        proc: usize,
    },
    /// Have an M without a P block in the poller.
    ManPoller,
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
    /// The thread is blocked in a call that nobody has announced.
    Blocked,
    /// It is in a call that was announced as blocking.
    Call,
}
