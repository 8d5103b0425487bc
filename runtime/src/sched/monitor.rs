//! Job: the scheduler as the watchdog sees it, and what the watchdog does to it.
//! Layer: L2 (sched)
//! Not here: when to do what (`gusty_sysmon::decide`).
//! Invariants
//!   MO1  The watchdog has no P: what it makes ready goes to the global queue and wakes an M.
//!   MO2  While anybody runs, nothing here allocates or frees, or takes a lock under which somebody
//!        allocates.

use std::cell::UnsafeCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gusty_sysmon::{Action, Config, Host, Probe, Proc, Snapshot, Sysmon, Why};

use super::deadlock::{self, Look};
use super::global::{MAX_PROCS, SCHED};
use super::list::GList;
use super::m::{self, M};
use super::p::P;
use super::ready::ready_urgent;
use super::{astray, dump, idle, metrics, poll, retake, timers, watch};
use crate::config;
use crate::stack;
use crate::sys::clock::{self, NEVER, Nanos};
use crate::sys::cpu::{Activity, ThreadClock, ThreadState};

/// What the watchdog's thread keeps for itself.
struct Own {
    /// For each P, the thread that was suspected last of being blocked.
    suspects: Box<[Option<(i32, ThreadState)>]>,
    started: Nanos,
    next_trace: Nanos,
    /// Looks for a deadlock since a P ran, and how often Ps had been taken then.
    looks: u32,
    starts: u64,
    astray: astray::List,
}

/// A look for a deadlock that is not certain is repeated after 10, 100 and 1000 ms.
const LOOKS: u32 = 3;
const LOOK_AGAIN_NS: Nanos = 10_000_000;

struct Monitor {
    own: UnsafeCell<Own>,
}

// SAFETY: `own` is used by methods of `Host` and `Probe` only, which only the watchdog's thread calls.
unsafe impl Sync for Monitor {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Monitor {}

impl Host for Monitor {
    fn now_ns(&self) -> u64 {
        clock::now()
    }

    fn snapshot(&self, out: &mut Snapshot) {
        out.net_waiters = poll::waiters();
        out.last_poll_ns = poll::last();
        out.in_poller = poll::is_manned();
        let next = timers::earliest();
        out.next_timer_ns = (next != NEVER).then_some(next);
        out.warm_stacks = stack::warm();
        out.urgent = SCHED.urgent().len();
        out.queued = SCHED.anybody_wants_p() || idle::any_work();
        for i in 0..SCHED.made() {
            out.push(describe(SCHED.p(i), out.at_ns));
        }
    }

    fn act(&self, action: Action) {
        let mut list = GList::new();
        match action {
            Action::PollNetwork => poll::now(&mut list),
            Action::RunTimers => timers::expire_all(clock::now(), &mut list),
            Action::TrimStacks { keep } => {
                stack::trim(keep);
            }
            Action::ManPoller => idle::man_poller(),
            Action::Ask { proc } => {
                metrics::PREEMPTIONS.add();
                retake::ask(SCHED.p(proc));
            }
            Action::Retake { proc, why: Why::Running } => {
                self.own(|own| own.astray.slice_is_over(SCHED.p(proc)));
            }
            Action::Retake { proc, .. } => retake::from_blocked(SCHED.p(proc)),
            Action::Recall { proc } => {
                if let Some(m) = retake::recall(SCHED.p(proc)) {
                    self.own(|own| own.astray.add(m));
                }
            }
            _ => {}
        }
        ready_urgent(&mut list); // MO1
    }

    fn round(&self, now_ns: u64) -> u64 {
        self.own(|own| {
            own.astray.refresh();
            own.trace(now_ns)
        })
    }

    fn idle(&self, now_ns: u64) -> u64 {
        self.own(|own| own.trace(now_ns).min(own.look_for_deadlock())) // MO2: nobody runs
    }
}

impl Probe for Monitor {
    fn cpu_ns(&self, proc: usize) -> Option<u64> {
        ThreadClock::of(owner(proc)?.tid()).now()
    }

    fn is_asleep(&self, proc: usize) -> bool {
        let Some(tid) = owner(proc).map(M::tid) else { return false };
        self.own(|own| {
            let Some(known) = own.suspects.get_mut(proc) else { return false };
            if known.as_ref().is_none_or(|known| known.0 != tid) {
                *known = Some((tid, ThreadState::of(tid)));
            }
            known.as_ref().is_some_and(|known| known.1.now() == Activity::Asleep)
        })
    }
}

impl Monitor {
    fn own<R>(&self, use_it: impl FnOnce(&mut Own) -> R) -> R {
        // SAFETY: see `Sync`; `use_it` comes from this file, where none calls this function again.
        use_it(unsafe { &mut *self.own.get() })
    }
}

impl Own {
    /// Prints the line that is due; how long until the next is.
    fn trace(&mut self, now: Nanos) -> Nanos {
        let debug = config::settings().debug;
        if debug.sched_trace == 0 {
            return NEVER;
        }
        if self.next_trace <= now {
            self.next_trace = now.saturating_add(debug.sched_trace.saturating_mul(1_000_000));
            dump::trace(now.saturating_sub(self.started), debug.sched_detail);
        }
        self.next_trace - now
    }

    /// Everything is idle: for good? How soon to ask again.
    fn look_for_deadlock(&mut self) -> Nanos {
        let starts = SCHED.lock().idle().starts;
        if starts != self.starts {
            (self.starts, self.looks) = (starts, 0);
        }
        if self.looks == LOOKS {
            return NEVER;
        }
        match deadlock::look() {
            Look::Alive => NEVER,
            Look::Dead => deadlock::report(),
            Look::Unclear => {
                self.looks += 1;
                LOOK_AGAIN_NS * 10u64.pow(self.looks - 1)
            }
        }
    }
}

fn describe(p: &'static P, at: Nanos) -> Proc {
    let (tick, m) = (p.tick.load(Ordering::Relaxed), m::get(p.m_id.load(Ordering::Relaxed)));
    let lent_at = p.lent_at.load(Ordering::Relaxed);
    Proc {
        tick: u64::from(tick),
        running: p.owned_by_m(),
        retired: p.id >= SCHED.procs(),
        m: m.filter(|_| p.id < SCHED.procs()).map(|m| m.id),
        turn: u64::from(p.turn()),
        stands_ns: p.stands_for(at),
        lent_ns: p.is_lent().then(|| at.saturating_sub(lent_at)),
        call: m.map_or(0, |m| m.call(tick)),
        awaited: m.is_some_and(|m| m.home.has_mail()),
        timed: m.is_some_and(|m| m.timed.load(Ordering::Relaxed)),
    }
}

fn owner(i: usize) -> Option<&'static M> {
    m::get(SCHED.p(i).m_id.load(Ordering::Relaxed)) // checked by `taker`
}

/// Starts the watchdog thread.
pub(crate) fn start() -> io::Result<()> {
    let suspects = (0..MAX_PROCS).map(|_| None).collect();
    let started = clock::now();
    let astray = astray::List::new();
    let own = Own { suspects, started, next_trace: started, looks: 0, starts: 0, astray };
    let monitor = Monitor { own: UnsafeCell::new(own) };
    let slice = config::settings().slice;
    let config = Config {
        max_procs: MAX_PROCS,
        slice_ns: (slice != NEVER).then_some(slice),
        ..Config::default()
    };
    watch::set(Sysmon::start(Arc::new(monitor), config)?);
    Ok(())
}
