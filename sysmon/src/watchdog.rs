//! Job: the thread: snapshot, decide, act, rest; its start, wake-up and end.
//! Not here: any decision (`policy`).

use std::{
    io,
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    backoff::Backoff,
    deep::DeepSleep,
    policy::{Action, Config, History, Probe, Rest, Snapshot, decide},
};

/// The scheduler, as the watchdog needs it.
///
/// All methods are called on the watchdog's thread, which has no P and is no goroutine. They must
/// neither allocate nor wait for a lock that a stopped goroutine may hold.
pub trait Host: Probe + Send + Sync + 'static {
    /// The time on CLOCK_MONOTONIC, in nanoseconds.
    fn now_ns(&self) -> u64;

    /// Describes the scheduler. `out` has been cleared; `at_ns` is filled in already.
    ///
    /// Must see every P as running whose change to running came before a fence that came before the
    /// watchdog's own (`Sysmon::wake` has the protocol): plain atomic loads do.
    fn snapshot(&self, out: &mut Snapshot);

    /// Does what was decided. May block no longer than a system call does (SM2).
    fn act(&self, action: Action);

    /// A round begins; returns after how many nanoseconds the next must (`u64::MAX`: whenever it does).
    fn round(&self, now_ns: u64) -> u64;

    /// Everything is idle and a sleep without end begins; returns after how many nanoseconds to look
    /// again nevertheless (`u64::MAX`: never).
    fn idle(&self, now_ns: u64) -> u64;
}

struct Shared {
    deep: DeepSleep,
    stopped: AtomicBool,
    /// A long nap may be ended by `hurry`.
    naps: AtomicBool,
}

/// Naps up to this are not worth a system call to end.
const SHORT_NAP_NS: u64 = 100_000;

/// The running watchdog. Dropping it stops the thread and waits for it.
pub struct Sysmon {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sysmon {
    /// Starts the thread `gusty-sysmon`, with all signals blocked but those that a fault raises.
    ///
    /// # Errors
    /// The system's, where no thread can be created.
    pub fn start<H: Host>(host: Arc<H>, config: Config) -> io::Result<Sysmon> {
        let shared = Arc::new(Shared {
            deep: DeepSleep::new(),
            stopped: AtomicBool::new(false),
            naps: AtomicBool::new(false),
        });
        let watchdog = Watchdog::new(host, config, shared.clone());
        let thread = thread::Builder::new().name("gusty-sysmon".into()).spawn(move || {
            block_signals();
            sharpen_timers();
            shorten_slice();
            watchdog.run();
        })?;
        Ok(Sysmon { shared, thread: Some(thread) })
    }

    /// Wakes the watchdog if it sleeps deeply. For a scheduler that leaves the state in which every
    /// P is idle; call it after the P is marked as running.
    ///
    /// Never blocks; a fence and a load, and one system call if the watchdog is asleep.
    pub fn wake(&self) {
        fence(Ordering::SeqCst); // F1
        self.wake_fenced();
    }

    /// The same for a caller that has executed a store-load fence (`fence(SeqCst)`) since it marked
    /// the P as running: one load. Without that fence the wake-up can be lost.
    #[inline]
    pub fn wake_fenced(&self) {
        if self.shared.deep.claim_wake() {
            self.unpark();
        }
    }

    /// Ends a long nap, for somebody who knows that there will be something to do. Two loads, or one
    /// system call. It may come too early and do nothing: a nap is followed by a look anyway.
    #[inline]
    pub fn hurry(&self) {
        let naps = &self.shared.naps;
        if naps.load(Ordering::Relaxed) && naps.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
    }

    /// Stops the thread and waits until it is gone. The same as dropping.
    pub fn stop(self) {}

    /// Whether the thread is in its deep sleep, or about to fall into it.
    pub fn is_asleep(&self) -> bool {
        self.shared.deep.is_announced()
    }

    #[cold]
    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Sysmon {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed); // ordered by the fence
        self.wake(); // ends a deep sleep
        self.unpark(); // ends a nap
        if let Some(thread) = self.thread.take() {
            // A panic of the host has been printed by its thread; a drop has nobody to tell.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Sysmon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sysmon").field("deep", &self.shared.deep).finish_non_exhaustive()
    }
}

/// What the thread owns.
struct Watchdog<H> {
    host: Arc<H>,
    config: Config,
    shared: Arc<Shared>,
    history: History,
    previous: Snapshot,
    now: Snapshot,
}

impl<H: Host> Watchdog<H> {
    /// Allocates all that the thread will ever need (SM1).
    fn new(host: Arc<H>, config: Config, shared: Arc<Shared>) -> Watchdog<H> {
        let history = History::new(host.now_ns(), config.max_procs);
        let [previous, now] = [(); 2].map(|()| Snapshot::with_capacity(config.max_procs));
        Watchdog { host, config, shared, history, previous, now }
    }

    fn run(mut self) {
        self.look();
        while !self.shared.stopped.load(Ordering::Relaxed) {
            self.look();
            match self.round() {
                Rest::Nap(ns) => self.nap(ns),
                Rest::Deep { at_most_ns } => {
                    let again_ns = self.host.idle(self.now.at_ns);
                    let at_most_ns = at_most_ns.unwrap_or(u64::MAX).min(again_ns);
                    self.sleep_deeply((at_most_ns != u64::MAX).then_some(at_most_ns));
                }
            }
        }
    }

    fn nap(&mut self, ns: u64) {
        let naps = &self.shared.naps;
        naps.store(ns > SHORT_NAP_NS, Ordering::Relaxed); // a hint
        thread::park_timeout(Duration::from_nanos(ns));
        if ns > SHORT_NAP_NS && !naps.swap(false, Ordering::Relaxed) {
            self.history.backoff = Backoff::new(); // hurried
        }
    }

    /// Takes a new snapshot; the last one becomes the previous.
    fn look(&mut self) {
        std::mem::swap(&mut self.previous, &mut self.now);
        self.now.clear();
        self.now.at_ns = self.host.now_ns();
        self.host.snapshot(&mut self.now);
    }

    fn round(&mut self) -> Rest {
        let Watchdog { host, config, history, previous, now, .. } = self;
        let again_ns = host.round(now.at_ns);
        match decide(config, history, previous, now, &**host, |action| host.act(action)) {
            Rest::Nap(ns) => Rest::Nap(ns.min(again_ns)),
            deep => deep,
        }
    }

    /// Announces the sleep, looks once more, and parks (F1 of `deep`).
    fn sleep_deeply(&mut self, at_most_ns: Option<u64>) {
        let Watchdog { host, shared, now, .. } = self;
        let until = at_most_ns.map(|ns| now.at_ns.saturating_add(ns));
        let work_exists = || {
            now.clear();
            now.at_ns = host.now_ns();
            host.snapshot(now);
            !now.needs_nobody() || shared.stopped.load(Ordering::Relaxed)
        };
        let park = || match until {
            None => {
                thread::park();
                true
            }
            Some(until) => {
                let left = until.saturating_sub(host.now_ns());
                thread::park_timeout(Duration::from_nanos(left));
                left > 0
            }
        };
        shared.deep.sleep(work_exists, park);
        self.history.backoff = Backoff::new();
    }
}

/// Leaves the process's signals to other threads. Those that a fault raises stay: blocked, they
/// would end the process without a word from its handlers.
fn block_signals() {
    let faults =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT];
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set that the other calls read and change; the last one
    // changes this thread's mask only.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for fault in faults {
            libc::sigdelset(set.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// By default the kernel may end each nap 50 us late.
fn sharpen_timers() {
    let slack_ns: libc::c_ulong = 1;
    // SAFETY: takes an integer and concerns this thread only. Failing, it changes nothing.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) };
}

/// How long this thread runs before the kernel compares it with others that it delays.
const SLICE_NS: u64 = 100_000;

/// Asks the kernel to let this thread go first when it wakes: it has the same share of the processors as
/// others, but in shorter slices, so it is not made to wait for the end of one of theirs (Linux 6.12; before
/// that, nothing changes).
fn shorten_slice() {
    let mut attributes = MaybeUninit::<libc::sched_attr>::zeroed();
    let size = size_of::<libc::sched_attr>() as libc::c_uint;
    let (this, no_flags): (libc::pid_t, libc::c_uint) = (0, 0);
    // SAFETY: the kernel fills in at most `size` bytes of a structure whose fields are integers; the
    // second call gives them back, one of them changed, and concerns this thread only.
    unsafe {
        let filled = attributes.as_mut_ptr();
        if libc::syscall(libc::SYS_sched_getattr, this, filled, size, no_flags) == 0
            && (*filled).sched_policy == libc::SCHED_OTHER.cast_unsigned()
        {
            (*filled).sched_runtime = SLICE_NS;
            libc::syscall(libc::SYS_sched_setattr, this, filled, no_flags);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
