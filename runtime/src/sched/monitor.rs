//! Job: the scheduler as the watchdog sees it, and what the watchdog does to it.
//! Layer: L2 (sched)
//! Not here: when to do what (`gusty_sysmon::decide`, `stalled`).
//! Invariants
//!   MO1  The watchdog has no P: what it makes ready goes to the global queue and wakes an M.
//!   MO2  While anybody runs, nothing here allocates or frees, or takes a lock under which somebody
//!        allocates.

use std::cell::UnsafeCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gusty_sysmon::{Attention, Config, Host, Proc, Snapshot, Sysmon};

use super::deadlock::{self, Look};
use super::global::{MAX_PROCS, SCHED};
use super::list::GList;
use super::m::{self, M};
use super::ready::ready_list;
use super::stalled::{SUSPECT_NS, Sight, Stall, Verdict, WATCH_NS};
use super::{astray, dump, idle, metrics, poll, preempt, retake, timers, watch};
use crate::config;
use crate::stack;
use crate::sys::clock::{self, NEVER, Nanos};
use crate::sys::cpu::{Activity, ThreadClock, ThreadState};

/// What is remembered of each P.
struct Watched {
    stall: Stall,
    /// Of the thread that was last suspected here.
    thread: Option<(i32, ThreadState)>,
}

/// What the watchdog's thread keeps for itself.
struct Own {
    watched: Box<[Watched]>,
    started: Nanos,
    next_trace: Nanos,
    /// Looks for a deadlock since a P ran, and how often Ps had been taken then.
    looks: u32,
    starts: u64,
    astray: astray::List,
}

/// A look for a deadlock that is not certain is repeated after 10, 100 and 1000 ms.
const LOOKS: u32 = 3;
/// How long a goroutine whose P was taken while it blocked may compute before it is stopped.
const RETURN_NS: Nanos = 100_000;
const LOOK_AGAIN_NS: Nanos = 10_000_000;

struct Monitor {
    own: UnsafeCell<Own>,
}

// SAFETY: `own` is used by `attend` and `idle` only, which only the watchdog's thread calls.
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
        for i in 0..SCHED.made() {
            let p = SCHED.p(i);
            out.push(Proc {
                tick: u64::from(p.tick.load(Ordering::Relaxed)),
                running: p.owned_by_m(),
            });
        }
    }

    fn poll_network(&self) {
        let mut list = GList::new();
        poll::now(&mut list);
        ready_list(&mut list); // MO1
    }

    fn run_timers(&self) {
        let mut list = GList::new();
        timers::expire_all(clock::now(), &mut list);
        ready_list(&mut list);
    }

    fn trim_stacks(&self, keep: usize) {
        stack::trim(keep);
    }

    fn attend(&self, now_ns: u64) -> Attention {
        // SAFETY: see `Sync`; the borrow ends with this function.
        let own = unsafe { &mut *self.own.get() };
        let waits = somebody_waits();
        let watch_ns = WATCH_NS.min(config::settings().slice);
        let mut attention = Attention { fruitful: false, nap_ns: own.trace(now_ns) };
        for (i, watched) in own.watched.iter_mut().enumerate().take(SCHED.made()) {
            let nap = match look(watched, i, now_ns, waits) {
                Verdict::Fine => continue,
                Verdict::Watch => watch_ns,
                Verdict::Suspect => SUSPECT_NS,
                Verdict::Ask => {
                    if let Some(m) = owner(i) {
                        attention.fruitful |= own.astray.slice_is_over(SCHED.p(i), m);
                        metrics::PREEMPTIONS.add();
                    }
                    watch_ns
                }
                Verdict::Retake => {
                    let m = owner(i);
                    let taken = retake::retake(SCHED.p(i));
                    if let Some(m) = m.filter(|_| taken) {
                        preempt::stop_after(m, RETURN_NS);
                    }
                    attention.fruitful |= taken;
                    SUSPECT_NS
                }
            };
            attention.nap_ns = attention.nap_ns.min(nap);
        }
        attention
    }

    fn idle(&self, now_ns: u64) -> u64 {
        // SAFETY: see `Sync`; the borrow ends with this function.
        let own = unsafe { &mut *self.own.get() };
        own.trace(now_ns).min(own.look_for_deadlock()) // MO2: nobody runs
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

/// Whether a P that stands still would be of use to somebody: goroutines are queued and no P is
/// idle, or nobody looks after the timers and the network.
fn somebody_waits() -> bool {
    if SCHED.searchers.idle() != 0 {
        return false;
    }
    let unattended = !poll::is_manned() && (poll::has_waiters() || timers::earliest() != NEVER);
    unattended || SCHED.anybody_wants_p() || idle::any_work()
}

fn owner(i: usize) -> Option<&'static M> {
    m::get(SCHED.p(i).m_id.load(Ordering::Relaxed)) // checked by `retake`
}

fn look(watched: &mut Watched, i: usize, at: Nanos, waits: bool) -> Verdict {
    let p = SCHED.p(i);
    let Some(m) = owner(i).filter(|_| p.id < SCHED.procs()) else { return Verdict::Fine };
    let waits = waits || m.home.has_mail();
    let tick = p.tick.load(Ordering::Relaxed);
    let tid = m.tid();
    let sight = Sight { at, tick, m_id: m.id, call: m.call(tick) };
    let thread = &mut watched.thread;
    let clock = || ThreadClock::of(tid).now();
    let asleep = || {
        if thread.as_ref().is_none_or(|known| known.0 != tid) {
            *thread = Some((tid, ThreadState::of(tid)));
        }
        thread.as_ref().is_some_and(|known| known.1.now() == Activity::Asleep)
    };
    watched.stall.judge(sight, waits, config::settings().slice, clock, asleep)
}

/// Starts the watchdog thread.
pub(crate) fn start() -> io::Result<()> {
    let watched = (0..MAX_PROCS).map(|_| Watched { stall: Stall::NEW, thread: None }).collect();
    let started = clock::now();
    let own = Own {
        watched,
        started,
        next_trace: started,
        looks: 0,
        starts: 0,
        astray: astray::List::new(),
    };
    let monitor = Monitor { own: UnsafeCell::new(own) };
    let config = Config { max_procs: MAX_PROCS, ..Config::default() };
    watch::set(Sysmon::start(Arc::new(monitor), config)?);
    Ok(())
}
