//! Looking at the runtime and setting it up: the number of Ps, counts, dumps.
// Job: the public face of the scheduler's state.
// Layer: L4 (API)

use crate::sched::g::{GKind, GStatus};
use crate::sched::{dump, global::SCHED, gslab, lifecycle, metrics as counters, procs, threads};
use crate::tls::{self, Level, Surplus};

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

/// How far a goroutine is a thread to `thread_local!`, to C and to libc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TlsLevel {
    /// Each has thread-local storage of its own: any safe code may keep a borrow of a thread-local,
    /// `errno` or a panic across a park.
    Own,
    /// As `Own`, but a goroutine's storage is that of a thread that libc made and that ended at once.
    /// Each new stack takes some 100 us for it and keeps two pages or three.
    Pthread,
    /// They share that of the thread that runs them first, and stay on that thread: an address of a
    /// thread-local stays right over a park, but what another goroutine of the thread does to it in
    /// the meantime shows (a `RefCell` may be found borrowed, `errno` changed, `panicking()` true while
    /// another one waits in a destructor). The fall-back where `Own` is not possible.
    Pinned,
    /// They share that of the thread they run on, and change threads when they park: code that
    /// keeps anything derived from a thread-local over a park is not sound. Only on demand.
    Shared,
}

impl TlsLevel {
    /// Does each goroutine have thread-local storage of its own? Never blocks.
    ///
    /// ```
    /// use gusty::runtime::TlsLevel;
    ///
    /// assert!(TlsLevel::Own.is_own() && TlsLevel::Pthread.is_own());
    /// assert!(!TlsLevel::Shared.is_own());
    /// ```
    pub fn is_own(self) -> bool {
        matches!(self, TlsLevel::Own | TlsLevel::Pthread)
    }
}

/// What the runtime found possible on this system; see [`features`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Features {
    /// Thread-local storage of goroutines.
    pub tls: TlsLevel,
    /// Why `tls` is not `Own`; else empty.
    pub tls_reason: &'static str,
    /// Can libraries be opened later that insist on room next to the program's own thread-locals
    /// (`GUSTY_TLS_SURPLUS=keep`)?
    pub tls_surplus: bool,
    /// Do goroutines use the caches of glibc's malloc that belong to their threads? If not, each
    /// that allocates builds caches of its own, or another allocator is in use.
    pub shared_malloc_caches: bool,
}

/// What the runtime found possible on this system. Starts it if it does not run yet.
///
/// ```
/// use gusty::runtime::features;
///
/// if !features().tls.is_own() {
///     eprintln!("goroutines share thread-locals: {}", features().tls_reason);
/// }
/// ```
pub fn features() -> Features {
    lifecycle::ensure_started();
    let outcome = tls::outcome().expect("decided at the start");
    Features {
        tls: match outcome.level {
            Level::Own => TlsLevel::Own,
            Level::Pthread => TlsLevel::Pthread,
            Level::Pinned => TlsLevel::Pinned,
            Level::Shared => TlsLevel::Shared,
        },
        tls_reason: outcome.reason,
        tls_surplus: !outcome.level.has_blocks() || outcome.surplus == Surplus::Keep,
        shared_malloc_caches: outcome.shares_malloc || !outcome.level.has_blocks(),
    }
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

/// Threads of the scheduler that exist now, idle ones included. Those that idle for long end, down
/// to GOMAXPROCS + 2 (`GUSTY_THREAD_IDLE_MS`).
pub fn num_threads() -> usize {
    threads::live() as usize
}

/// Every goroutine, one a line: id, state, what it waits for, where it was spawned.
///
/// Taken while they run, so a line may be out of date by the time it is read. Allocates; parks
/// nobody.
pub fn dump() -> String {
    let mut text = String::new();
    dump::goroutines(&mut text, false);
    dump::procs(&mut text);
    text
}

/// What the scheduler has done since it started. Only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Goroutines that were asked to let others run, because their slice was over.
    pub preemptions: u64,
    /// How often a goroutine was stopped together with its thread, where it could not leave it: inside a
    /// library, or because it has no thread-locals of its own.
    pub stops: u64,
    /// Ps that were taken from a thread, because its goroutine blocked in a call, computed while
    /// others waited, or lent its P.
    pub retakes: u64,
    /// Threads that were sent a kick, so that their goroutines stop.
    pub kicks: u64,
    /// Goroutines that the network or a timer woke while others were queued, or while every P was busy:
    /// they go before the others.
    pub urgent: u64,
    /// Ps that were borrowed for those from goroutines that compute.
    pub loans: u64,
    /// Goroutines that came back from such a call and found no idle P: they were queued.
    pub requeues: u64,
    /// Ps that were given to the thread that a locked goroutine waits with.
    pub handoffs: u64,
    /// Looks at the network, blocking ones included.
    pub polls: u64,
    /// Threads that were made for the scheduler.
    pub threads_started: u64,
    /// Threads of the scheduler that ended.
    pub threads_ended: u64,
}

/// What the scheduler has done since it started.
///
/// ```
/// let before = gusty::runtime::metrics();
/// gusty::spawn(|| ()).join().unwrap();
/// assert!(gusty::runtime::metrics().threads_started >= before.threads_started);
/// ```
pub fn metrics() -> Metrics {
    let read = |counter: &counters::Counter| counter.get();
    Metrics {
        preemptions: read(&counters::PREEMPTIONS),
        stops: read(&counters::STOPS),
        retakes: read(&counters::RETAKES),
        kicks: read(&counters::KICKS),
        urgent: read(&counters::URGENT),
        loans: read(&counters::LOANS),
        requeues: read(&counters::REQUEUES),
        handoffs: read(&counters::HANDOFFS),
        polls: read(&counters::POLLS),
        threads_started: read(&counters::THREADS_STARTED),
        threads_ended: read(&counters::THREADS_ENDED),
    }
}
