//! Looking at the runtime and setting it up: the number of Ps, counts, dumps.
// Job: the public face of the scheduler's state.
// Layer: L4 (API)

use std::fmt::Write;

use crate::sched::g::{GKind, GStatus};
use crate::sched::p::NOBODY;
use crate::sched::{global::SCHED, gslab, lifecycle, m, procs};

/// Sets the number of Ps, that is, how many goroutines run at the same time, and returns the
/// number before; 0 only returns it. Values above 1024 count as 1024.
///
/// Takes effect without stopping anybody: new Ps are used at once; a P that is no longer allowed
/// retires when its goroutine next parks or yields. Does not wait for that.
///
/// ```
/// let before = gusty::runtime::gomaxprocs(2);
/// assert_eq!(gusty::runtime::gomaxprocs(before), 2);
/// ```
pub fn gomaxprocs(n: usize) -> usize {
    lifecycle::ensure_started();
    match n {
        0 => SCHED.procs() as usize,
        n => procs::resize(n),
    }
}

/// CPUs this process may use: affinity and cgroup quota, as `GOMAXPROCS` defaults to.
pub fn num_cpu() -> usize {
    num_cpus::get()
}

/// Goroutines that exist: running, runnable or waiting. Counted by looking at every header, so it
/// takes time with a million of them, and the number is an estimate while others spawn and exit.
pub fn num_goroutine() -> usize {
    let mut count = 0;
    gslab::for_each(|g| {
        let alive = !matches!(g.status(), GStatus::Free | GStatus::Dead);
        count += usize::from(alive && g.kind() != GKind::Thread);
    });
    count
}

/// Threads the scheduler has made so far (idle ones are kept for reuse).
pub fn num_threads() -> usize {
    m::count() as usize
}

/// Every goroutine, one a line: id, state, what it waits for, where it was spawned.
///
/// Taken while they run, so a line may be out of date by the time it is read. Allocates; parks
/// nobody.
pub fn dump() -> String {
    let mut text = String::new();
    gslab::for_each(|g| {
        if matches!(g.status(), GStatus::Free | GStatus::Dead) {
            return;
        }
        let what = match g.kind() {
            GKind::Goroutine => "goroutine",
            GKind::HoldsM => "goroutine (holds its thread)",
            GKind::Thread => "thread",
        };
        let state = match g.status() {
            GStatus::Waiting => g.reason().name(),
            GStatus::Running => "running",
            _ => "runnable",
        };
        let _ = write!(text, "{what} {} [{state}]", g.id());
        if let Some(site) = g.site.get() {
            let _ = write!(text, ": created at {site}");
        }
        text.push('\n');
    });
    let _ = writeln!(
        text,
        "procs {}, idle {}, spinning {}, threads {}, global queue {}",
        SCHED.procs(),
        SCHED.searchers.idle(),
        SCHED.searchers.spinning(),
        m::count(),
        SCHED.injector().len(),
    );
    for i in 0..SCHED.made() {
        let p = SCHED.p(i);
        let m_id = p.m_id.load(std::sync::atomic::Ordering::Relaxed);
        if m_id == NOBODY {
            let _ = writeln!(text, "P{i}: idle, queue {}", p.stealer.len());
        } else {
            let _ = writeln!(text, "P{i}: M{m_id}, queue {}", p.stealer.len());
        }
    }
    text
}
