//! Job: the state of the scheduler as text: goroutines, Ps, one line of a trace.
//! Layer: L2 (sched)
//! Not here: who asks for it (`runtime`, `deadlock`, `monitor`).

use std::fmt::{self, Write};
use std::sync::atomic::Ordering;

use super::g::{GKind, GStatus};
use super::global::SCHED;
use super::gslab;
use super::line::Line;
use super::m;
use super::p::NOBODY;
use super::{metrics, stopped, threads, watch};
use crate::sys::clock::Nanos;

/// A line for each goroutine, and for each thread that waits as one. Names only if nobody runs: they
/// may be freed otherwise.
pub(crate) fn goroutines(text: &mut String, names: bool) {
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
        // A String takes everything.
        let _ = write!(text, "{what} {}", g.id());
        if names {
            g.with_name(|name| name.map(|name| write!(text, " \"{name}\"")));
        }
        let _ = write!(text, " [{state}]");
        if let Some(site) = g.site.get() {
            let _ = write!(text, ": created at {site}");
        }
        text.push('\n');
    });
}

/// The Ps and the queues.
pub(crate) fn procs(text: &mut String) {
    let _ = writeln!(
        text,
        "procs {}, idle {}, spinning {}, threads {}, global queue {}",
        SCHED.procs(),
        SCHED.searchers.idle(),
        SCHED.searchers.spinning(),
        threads::live(),
        SCHED.injector().len(),
    );
    for i in 0..SCHED.made() {
        let p = SCHED.p(i);
        let m_id = p.m_id.load(Ordering::Relaxed);
        let _ = if m_id == NOBODY {
            writeln!(text, "P{i}: idle, queue {}", p.queued())
        } else {
            writeln!(text, "P{i}: M{m_id}, queue {}", p.queued())
        };
    }
}

/// Prints what `GUSTYDEBUG=schedtrace` asks for, with the fields of Go's `schedtrace` and, if
/// `detail`, `scheddetail`. Allocates nothing.
pub(super) fn trace(since_start: Nanos, detail: bool) {
    let idle = SCHED.lock().idle();
    let mut line = Line::<4096>::new();
    // What does not fit is cut off.
    let _ = write_trace(&mut line, since_start, detail, idle.ms, idle.need_spinning);
    line.print();
}

fn write_trace(
    out: &mut impl Write,
    since_start: Nanos,
    detail: bool,
    idle_ms: usize,
    need_spinning: bool,
) -> fmt::Result {
    write!(
        out,
        "SCHED {}ms: gomaxprocs={} idleprocs={} threads={} spinningthreads={} needspinning={} \
         idlethreads={idle_ms} runqueue={}",
        since_start / 1_000_000,
        SCHED.procs(),
        SCHED.searchers.idle(),
        threads::live(),
        SCHED.searchers.spinning(),
        u8::from(need_spinning),
        SCHED.injector().len(),
    )?;
    let ps = || (0..SCHED.made()).map(|i| SCHED.p(i)).filter(|p| p.id < SCHED.procs());
    if !detail {
        out.write_str(" [")?;
        ps().try_for_each(|p| write!(out, " {}", p.queued()))?;
        out.write_str(" ] schedticks=[")?;
        ps().try_for_each(|p| write!(out, " {}", p.tick.load(Ordering::Relaxed)))?;
        out.write_str(" ]")?;
        return write_counters(out);
    }
    write!(out, " sysmonwait={}", u8::from(watch::is_asleep()))?;
    write_counters(out)?;
    for p in ps() {
        let m_id = p.m_id.load(Ordering::Relaxed);
        let (tick, queued) = (p.tick.load(Ordering::Relaxed), p.queued());
        let timers = p.timers.lock().len();
        write!(out, "\n  P{}: status={}", p.id, u8::from(m_id != NOBODY))?;
        write!(out, " schedtick={tick} runqsize={queued} timerslen={timers} m=")?;
        match m::get(m_id) {
            Some(m) => {
                let (blocked, locked) = (u8::from(m.call(tick) != 0), m.is_bound());
                write!(out, "{m_id} blocked={blocked} lockedg={}", u8::from(locked))?;
            }
            None => out.write_str("-")?,
        }
    }
    Ok(())
}

/// What Go does not have: how many urgent goroutines are queued and how many Ms have lost their P while
/// they computed, and what was done since the start.
fn write_counters(out: &mut impl Write) -> fmt::Result {
    write!(out, " urgentqueue={} astray={}", SCHED.urgent().len(), stopped::count())?;
    [
        ("preemptions", &metrics::PREEMPTIONS),
        ("stops", &metrics::STOPS),
        ("handoffs", &metrics::HANDOFFS),
        ("retakes", &metrics::RETAKES),
        ("loans", &metrics::LOANS),
        ("kicks", &metrics::KICKS),
        ("polls", &metrics::POLLS),
        ("urgentwakes", &metrics::URGENT),
    ]
    .iter()
    .try_for_each(|(name, counter)| write!(out, " {name}={}", counter.get()))
}
