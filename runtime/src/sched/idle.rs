//! Job: giving Ps up, getting them, and waking Ms for them: no runnable G waits while a P is idle,
//!   and no thread spins while there is nothing to do.
//! Layer: L2 (sched)
//! Not here: the order in which work is looked for (`find`), the counters (`queue::searchers`).
//! Invariants
//!   ID1  An M without a P runs no goroutine code; it searches, polls, or sleeps on its note. (One that
//!        lost its P to the watchdog does until it notices: `hold`, `astray`.)
//!   ID2  An M on the idle list, or on that of Ms that want a P, sleeps until somebody takes it off
//!        the list, gives it a P and wakes it; or wakes it without one, to man the poller.
//!   ID3  An M that leaves the poller first clears `poll_until`, then takes an idle P under the lock.
//!        So who sees `poll_until` set, under the lock, and a P idle, and breaks the poll, has woken
//!        an M that will find that P.
//!   ID4  A P never waits for a new thread while an M waits for a P: whoever comes second makes them
//!        meet. (Making the thread takes the allocator's lock, which the goroutine of that M may hold.)
//!   ID5  Nor does an M that was stopped in the middle of its code wait while all those asleep that have
//!        Ps: they may wait for a lock of that code, in a section. It goes on without a P.
//!
//! The proof that nothing is lost
//!
//! Work is published in one of four places: a local queue or next slot, the global queue, a timer
//! heap, the poller. `submit` in `queue::searchers` argues the first two; in short: a submitter
//! publishes, fences, and wakes a searcher if a P is idle and nobody searches; a searcher that
//! gives up releases its P, un-counts itself, fences and looks at every source again. One of the
//! two fences is first, so one of the two sees the other. A searcher that finds work wakes the
//! next (`stop_spinning`), so k submissions need one wake-up each only while they are picked up.
//!
//! A submitter that sees an idle P but finds none under the lock leaves `need_spinning`: the P it
//! saw has just gone to an M; the next M to release a P sees the flag under the same lock and
//! searches instead.
//!
//! Timers and the poller: at most one M blocks in the poller, until the earliest deadline it knew
//! (`poll_until`). Who adds an earlier timer breaks the poll, or is about to go idle itself and
//! then becomes the one who waits (`find::go_idle`).
//!
//! Rejected: waking a thread for every submission (futile wake-ups; tokio and Go both left it), and
//! Go's 3 us nap before stealing a next slot (with default timer slack it is 57 us).

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::g::GRef;
use super::global::{SCHED, State};
use super::m::{self, M};
use super::p::{NOBODY, P};
use super::{loan, poll, retire, threads, watch};
use crate::config;
use crate::sys::clock::{self, NEVER};
use crate::sys::cpu::{Activity, ThreadState};
use crate::sys::mutex::MutexGuard;
use crate::sys::shim::{store_load_fence, store_load_fence_after_rmw};

/// How often an M that was stopped looks whether anybody computes (ID5).
const PATIENCE: Duration = Duration::from_millis(20);

/// Called after work was published by a plain store: wakes a searcher if that is needed.
pub(crate) fn wake_p() {
    store_load_fence(); // SR2
    wake_p_fenced();
}

/// As [`wake_p`] after a publication by an atomic read-modify-write.
#[inline]
pub(crate) fn wake_p_after_rmw() {
    store_load_fence_after_rmw(); // SR2
    wake_p_fenced();
}

#[inline]
fn wake_p_fenced() {
    if SCHED.searchers.should_wake() {
        start_searcher();
    }
}

#[cold]
fn start_searcher() {
    let mut state = SCHED.lock();
    if state.no_m() && state.has_p() && poll::is_manned() {
        // ID3: the M in the poller is as good as an idle one, and better than a new thread.
        drop(state);
        SCHED.searchers.abandon();
        poll::break_now();
        return;
    }
    match state.pop_p() {
        Some(p) => start_m(state, p, true),
        None => {
            state.need_spinning = true;
            SCHED.searchers.abandon();
        }
    }
}

/// Wakes an M for `p`, which was just taken off the idle list, or has one made.
fn start_m(mut state: MutexGuard<'_, State>, p: &'static P, spinning: bool) {
    let idle = state.pop_m();
    if idle.is_none() {
        state.push_wanted(p, spinning);
    }
    drop(state);
    watch::p_runs();
    match idle {
        Some(m) => m.start(p, spinning),
        None => threads::want(),
    }
}

/// Gives `m`'s P up, under the lock: to the idle list, or into retirement.
pub(crate) fn release_p(state: &mut State, m: &'static M) {
    let p = m.p().expect("an M releases the P it owns");
    m.set_p(None);
    release(state, p);
}

/// As [`release_p`] for a P that no M owns any more.
fn release(state: &mut State, p: &'static P) {
    if p.id < SCHED.procs() {
        offer_p(state, p);
    } else {
        retire::retire(p);
    }
}

/// Gives a P that nobody owns to an M that wants one (HM2), or makes it idle.
pub(crate) fn offer_p(state: &mut State, p: &'static P) {
    match state.pop_wanting() {
        Some(needy) => needy.give_p(p),
        None => state.push_p(p),
    }
}

/// Takes an idle P, if there is one: the first thing an M does before it runs anything (ID1).
pub(crate) fn acquire_p(m: &'static M) -> bool {
    let p = SCHED.lock().pop_p();
    m.set_p(p);
    if p.is_some() {
        watch::p_runs();
    }
    p.is_some()
}

/// Ends this M's search because it found work; wakes the next searcher (SR3).
pub(crate) fn stop_spinning(m: &'static M) {
    if m.spinning.replace(false) {
        SCHED.searchers.found();
        wake_p();
    }
}

/// Makes this M a searcher, unless half of the busy Ps' worth of Ms already search.
pub(crate) fn start_spinning(m: &'static M) -> bool {
    if m.spinning.get() {
        return true;
    }
    let (spinning, idle) = (SCHED.searchers.spinning(), SCHED.searchers.idle());
    if 2 * spinning >= SCHED.procs().saturating_sub(idle) {
        return false;
    }
    m.spinning.set(true);
    SCHED.searchers.enter();
    true
}

/// Sleeps without a P until one is given (ID2), unless there is one for this M already: one for which
/// a thread was to be made, or an idle one and goroutines for this M alone. False if the thread is to
/// end instead: it was not needed for long.
pub(crate) fn stop_m(m: &'static M) -> bool {
    debug_assert!(m.p().is_none() && !m.spinning.get());
    {
        let mut state = SCHED.lock();
        if let Some((p, spinning)) = state.pop_wanted() {
            m.set_p(Some(p));
            m.spinning.set(spinning);
            return true;
        }
        if !m.home.has_mail() {
            state.push_m(m);
        } else if let Some(p) = state.pop_p() {
            drop(state);
            m.set_p(Some(p));
            watch::p_runs();
            return true;
        } else {
            state.push_wanting(m); // HM2
        }
    }
    // HM4: no mail comes for an M that has nobody, so it is on the idle list all the time.
    while !m.home.has_residents() && threads::live() > threads::floor() {
        if m.note.sleep_until(Some(clock::after(config::settings().thread_idle))) {
            m.set_p(m.take_p());
            return true;
        }
        let mut state = SCHED.lock();
        if !state.remove_m(m) {
            break; // a P is on its way
        }
        if threads::may_end() {
            return false;
        }
        state.push_m(m);
    }
    m.note.sleep();
    m.set_p(m.take_p()); // none if it is to man the poller
    true
}

/// Has an M without a P block in the poller, if there is one to be had; else one is made. For that one
/// a P is borrowed, so that it serves those who are urgent at once; not while an M waits for a P (ID4).
/// For the watchdog.
pub(crate) fn man_poller() {
    let mut state = SCHED.lock();
    if let Some(m) = state.pop_m() {
        drop(state);
        return m.note.wake();
    }
    if SCHED.anybody_wants_p() {
        state.spare = true;
    } else {
        drop(state);
        let Some(p) = loan::borrow_for_new() else { return };
        state = SCHED.lock();
        if let Some(needy) = state.pop_wanting() {
            drop(state);
            return needy.give_p(p);
        }
        state.push_wanted(p, false);
    }
    drop(state);
    threads::want();
}

/// Gives this M's P, with whatever is queued on it, to somebody else, because this M is about to
/// block with its goroutine.
pub(crate) fn handoff_p(m: &'static M) {
    debug_assert!(!m.spinning.get());
    let p = m.p().expect("an M hands off the P it owns");
    m.set_p(None);
    pass_on(p);
}

/// Gives a P that no M owns any more, with whatever is queued on it, to somebody.
pub(crate) fn pass_on(p: &'static P) {
    if p.is_lent() && loan::return_to_lender(p) {
        return;
    }
    if SCHED.anybody_wants_p() && offer_to_wanting(p) {
        return;
    }
    p.end_turn();
    p.begin_turn(clock::now());
    if p.id < SCHED.procs() && (p.has_work() || !SCHED.nothing_global()) {
        start_m(SCHED.lock(), p, false);
        return;
    }
    let timers = p.timer_when.load(Ordering::Acquire) != NEVER; // partner: `timers::publish`
    let mut state = SCHED.lock();
    // A searcher may have looked at the queues before the last submission and gone; and somebody
    // has to wait for this P's timers and for the network.
    let nobody_searches = SCHED.searchers.spinning() == 0;
    let must_watch = timers || poll::has_waiters();
    if p.id < SCHED.procs() && nobody_searches && (must_watch || !SCHED.nothing_global()) {
        SCHED.searchers.enter();
        start_m(state, p, true);
        return;
    }
    release(&mut state, p);
    drop(state);
    if SCHED.searchers.spinning() == 0 && any_work() {
        wake_p();
    }
}

/// Gives a P to an M that wants one because there is no other M for it (ID4).
fn offer_to_wanting(p: &'static P) -> bool {
    let mut state = SCHED.lock();
    if p.id >= SCHED.procs() || !state.no_m() {
        return false;
    }
    let Some(needy) = state.pop_wanting() else { return false };
    state.spare = true;
    drop(state);
    threads::want();
    needy.give_p(p);
    true
}

/// Gets a P for an M that holds its goroutine, at any point of its code: an idle one, one for which
/// there is no thread yet (ID4), or the M queues for one and sleeps. False if it has none all the same,
/// unless it `must` (ID5). Async-signal-safe.
pub(crate) fn wait_for_p(m: &'static M, must: bool) -> bool {
    let mut state = SCHED.lock();
    let p = state.pop_p().map(|p| (p, false)).or_else(|| {
        let wanted = state.pop_wanted();
        state.spare |= wanted.is_some();
        wanted
    });
    if let Some((p, spinning)) = p {
        drop(state);
        m.set_p(Some(p));
        m.spinning.set(spinning);
        watch::p_runs();
        threads::want(); // for the spare one
        stop_spinning(m);
        return true;
    }
    state.push_wanting(m);
    drop(state);
    let patience = || (!must).then(|| clock::after(PATIENCE));
    while !m.note.sleep_until(patience()) {
        if all_asleep() && SCHED.lock().remove_wanting(m) {
            return false;
        }
    }
    m.set_p(m.take_p()); // ID2
    true
}

/// Whether no M that has a P computes; an observation.
fn all_asleep() -> bool {
    (0..SCHED.made()).all(|i| match SCHED.p(i).m_id.load(Ordering::Relaxed) {
        NOBODY => true,
        // Not one that somebody was just given, who may have to wait for a processor.
        id => m::get(id).is_some_and(|m| ThreadState::of(m.tid()).now() == Activity::Asleep),
    })
}

/// Gets a P for an M that comes back to its goroutine from a blocking wait: an idle one, or it
/// queues the goroutine, which only this M can run, and sleeps until a scheduler hands over its P.
pub(crate) fn regain_p(m: &'static M, g: GRef) {
    if acquire_p(m) {
        return;
    }
    let bound = g.bound_m().is_some(); // pinned, or locked
    g.set_bound_m(Some(m));
    SCHED.injector().push(g);
    wake_p();
    m.note.sleep(); // not on the idle list: only `run::grant` wakes it
    m.set_p(m.take_p());
    if !bound {
        g.set_bound_m(None);
    }
}

/// Whether any queue holds work; exact only after a fence (SR1).
pub(crate) fn any_work() -> bool {
    !SCHED.nothing_global() || (0..SCHED.made()).any(|i| SCHED.p(i).has_work())
}
