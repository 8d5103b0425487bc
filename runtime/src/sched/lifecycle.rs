//! Job: starting the scheduler, once, at its first use.
//! Layer: L2 (sched)
//! Not here: settings (`config`), the entry macros (`entry`).
//!
//! 1. The settings are read.
//! 2. Whether goroutines have thread-locals of their own is decided (`tls`).
//! 3. The fault handler for stack guards is installed, and the panic hook that names goroutines.
//! 4. The limit on goroutines is set from memory; the network poller is made; the signal mask
//!    that scheduler threads will have is that of the thread that starts them.
//! 5. The Ps are made and put on the idle list. Their threads come with the first work.
//! 6. The watchdog thread and the one that makes scheduler threads are started.
//!
//! There is no shutdown: the process ends when `main` returns, whatever goroutines do (as in Go).

use std::io::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::global::SCHED;
use super::p::P;
use super::{
    comeback, fatal, gslab, hook, monitor, poll, preempt, ready, report, run, taker, threads,
};
use crate::config::{self, Settings};
use crate::stack;
use crate::sys::mask;
use crate::sys::section;
use crate::sys::signal;
use crate::tls;

static STARTED: AtomicBool = AtomicBool::new(false);
static START: Once = Once::new();

/// Starts the scheduler if it is not running.
#[inline]
pub(crate) fn ensure_started() {
    if !STARTED.load(Ordering::Acquire) {
        // partner: the store in `start`
        START.call_once(start);
    }
}

#[cold]
fn start() {
    let settings = config::settings(); // step 1
    stack::choose_guard(settings.guard);
    choose_tls(settings); // step 2
    signal::install(report::on_overflow); // step 3
    hook::install();
    gslab::set_limit(settings.max_goroutines, settings.procs); // step 4
    if let Err(error) = poll::init() {
        fatal::fatal(format_args!("cannot make the network poller: {error}"));
    }
    mask::remember();
    taker::init();
    preempt::init();
    section::on_notice(comeback::on_notice);
    SCHED.set_m_entry(run::m_main);
    let made: Vec<_> = (0..settings.procs as u32).map(P::new).collect();
    let mut state = SCHED.lock();
    SCHED.set_procs(u32::try_from(settings.procs).expect("at most MAX_PROCS")); // step 5
    let first_made = SCHED.made();
    debug_assert_eq!((first_made, threads::live()), (0, 0));
    for p in made {
        state.push_p(SCHED.add_p(p));
    }
    drop(state);
    if let Err(error) = monitor::start().and_then(|()| threads::start()) {
        // step 6
        fatal::fatal(format_args!("cannot start a thread: {error}"));
    }
    STARTED.store(true, Ordering::Release); // partner: the load in `ensure_started`
}

fn choose_tls(settings: &Settings) {
    let outcome = tls::init(tls::Options {
        at_most: settings.tls,
        surplus: settings.surplus,
        each_stack: stack::for_each_top,
    });
    ready::set_migrate(settings.debug.migrate);
    if outcome.level.has_blocks()
        && let Some(allocator) = tls::unwrapped()
    {
        let _ = writeln!(
            std::io::stderr(),
            "gusty: {allocator} makes a heap for each goroutine unless it is wrapped: \
             #[global_allocator] static A: gusty::Alloc<...> = gusty::Alloc::new(...)"
        );
    }
}
