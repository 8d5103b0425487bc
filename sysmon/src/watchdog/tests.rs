//! Job: tests of the parent module.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use super::{Host, Sysmon};
use crate::policy::{Action, Config, Probe, Proc, Snapshot};

/// A scheduler with one P. Its clock advances by `step_ns` with each reading; what it is asked to
/// do goes to a channel.
struct Fake {
    clock_ns: AtomicU64,
    step_ns: u64,
    running: AtomicBool,
    seen_running: AtomicU64,
    like: Mutex<Snapshot>,
    actions: Sender<Action>,
}

impl Fake {
    fn new(step_ns: u64, running: bool, like: Snapshot) -> (Arc<Fake>, Receiver<Action>) {
        let (actions, asked) = channel();
        let fake = Fake {
            clock_ns: AtomicU64::new(1),
            step_ns,
            running: AtomicBool::new(running),
            seen_running: AtomicU64::new(0),
            like: Mutex::new(like),
            actions,
        };
        (Arc::new(fake), asked)
    }

    /// The receiver may be gone at the end of a test.
    fn note(&self, action: Action) {
        let _ = self.actions.send(action);
    }
}

impl Host for Fake {
    fn now_ns(&self) -> u64 {
        self.clock_ns.fetch_add(self.step_ns, Ordering::Relaxed)
    }

    fn snapshot(&self, out: &mut Snapshot) {
        let running = self.running.load(Ordering::Relaxed);
        out.push(Proc { running, ..Proc::default() });
        let like = self.like.lock().unwrap();
        out.net_waiters = like.net_waiters;
        out.last_poll_ns = like.last_poll_ns;
        out.next_timer_ns = like.next_timer_ns;
        out.warm_stacks = like.warm_stacks;
        if running {
            self.seen_running.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn act(&self, action: Action) {
        if let Action::TrimStacks { keep } = action {
            self.like.lock().unwrap().warm_stacks = keep;
        }
        self.note(action);
    }

    fn idle(&self, _: u64) -> u64 {
        u64::MAX
    }

    fn round(&self, _: u64) -> u64 {
        u64::MAX
    }
}

impl Probe for Fake {
    fn cpu_ns(&self, _: usize) -> Option<u64> {
        None
    }

    fn is_asleep(&self, _: usize) -> bool {
        false
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn a_busy_scheduler_gets_its_network_and_timers_served() {
    let mut like = Snapshot::default();
    (like.net_waiters, like.next_timer_ns) = (1, Some(1));
    let (host, asked) = Fake::new(10_000_000, true, like);
    let sysmon = Sysmon::start(host, Config::default()).unwrap();
    let first: Vec<Action> = asked.iter().take(4).collect();
    assert!(first.contains(&Action::PollNetwork), "{first:?}");
    assert!(first.contains(&Action::RunTimers), "{first:?}");
    drop(sysmon);
    assert!(!asked.iter().any(|action| matches!(action, Action::TrimStacks { .. })));
}

#[test]
fn an_idle_scheduler_is_trimmed_once_and_left_alone() {
    let mut like = Snapshot::default();
    like.warm_stacks = 1_000;
    let (host, asked) = Fake::new(100_000, false, like);
    let config = Config { deep_after_ns: 100_000, trim_idle_ns: 2_000_000, ..Config::default() };
    let keep = config.keep_warm;
    let sysmon = Sysmon::start(host, config).unwrap();
    assert_eq!(asked.recv(), Ok(Action::TrimStacks { keep }));
    wait_until(|| sysmon.is_asleep());
    sysmon.stop();
    assert_eq!(asked.iter().count(), 0);
}

#[test]
fn waking_an_awake_watchdog_does_nothing() {
    let (host, _asked) = Fake::new(1, true, Snapshot::default());
    let sysmon = Sysmon::start(host.clone(), Config::default()).unwrap();
    wait_until(|| host.seen_running.load(Ordering::Relaxed) > 0);
    assert!(!sysmon.is_asleep());
    sysmon.wake();
    sysmon.wake_fenced();
}

#[test]
fn stopping_ends_a_nap_and_a_deep_sleep() {
    for running in [true, false] {
        let (host, _asked) = Fake::new(1_000_000, running, Snapshot::default());
        let sysmon = Sysmon::start(host.clone(), Config::default()).unwrap();
        wait_until(|| sysmon.is_asleep() || host.seen_running.load(Ordering::Relaxed) > 3);
        sysmon.stop();
        assert_eq!(Arc::strong_count(&host), 1, "the thread is gone");
    }
    // And while it starts, or falls asleep.
    for _ in 0..200 {
        let (host, _asked) = Fake::new(1_000_000, false, Snapshot::default());
        drop(Sysmon::start(host, Config::default()).unwrap());
    }
}

#[test]
fn a_scheduler_that_gets_busy_is_seen_every_time() {
    let (host, _asked) = Fake::new(1_000_000, false, Snapshot::default());
    let config = Config { deep_after_ns: 0, ..Config::default() };
    let sysmon = Sysmon::start(host.clone(), config).unwrap();
    for round in 0..3_000 {
        let seen = host.seen_running.load(Ordering::Relaxed);
        if round % 2 == 0 {
            wait_until(|| sysmon.is_asleep()); // the other half races with falling asleep
        }
        host.running.store(true, Ordering::Relaxed);
        sysmon.wake();
        wait_until(|| host.seen_running.load(Ordering::Relaxed) > seen);
        host.running.store(false, Ordering::Relaxed);
    }
}
