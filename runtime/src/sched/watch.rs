//! Job: the handle of the watchdog thread, for those who have to wake it.
//! Layer: L2 (sched)
//! Not here: what it sees and does (`monitor`), what it decides (`gusty_sysmon`).

use std::sync::OnceLock;

use gusty_sysmon::Sysmon;

static SYSMON: OnceLock<Sysmon> = OnceLock::new();

pub(crate) fn set(sysmon: Sysmon) {
    let _ = SYSMON.set(sysmon); // set once, by the start
}

/// A goroutine is going to block while others wait: the watchdog must look soon. Two loads, unless it
/// naps for long.
#[inline]
pub(crate) fn hurry() {
    if let Some(sysmon) = SYSMON.get() {
        sysmon.hurry();
    }
}

/// Whether the watchdog sleeps because everything is idle.
pub(crate) fn is_asleep() -> bool {
    SYSMON.get().is_some_and(Sysmon::is_asleep)
}

/// A P has begun to run: the watchdog must look again if it sleeps deeply. A fence and a load.
#[inline]
pub(crate) fn p_runs() {
    if let Some(sysmon) = SYSMON.get() {
        sysmon.wake();
    }
}
