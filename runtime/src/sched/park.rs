//! Job: parking: how a goroutine stops running and who runs instead.
//! Layer: L2 (sched)
//! Not here: making it runnable again (`ready`), the loop on g0 (`run`).
//! Invariants
//!   PA1  What makes a parked G findable (unlocking a queue, storing it in a word) is its commit,
//!        and the commit runs after the switch has left the G's stack, on the other side. From
//!        that moment the G may run elsewhere; the commit was moved off its stack before.
//!   PA2  A commit neither parks nor runs user code (SN3 of `sys::section`); it may ready other Gs.
//!   PA3  Where a goroutine uses its thread's thread-locals, std's panic count ties it to that thread
//!        while a panic unwinds its stack: it then waits holding its M (the P is handed off)
//!        instead of leaving it. A pinned one comes back to the same thread anyway, so it leaves;
//!        meanwhile `panicking()` is true for others on that thread that have none of their own.
//!   PA4  A goroutine parks in a section and is in it again when it goes on, with the same count.
//! Source: Go's gopark; the commit is its unlockf.

use std::mem::ManuallyDrop;
use std::ptr;

use super::claim::{OPEN, TIMED_OUT, Wait};
use super::g::{GKind, GRef, GStatus, PINNED, WaitReason};
use super::idle;
use super::m::{self, M};
use super::pick;
use super::poll;
use super::ready;
use super::timers::Timed;
use super::{foreign, locked, own, p::P};
use crate::arch;
use crate::sys::clock::{NEVER, Nanos};
use crate::sys::section::{self, Section};
use crate::tls;

/// What the switching goroutine leaves to the other side: its commit, still on its stack.
pub(crate) struct HandOver {
    run: unsafe fn(*const ()),
    commit: *const (),
}

impl HandOver {
    fn new<C: FnOnce()>(commit: &ManuallyDrop<C>) -> HandOver {
        unsafe fn run<C: FnOnce()>(commit: *const ()) {
            // SAFETY: the other side reads it once, before the G can run again (PA1).
            let commit = unsafe { commit.cast::<C>().read() };
            commit();
        }
        HandOver { run: run::<C>, commit: ptr::from_ref(commit).cast() }
    }
}

/// Runs the commit of the goroutine that switched to us.
///
/// # Safety
/// `msg` is the message of a switch from `leave`, used once.
#[inline]
pub(crate) unsafe fn settle(msg: usize) {
    // SAFETY: the sender's stack is intact until its commit publishes it (PA1); both words are
    // copied before.
    let HandOver { run, commit } = unsafe { ptr::with_exposed_provenance::<HandOver>(msg).read() };
    // SAFETY: `run` and `commit` were made for each other by `HandOver::new`.
    unsafe { run(commit) };
}

/// Leaves the current goroutine's stack for the next goroutine of this P, or for g0.
#[inline]
fn leave<C: FnOnce()>(m: &'static M, p: &'static P, g: GRef, commit: C) {
    let next = pick::direct(m, p);
    switch(m, next, g, commit);
}

/// Leaves the current goroutine's stack for `next`, or for g0. In a section.
#[inline]
pub(super) fn switch<C: FnOnce()>(m: &'static M, next: Option<GRef>, g: GRef, commit: C) {
    let depth = section::depth();
    debug_assert_ne!(depth, 0);
    let commit = ManuallyDrop::new(commit);
    let hand_over = HandOver::new(&commit);
    let msg = ptr::from_ref(&hand_over).expose_provenance();
    let (to, fs) = match next {
        Some(next) => {
            next.set_status(GStatus::Running);
            m.set_cur(Some(next));
            // SAFETY: just taken from a queue (G2).
            let fs = unsafe { own::lend(m, next) };
            m.runs(fs);
            (next.sp.get(), fs)
        }
        None => (m.g0_sp.get(), own::back(m)),
    };
    // SAFETY: `to` is the context of a G just taken from a queue, or of this M's g0: ours to
    // resume (SW1), with the FS base that is its own (SW2, OW2). `m` is not used afterwards (M3).
    let msg = unsafe { arch::switch(g.sp.as_ptr(), to, msg, fs) };
    // SAFETY: PA4; the word may be one that goroutines share.
    unsafe { section::set_depth(depth) };
    if msg != 0 {
        // SAFETY: whoever switched to this G did so from `leave`; g0 sends 0.
        unsafe { settle(msg) };
    }
}

/// Parks the caller until `ready` is called for it: a goroutine gives its M to the next one, a
/// plain thread blocks. `commit` publishes the caller to its waker (PA1, PA2).
///
/// # Safety
/// After `commit` exactly one `ready` will come; the caller keeps nothing derived from
/// thread-local storage over the call.
#[inline]
pub(crate) unsafe fn park<C: FnOnce()>(reason: WaitReason, commit: C) {
    let _section = Section::enter_if_outside(); // PA4
    // SAFETY: as for this function.
    unsafe { park_inside(reason, commit) };
}

/// As [`park`] for a caller in a section.
///
/// # Safety
/// As [`park`]; the caller is in a section.
#[inline]
pub(crate) unsafe fn park_inside<C: FnOnce()>(reason: WaitReason, commit: C) {
    match m::current() {
        Some(m) if !tied_to(m) => {
            let (g, p) = here(m);
            g.set_waiting(reason);
            leave(m, p, g, commit);
        }
        m => block(m, reason, None, NEVER, commit),
    }
}

/// Parks the caller until `wait` is claimed, by the deadline at the latest, and returns the
/// outcome (`claim::TIMED_OUT` or the claimer's token). As [`park`] otherwise.
///
/// # Safety
/// As [`park`]: whoever claims `wait` readies its G, and claims only under a lock that the caller
/// takes before `wait` dies (CL2), except for the timer, which this function takes care of.
pub(crate) unsafe fn park_until<C: FnOnce()>(
    wait: &Wait,
    deadline: Nanos,
    reason: WaitReason,
    commit: C,
) -> usize {
    let _section = Section::enter_if_outside(); // PA4
    match m::current() {
        Some(m) if !tied_to(m) => {
            let (g, p) = here(m);
            g.set_waiting(reason);
            if deadline == NEVER {
                leave(m, p, g, commit);
            } else {
                let timed = Timed::new(wait, deadline);
                let timed_ref = &timed;
                leave(m, p, g, move || {
                    // SAFETY: disarmed below; the G has left its stack; commits run on an M with
                    // a P. The deadline may pass at once: the G then waits for the lock that
                    // `commit` releases.
                    unsafe { timed_ref.arm() };
                    commit();
                });
                timed.disarm();
            }
        }
        m => block(m, reason, Some(wait), deadline, commit),
    }
    debug_assert_ne!(wait.outcome(), OPEN);
    wait.outcome()
}

/// Whether the caller should let others run. A hint, so no section is needed: an M is never freed.
#[inline]
pub(crate) fn is_asked() -> bool {
    m::current().is_some_and(|m| !m.hold.is_quiet())
}

/// Lets the other goroutines of this P run; returns at once if there are none.
#[inline]
pub(crate) fn yield_now() {
    let _section = Section::enter_if_outside(); // PA4
    let Some(m) = m::current() else {
        std::thread::yield_now();
        return;
    };
    let (g, p) = here(m);
    if pick::nobody_else(m, p) {
        return;
    }
    g.set_status(GStatus::Runnable);
    if tied_to(m) {
        return let_others_run(m, g);
    }
    leave(m, p, g, move || {
        let p = m::current().and_then(M::p).expect("commits run on an M with a P");
        // Frees a P and queues a G: nobody needs to be woken for it.
        ready::push_yielding(p, g);
    });
}

/// As [`yield_now`], for a goroutine that has used up its slice: behind everybody else, whatever P they
/// are on.
pub(crate) fn slice_is_over() {
    let _section = Section::enter_if_outside(); // PA4
    let Some(m) = m::current() else { return };
    let (g, p) = here(m);
    if pick::nobody_else(m, p) {
        return;
    }
    g.set_status(GStatus::Runnable);
    if tied_to(m) {
        return let_others_run(m, g);
    }
    pick::end_slice(p);
    switch(m, None, g, move || ready::push_expired(g));
}

/// PA3, LO1: the others run while this M waits for its turn.
#[cold]
fn let_others_run(m: &'static M, g: GRef) {
    idle::handoff_p(m);
    idle::regain_p(m, g);
    g.set_status(GStatus::Running);
}

/// Parks the caller until `deadline`; with NEVER, for good.
pub(crate) fn sleep_until(deadline: Nanos) {
    let wait = Wait::new(current());
    // SAFETY: only the timer ends this wait, and `park_until` takes care of it.
    unsafe { park_until(&wait, deadline, WaitReason::Sleep, || ()) };
}

/// PA3, or LO1 of `locked`.
#[inline]
fn tied_to(m: &'static M) -> bool {
    locked::is_locked(m)
        || !tls::on_goroutine()
            && std::thread::panicking()
            && m.cur().is_some_and(|g| !g.flag(PINNED))
}

#[inline]
fn here(m: &'static M) -> (GRef, &'static P) {
    let g = m.cur().expect("g0 never parks");
    (g, m.p().expect("a running goroutine has a P"))
}

/// The caller as something that can wait: its goroutine, or its thread.
#[inline]
pub(crate) fn current() -> GRef {
    goroutine().unwrap_or_else(foreign::current)
}

/// The calling goroutine; `None` on a plain thread.
#[inline]
pub(crate) fn goroutine() -> Option<GRef> {
    let _section = Section::enter_if_outside(); // M3
    goroutine_inside()
}

/// As [`goroutine`] for a caller in a section.
#[inline]
pub(crate) fn goroutine_inside() -> Option<GRef> {
    m::current().map(|m| m.cur().expect("g0 never waits"))
}

/// Waits on the spot, blocking the OS thread: a plain thread, or a goroutine that may not leave
/// its M (PA3, LO1).
#[cold]
fn block<C: FnOnce()>(
    m: Option<&'static M>,
    reason: WaitReason,
    wait: Option<&Wait>,
    deadline: Nanos,
    commit: C,
) {
    let g = match m {
        Some(m) => m.cur().expect("g0 never parks"),
        None => foreign::current(),
    };
    let _asleep = m.is_none().then(|| foreign::Asleep::begin(deadline == NEVER));
    g.set_waiting(reason);
    g.note.clear();
    if let Some(m) = m {
        g.set_kind(GKind::HoldsM);
        idle::handoff_p(m);
    }
    commit();
    if poll::has_waiters() && !poll::is_manned() {
        idle::wake_p(); // a searcher that finds nothing mans the poller; nobody else may come by
    }
    if !g.note.sleep_until((deadline != NEVER).then_some(deadline))
        && !wait.is_some_and(|wait| wait.try_claim(TIMED_OUT))
    {
        g.note.sleep(); // claimed just now: the wake-up is on its way (CL1)
    }
    if let Some(m) = m {
        g.set_kind(GKind::Goroutine);
        idle::regain_p(m, g);
    }
    g.set_status(GStatus::Running);
}
