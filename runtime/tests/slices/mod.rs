//! Job: running a scenario in child processes with very short slices, where goroutines are stopped
//!   all the time.

#![allow(dead_code, reason = "every test file uses some of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gusty::runtime::{TlsLevel, features, metrics};

use super::common::{Child, Ended};

/// The shortest slice there is, in microseconds.
const SLICE_US: u64 = 100;

/// What begins the message of a test that this system cannot run.
pub(crate) const SKIPPED: &str = "skipped: ";

/// Runs `scenario` of the calling test in a child process for each number of Ps. What the children
/// printed is returned.
pub(crate) fn sliced(test: &'static str, procs: &[usize], scenario: impl Fn()) -> Vec<Ended> {
    sliced_by(test, procs, SLICE_US, "auto", scenario)
}

/// As [`sliced`] with another slice, and a certain kind of kick.
pub(crate) fn sliced_by(
    test: &'static str,
    procs: &[usize],
    slice_us: u64,
    kick: &str,
    scenario: impl Fn(),
) -> Vec<Ended> {
    let run = |&procs: &usize| {
        let child = Child::of(test).env("GOMAXPROCS", procs).env("GUSTY_SLICE_US", slice_us);
        let ended = child.env("GUSTY_KICK", kick).run(|| {
            if features().tls == TlsLevel::Own {
                scenario();
            } else {
                eprintln!("{SKIPPED}goroutines share thread-locals, so they are only asked");
            }
        });
        eprintln!("{test} with {procs} Ps, {slice_us} us, {kick}");
        ended.succeeded();
        ended
    };
    procs.iter().map(run).collect()
}

/// Goroutines that compute without a call of anything, so that others wait, until it is dropped.
pub(crate) struct Spinners {
    stop: Arc<AtomicBool>,
    turns: Arc<[AtomicUsize]>,
    handles: Vec<gusty::JoinHandle<()>>,
}

/// A name for debuggers to show.
#[inline(never)]
fn spins(stop: &AtomicBool, turns: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Spinners {
    pub(crate) fn new(count: usize) -> Spinners {
        let stop = Arc::new(AtomicBool::new(false));
        let turns: Arc<[AtomicUsize]> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let spin = |i: usize| {
            let (stop, turns) = (stop.clone(), turns.clone());
            gusty::spawn(move || spins(&stop, &turns[i]))
        };
        let handles = (0..count).map(spin).collect();
        Spinners { stop, turns, handles }
    }

    /// Waits until every one of them has run on.
    pub(crate) fn run_on(&self) {
        let now = || self.turns.iter().map(|turns| turns.load(Ordering::Relaxed));
        let before: Vec<usize> = now().collect();
        super::common::until(|| now().zip(&before).all(|(now, before)| now > *before));
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for handle in self.handles.drain(..) {
            let ended = handle.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// Waits until goroutines were stopped, or asked to let others run, so many times more.
pub(crate) fn preempted(times: u64) {
    let before = metrics().preemptions;
    super::common::until(|| metrics().preemptions >= before + times);
}
