//! Job: when a timer is due next, and the goroutine that will see to it.
//! Layer: L3 (blocking)
//! Not here: what it does then (`pulse`, `func`), whose lock guards this.
//! Invariants
//!   DU1  A timer fires only if `next` is set and past, and that clears it. So it does not matter
//!        which of several goroutines, begun for this or an earlier setting, comes to do it, and
//!        none that comes late does anything after a stop or a reset.
//!   DU2  `spare` may hold the owner that it is in. It is kept by a handle's `clear` only, and the
//!        handle takes it out before it goes.

use crate::sched::alarm::Alarm;
use crate::sched::dormant::Dormant;
use crate::sys::clock::{self, Nanos};

/// See the module. Under its owner's lock.
pub(super) struct Due {
    next: Option<Nanos>,
    alarm: Alarm,
    /// A goroutine that was not needed: timers are stopped and set again by the million.
    spare: Option<Dormant>,
}

impl Due {
    /// Not set.
    pub(super) fn new() -> Due {
        Due { next: None, alarm: Alarm::new(), spare: None }
    }

    /// Takes the setting back; true if it had not fired.
    pub(super) fn clear(&mut self) -> bool {
        if let Some(unused) = self.alarm.clear() {
            self.spare = Some(unused);
        }
        self.next.take().is_some()
    }

    /// Has a goroutine begin at `when`: the one that was made before, or what `make` makes. Nothing is
    /// set.
    pub(super) fn set(&mut self, when: Nanos, make: impl FnOnce() -> Dormant) {
        self.next = Some(when);
        self.alarm.set(when, self.spare.take().unwrap_or_else(make));
    }

    /// Whether it is due (DU1): the moment for which it was set.
    pub(super) fn fire(&mut self) -> Option<Nanos> {
        self.next.filter(|&when| when <= clock::now())?;
        drop(self.alarm.clear()); // set anew, and this goroutine is of an earlier setting
        self.next.take()
    }

    /// Gives up the goroutine that is kept, which may hold what the owner is in: to be dropped after
    /// the lock.
    pub(super) fn take_spare(&mut self) -> Option<Dormant> {
        self.spare.take()
    }
}
