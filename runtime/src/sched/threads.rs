//! Job: the threads of the scheduler: the one that makes them, their limit, their end.
//! Layer: L2 (sched)
//! Not here: when an M is needed (`idle`), its loop (`run`), the struct (`m`).
//! Invariants
//!   MT1  Threads are made by one thread of its own, the spawner: making one may wait for libc's
//!        allocator, and whoever needs an M may be in a runtime section, or the watchdog. Neither it
//!        nor a thread that begins uses the program's allocator (TN1 of `sys::thread`): goroutines
//!        that wait for one that was stopped in there block their threads, and it may take all of
//!        those, and new ones, until it is that one's turn.
//!   MT2  A P that waits for a new thread is on the list of wanted Ms, owned by nobody else, until a
//!        new thread has done all that allocates, or an M that is about to idle comes by: so no P
//!        waits for the allocator. As many threads are being made as Ps wait, not more.
//!   MT3  `LIVE` counts threads from before they are made until after they have left every list.
//!   MT4  A thread ends only on g0, without a P, taken off the idle list by itself, and after the
//!        watchdog has looked away (M5 of `m`). Its M is used again by a later thread, unless
//!        that one's thread-locals are at the same address and lend something else: blocks of
//!        goroutines remember whom they ran on by these two (HO2 of `tls::host`).
//!   MT5  Where a P goes to a goroutine that waits with its thread only because there was no other M, a
//!        spare one is made, so that those that need one have their turn, too.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::fatal;
use super::global::SCHED;
use super::m::M;
use super::metrics;
use crate::config;
use crate::sys::errno::Errno;
use crate::sys::kick::Rung;
use crate::sys::note::Note;
use crate::sys::thread;

/// Stack of a scheduler thread. Goroutines do not run on it; signal handlers have their own.
const G0_STACK_BYTES: usize = 128 * 1024;
/// Threads beyond GOMAXPROCS that are kept: one in the poller, one to spare.
const SPARE: u32 = 2;
/// How often the kernel is asked again for a thread that it refuses.
const TRIES: u64 = 20;

static NOTE: Note = Note::new();
static LIVE: AtomicU32 = AtomicU32::new(0);

/// How the calling thread, a new one, is to be kicked. The best way takes a descriptor, so a crowd of
/// threads that mostly block has to make do with the next.
pub(crate) fn rung() -> Rung {
    match config::settings().kick {
        Rung::Perf if live() > 2 * floor() => Rung::Timer,
        rung => rung,
    }
}

/// Scheduler threads that exist.
pub(crate) fn live() -> u32 {
    LIVE.load(Ordering::Relaxed) // a counter
}

/// How many are kept though they idle.
pub(crate) fn floor() -> u32 {
    SCHED.procs() + SPARE
}

/// Starts the spawner.
pub(crate) fn start() -> io::Result<()> {
    thread::prepare();
    std::thread::Builder::new().name("gusty-spawner".into()).stack_size(G0_STACK_BYTES).spawn(
        || {
            loop {
                serve();
                NOTE.sleep();
            }
        },
    )?;
    Ok(())
}

/// The caller has put a P on the list of wanted Ms (MT2), or asked for a spare one (MT5).
pub(crate) fn want() {
    NOTE.wake();
}

/// Starts a thread for each wanted M.
fn serve() {
    loop {
        let mut state = SCHED.lock();
        if let Some((m, p, spinning)) = state.pop_match() {
            drop(state);
            m.start(p, spinning);
            continue;
        }
        let Some(urgent) = state.bear_m() else { return };
        drop(state);
        make(urgent);
    }
}

/// A new thread's M takes the P that it was made for, if that is still there.
pub(crate) fn arrived(m: &'static M) {
    let mut state = SCHED.lock();
    state.born_m();
    if let Some((p, spinning)) = state.pop_wanted() {
        m.set_p(Some(p));
        m.spinning.set(spinning);
    }
}

/// There will be no spare one (MT5).
fn not_made() {
    LIVE.fetch_sub(1, Ordering::Relaxed); // a counter
    SCHED.lock().born_m();
}

/// MT1.
fn make(urgent: bool) {
    let most = config::settings().max_threads;
    if LIVE.fetch_add(1, Ordering::Relaxed) >= most {
        // MT3
        if !urgent {
            return not_made();
        }
        fatal::fatal(format_args!(
            "thread exhaustion: the limit of {most} scheduler threads is reached \
             (GUSTY_MAX_THREADS); goroutines block in system calls faster than these return"
        ));
    }
    let mut refused = 0;
    loop {
        match thread::start(G0_STACK_BYTES, || (SCHED.m_entry())()) {
            Ok(()) => return metrics::THREADS_STARTED.add(),
            Err(_) if !urgent => return not_made(),
            Err(errno) if refused == TRIES => fatal::fatal(format_args!(
                "thread exhaustion: the system starts no thread for the scheduler ({}); {} exist",
                Errno(errno),
                live() - 1
            )),
            Err(_) => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(refused));
            }
        }
    }
}

/// The calling thread's M, which idled for long and has taken itself off the idle list, ends if
/// there are more than are kept (MT4).
pub(crate) fn may_end() -> bool {
    let (ok, err) = (Ordering::Relaxed, Ordering::Relaxed); // a counter
    LIVE.fetch_update(ok, err, |live| (live > floor()).then(|| live - 1)).is_ok()
}

/// For a thread that ends although it does not idle, with a locked goroutine.
pub(crate) fn ends() {
    LIVE.fetch_sub(1, Ordering::Relaxed); // a counter
}

/// The last thing that a scheduler thread does with its M.
pub(crate) fn give_up(m: &'static M) {
    debug_assert!(m.p().is_none() && m.cur().is_none());
    metrics::THREADS_ENDED.add();
    m.vanish();
    m.abandon();
    SCHED.lock().push_free_m(m);
}
