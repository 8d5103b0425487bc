//! Job: the scheduler as the watchdog sees it, and what the watchdog does to it.
//! Layer: L2 (sched)
//! Not here: when to do what (`gusty_sysmon::decide`).
//! Invariants
//!   MO1  The watchdog has no P: what it makes ready goes to the global queue and wakes an M.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gusty_sysmon::{Config, Host, Proc, Snapshot, State, Sysmon, Why};

use super::global::SCHED;
use super::list::GList;
use super::ready::ready_list;
use super::{poll, timers, watch};
use crate::stack;
use crate::sys::clock::{self, NEVER};

struct Monitor;

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
            let state = if p.owned_by_m() { State::Running } else { State::Idle };
            let tick = u64::from(p.tick.load(Ordering::Relaxed));
            out.push(Proc { state, tick, ..Proc::default() });
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

    // The snapshot names nobody who waits, so none of these is asked for.
    fn cpu_ns(&self, _: usize) -> Option<u64> {
        None
    }
    fn set_preempt(&self, _: usize, _: u64) {}
    fn kick(&self, _: usize, _: u64) {}
    fn wake_preempt(&self, _: usize, _: u64) {}
    fn retake(&self, _: usize, _: u64, _: Why) {}
    fn start_m(&self) {}
    fn reap(&self, _: usize) {}
}

/// Starts the watchdog thread.
pub(crate) fn start() -> io::Result<()> {
    let config = Config { max_procs: crate::config::MAX_PROCS, ..Config::default() };
    watch::set(Sysmon::start(Arc::new(Monitor), config)?);
    Ok(())
}
