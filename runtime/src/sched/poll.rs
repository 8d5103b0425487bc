//! Job: the scheduler's side of the network poller: who polls when, and event -> G.
//! Layer: L2 (sched)
//! Not here: descriptors and readiness (`gusty_netpoll`), sockets (`net`).
//! Invariants
//!   PO1  At most one M blocks in the poller; it holds the `Turn`. Others poll without blocking.
//!   PO2  `poll_until` is 0 unless an M holds the turn; then it is never later than the end of its
//!        wait, unless a break is on its way.
//! Orderings
//!   E2  begin_blocking: poll_until := NEVER; fence; timers are read; poll_until := deadline
//!       <->  break_if_later: timer published; fence; poll_until is read.
//!       (partner: sched/timers.rs)

use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gusty_netpoll::{Deadline, PollOutcome, Poller, Sink, Source};

use super::claim::{FIRST_TOKEN, Wait};
use super::fatal;
use super::global::SCHED;
use super::list::GList;
use super::metrics;
use crate::sys::clock::{self, NEVER, Nanos};
use crate::sys::shim::store_load_fence;

/// The claim token of a wait that readiness ended.
pub(crate) const READY: usize = FIRST_TOKEN;

static POLLER: OnceLock<Poller> = OnceLock::new();
static LAST: AtomicU64 = AtomicU64::new(0);
/// Somebody holds the turn (PO1).
static TURN: AtomicBool = AtomicBool::new(false);

/// Collects the Gs whose waits the poller could claim.
struct Claimed<'a>(&'a mut GList);

impl Sink for Claimed<'_> {
    unsafe fn claim(&mut self, waiter: usize) -> bool {
        // SAFETY: waiters are addresses of waits (`net::fd`), alive by the caller's contract.
        let wait = unsafe { &*std::ptr::with_exposed_provenance::<Wait>(waiter) };
        let g = wait.g();
        let won = wait.try_claim(READY);
        if won {
            self.0.push(g); // CL1: ours to make ready
        }
        won
    }
}

/// Makes the poller, once, at the start: when descriptors have run out it is too late.
pub(crate) fn init() -> io::Result<()> {
    let _ = POLLER.set(Poller::new()?); // set once
    Ok(())
}

fn poller() -> &'static Poller {
    POLLER.get().expect("made at the start")
}

/// Makes room for another descriptor, if it is time. Allocates.
pub(crate) fn make_room() -> io::Result<()> {
    poller().make_room()
}

/// Registers a descriptor for edges of both directions; `None` if there is no room. In a section.
pub(crate) fn register(fd: RawFd) -> io::Result<Option<Source>> {
    poller().register_in_room(fd)
}

/// Forgets the descriptor of `source`; those who wait on it are the caller's to make ready, and
/// will find it closed.
pub(crate) fn close(source: &Source, out: &mut GList) {
    // An error here means that the kernel knew nothing of the descriptor: nothing to undo.
    let _ = source.close(&mut Claimed(out));
}

/// Whether anybody waits for a descriptor.
#[inline]
pub(crate) fn has_waiters() -> bool {
    POLLER.get().is_some_and(|poller| poller.waiters() != 0)
}

/// Takes what is ready without blocking, unless somebody else is polling.
pub(crate) fn now(out: &mut GList) {
    if let Some(poller) = POLLER.get().filter(|poller| poller.waiters() != 0 && !is_manned()) {
        poll(poller, Deadline::Now, out);
    }
}

/// How many wait for a descriptor.
pub(crate) fn waiters() -> usize {
    POLLER.get().map_or(0, Poller::waiters)
}

/// When the network was last polled.
pub(crate) fn last() -> Nanos {
    LAST.load(Ordering::Relaxed) // an estimate for the watchdog
}

/// False if somebody else is polling.
fn poll(poller: &Poller, deadline: Deadline, out: &mut GList) -> bool {
    LAST.store(clock::now(), Ordering::Relaxed); // an estimate for the watchdog
    match poller.poll(deadline, &mut Claimed(out)) {
        Ok(PollOutcome::Busy) => false,
        Ok(PollOutcome::Done { .. }) => {
            metrics::POLLS.add();
            true
        }
        Err(error) => fatal::fatal(format_args!("the network poller failed: {error}")),
    }
}

/// The right to block in the poller (PO1).
pub(crate) struct Turn(());

/// Announces that the caller is going to block; `None` if somebody else does.
pub(crate) fn begin_blocking() -> Option<Turn> {
    if TURN.swap(true, Ordering::Acquire) {
        // partner: `Turn::wait`
        return None;
    }
    SCHED.poll_until.store(NEVER, Ordering::Relaxed); // ordered by the fence
    store_load_fence(); // E2: before the caller reads the timers
    Some(Turn(()))
}

impl Turn {
    /// Blocks until an event, a break, or `until`.
    pub(crate) fn wait(self, until: Nanos, out: &mut GList) {
        SCHED.poll_until.store(until, Ordering::Relaxed); // E2: whoever reads NEVER breaks as well
        let deadline = if until == NEVER { Deadline::Never } else { Deadline::At(until) };
        while !poll(poller(), deadline, out) {
            std::thread::yield_now(); // somebody else looks, and is perhaps off its CPU
        }
        SCHED.poll_until.store(0, Ordering::Relaxed); // PO2; a late break only costs an empty poll
        TURN.store(false, Ordering::Release); // partner: `begin_blocking`
    }
}

/// Ends the blocking poll if it would last beyond `when`, a deadline published before.
pub(crate) fn break_if_later(when: Nanos) {
    store_load_fence(); // E2
    if when < SCHED.poll_until.load(Ordering::Relaxed) {
        break_now();
    }
}

/// Ends the blocking poll, or keeps the next one from blocking.
pub(crate) fn break_now() {
    if let Err(error) = poller().notify() {
        // Failing to write to our own eventfd means that it is gone.
        fatal::fatal(format_args!("cannot break the network poll: {error}"));
    }
}

/// Whether somebody waits for the network or a timer, or has been woken by them, and nobody blocks in
/// the poller.
pub(crate) fn wants_somebody() -> bool {
    !is_manned() && (has_waiters() || timers_wait() || !SCHED.urgent().is_empty())
}

/// Whether any P has a timer.
fn timers_wait() -> bool {
    let p = |i| SCHED.p(i).timer_when.load(Ordering::Acquire); // partner: `timers::publish`
    (0..SCHED.made()).any(|i| p(i) != NEVER)
}

/// Whether an M blocks in the poller, or is about to.
pub(crate) fn is_manned() -> bool {
    SCHED.poll_until.load(Ordering::Relaxed) != 0 // ordered by the callers' fences
}
