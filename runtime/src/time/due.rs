//! Job: when a timer is due next, and the goroutine that will see to it.
//! Layer: L3 (blocking)
//! Not here: what it does then (`pulse`, `func`), whose lock guards this.
//! Invariants
//!   DU1  A timer fires only if `next` is set and past, and that clears it. So it does not matter
//!        which of several goroutines, begun for this or an earlier setting, comes to do it, and
//!        none that comes late does anything after a stop or a reset.

use crate::sched::alarm::Alarm;
use crate::sched::dormant::Dormant;
use crate::sys::clock::{self, Nanos};

/// See the module. Under its owner's lock.
pub(super) struct Due {
    next: Option<Nanos>,
    alarm: Alarm,
}

impl Due {
    /// Not set.
    pub(super) fn new() -> Due {
        Due { next: None, alarm: Alarm::new() }
    }

    /// Takes the setting back; true if it had not fired. Returns the goroutine for it, if that has
    /// not begun, to be used again or dropped.
    pub(super) fn clear(&mut self) -> (bool, Option<Dormant>) {
        (self.next.take().is_some(), self.alarm.clear())
    }

    /// Has `then` begin at `when`. Nothing is set.
    pub(super) fn set(&mut self, when: Nanos, then: Dormant) {
        self.next = Some(when);
        self.alarm.set(when, then);
    }

    /// Has `then` begin now. Nothing is set.
    pub(super) fn set_now(&mut self, then: Dormant) {
        self.next = Some(0);
        then.start();
    }

    /// Whether it is due (DU1): the moment for which it was set.
    pub(super) fn fire(&mut self) -> Option<Nanos> {
        self.next.filter(|&when| when <= clock::now())?;
        drop(self.alarm.clear()); // set anew, and this goroutine is of an earlier setting
        self.next.take()
    }
}
