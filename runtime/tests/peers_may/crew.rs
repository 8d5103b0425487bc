//! Job: who takes part in a case: goroutines, plain threads, or both in turns; with 1, 2, 4, 8 and 64
//!   Ps each.

#![allow(dead_code, reason = "every test file uses some of it")]

use crate::common::{alone, watched};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a case repeats what goes wrong rarely; each runs twenty times as it is.
pub(crate) const ROUNDS: usize = if cfg!(debug_assertions) { 10 } else { 50 };

/// Soon over.
pub(crate) const SHORT: Duration = Duration::from_millis(1);

/// Longer than any test may take.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Who helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crew {
    Goroutines,
    Threads,
    Mixed,
}

impl Crew {
    /// All that a case runs with.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Helper<T> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let on_a_thread = match self {
            Crew::Goroutines => false,
            Crew::Threads => true,
            Crew::Mixed => TURN.fetch_add(1, Ordering::Relaxed).is_multiple_of(2),
        };
        if on_a_thread {
            Helper::Thread(std::thread::spawn(f))
        } else {
            Helper::Goroutine(gusty::spawn(f))
        }
    }
}

/// A goroutine or a thread.
pub(crate) enum Helper<T> {
    Goroutine(gusty::JoinHandle<T>),
    Thread(std::thread::JoinHandle<T>),
}

impl<T> Helper<T> {
    pub(crate) fn result(self) -> std::thread::Result<T> {
        match self {
            Helper::Goroutine(handle) => handle.join(),
            Helper::Thread(handle) => gusty::blocking(|| handle.join()),
        }
    }

    #[track_caller]
    pub(crate) fn join(self) -> T {
        self.result().expect("the helper ends well")
    }
}

/// Runs `case` with every number of Ps and every crew, led by a goroutine and by a plain thread.
pub(crate) fn cases(name: &str, case: fn(Crew)) {
    let _alone = alone();
    watched(name, || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            gusty::spawn(move || case(Crew::Goroutines)).join().unwrap();
            case(Crew::Threads);
            case(Crew::Mixed);
            gusty::spawn(move || case(Crew::Mixed)).join().unwrap();
        }
        gusty::runtime::gomaxprocs(before);
    });
}

/// Lets others get on, far enough for what they are about to do.
pub(crate) fn linger() {
    (0..20).for_each(|_| gusty::yield_now());
}
