//! Job: when to give back what is kept for later use: warm stacks, idle threads.
//! Not here: giving them back.
//!
//! In a process at work, those that lay unused through a whole window go, down to the number that is
//! always kept; those that were taken and returned in it stay. In an idle one all above that number
//! go, once.

/// The settings of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) every_ns: u64,
    pub(super) idle_ns: u64,
    pub(super) keep: usize,
}

/// What is remembered of one kind from round to round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spare {
    /// When some were given back last, or their use began to be observed.
    pub(super) window_start_ns: u64,
    /// The fewest since then: as many were needed by nobody.
    pub(super) fewest: usize,
    /// Whether they were given back in this idle period: once is enough.
    pub(super) done_idle: bool,
}

impl Spare {
    pub(super) fn new(at_ns: u64) -> Spare {
        Spare { window_start_ns: at_ns, fewest: usize::MAX, done_idle: false }
    }

    /// Whether some are to be given back now, and if so how many are to stay.
    pub(super) fn keep(
        &mut self,
        rule: Rule,
        at_ns: u64,
        idle_ns: Option<u64>,
        count: usize,
    ) -> Option<usize> {
        self.fewest = self.fewest.min(count);
        self.done_idle &= idle_ns.is_some();
        let keep = if idle_ns.is_some_and(|idle| idle >= rule.idle_ns) && !self.done_idle {
            self.done_idle = true;
            rule.keep
        } else if at_ns.saturating_sub(self.window_start_ns) >= rule.every_ns {
            rule.keep.saturating_add(count - self.fewest)
        } else {
            return None;
        };
        self.window_start_ns = at_ns;
        self.fewest = usize::MAX;
        (count > keep).then_some(keep)
    }

    /// How much longer the process must stay idle for some to be given back; `None` if there is nothing
    /// to give back in this idle period.
    pub(super) fn after_ns(&self, rule: Rule, idle_ns: u64, count: usize) -> Option<u64> {
        (!self.done_idle && count > rule.keep).then(|| rule.idle_ns.saturating_sub(idle_ns))
    }
}
