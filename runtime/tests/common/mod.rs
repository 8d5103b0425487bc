//! Job: what the behavioural tests share: a watchdog for plain threads, child processes for what
//!   must die, counting of drops, a random generator.
//! Not here: `#[gusty::test]`, which brings a watchdog of its own.

#![allow(dead_code, reason = "every test file uses some of it")]

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// Names the test whose scenario a child process runs.
const CHILD: &str = "GUSTY_TEST_CHILD";

fn limit() -> Duration {
    let secs = std::env::var("GUSTY_TEST_TIMEOUT").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(secs.unwrap_or(120))
}

/// Runs `f` on the calling thread; if it hangs, every goroutine is printed and the process aborts.
pub(crate) fn watched<T>(name: &str, f: impl FnOnce() -> T) -> T {
    let (done, watch) = mpsc::channel::<()>();
    let label = name.to_owned();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(limit()) == Err(mpsc::RecvTimeoutError::Timeout) {
            let dump = gusty::runtime::dump();
            let lines = dump.lines().count();
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "{label} hangs; {lines} lines of dump, the last 200:");
            for line in dump.lines().skip(lines.saturating_sub(200)) {
                let _ = writeln!(err, "{line}");
            }
            std::process::abort();
        }
    });
    let result = f();
    drop(done);
    let _ = watchdog.join();
    result
}

/// For tests that count goroutines or change GOMAXPROCS: one at a time, on a plain thread.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits, letting others run, until `condition` holds; the watchdog ends what never does.
pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        gusty::yield_now();
    }
}

/// The pages of this process that were in memory at most, in MiB.
pub(crate) fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("always there");
    let kib: usize = line.split_whitespace().nth(1).expect("a number").parse().expect("of KiB");
    kib >> 10
}

/// Whether tests that choose the numbers of Ps themselves, and take seconds, are to run: not where
/// `GOMAXPROCS` is set for all, as in those steps of the gate that repeat everything.
pub(crate) fn once() -> bool {
    std::env::var_os("GOMAXPROCS").is_none() || std::env::var_os(CHILD).is_some()
}

/// `full` in release, less where debug assertions make everything slow.
pub(crate) fn scaled(full: usize) -> usize {
    if cfg!(debug_assertions) { full / 10 } else { full }
}

/// The test runs itself again in a process of its own, which runs the scenario and ends.
pub(crate) struct Child {
    test: &'static str,
    env: Vec<(&'static str, String)>,
}

/// What became of a [`Child`].
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Child {
    /// `test` is the name of the calling test function.
    pub(crate) fn of(test: &'static str) -> Child {
        Child { test, env: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl ToString) -> Child {
        self.env.push((name, value.to_string()));
        self
    }

    /// In the parent: starts the child and waits for it. In the child: runs `scenario` on a plain
    /// thread and exits with status 0.
    pub(crate) fn run(self, scenario: impl FnOnce()) -> Ended {
        if std::env::var(CHILD).as_deref() == Ok(self.test) {
            let seconds = u32::try_from(2 * limit().as_secs()).unwrap_or(u32::MAX);
            // SAFETY: no preconditions. Ends the child if even the watchdog fails.
            unsafe { libc::alarm(seconds) };
            watched(self.test, scenario);
            std::process::exit(0);
        }
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args([self.test, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, self.test).env_remove("RUST_BACKTRACE").envs(self.env);
        let output = command.output().expect("a child process");
        Ended {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Ended {
        assert!(self.status.success(), "{:?}\n{}", self.status, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn exited(&self, code: i32) -> &Ended {
        assert_eq!(self.status.code(), Some(code), "{:?}\n{}", self.status, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn killed_by(&self, signal: i32) -> &Ended {
        assert_eq!(self.status.signal(), Some(signal), "{:?}\n{}", self.status, self.stderr);
        self
    }

    /// stderr has a line that contains every one of `parts`.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Ended {
        let found = self.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "no line with {parts:?} in:\n{}", self.stderr);
        self
    }

    /// How many lines of stderr contain `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.stderr.lines().filter(|line| line.contains(part)).count()
    }
}

/// Counts how often its copies' owners were dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

impl Drops {
    pub(crate) fn new() -> Drops {
        Drops::default()
    }

    /// A value whose drop is counted.
    pub(crate) fn tracker(&self) -> Tracker {
        Tracker(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// See [`Drops::tracker`].
pub(crate) struct Tracker(Arc<AtomicUsize>);

impl Drop for Tracker {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs its closure when dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// splitmix64: small, seedable, the same everywhere.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
