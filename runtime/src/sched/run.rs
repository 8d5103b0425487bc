//! Job: the heart: an M's loop on its scheduling stack. Find a G, run it until it parks or exits,
//!   do what it left to do, again.
//! Layer: L2 (sched)
//! Not here: choosing (`find`, `pick`), parking (`park`).
//! Invariants
//!   RN1  g0 never parks and never runs user code; destructors of results run on goroutines. After
//!        its last destructor a goroutine is as good as g0, and has no current G.
//!   RN2  A G's stack is given back, or to the next G, only after it has left it for good; its header
//!        when nothing refers to it any more, which is after `body` has called `finish`.
//!   RN3  The message that g0 receives is 0 from an exit and a hand-over from a park; what it
//!        sends is always 0.
//!   RN4  Once a goroutine has entered its last section nothing is allocated or freed for it (SN3 of
//!        `sys::section`): its Ext goes before, if the handle has gone by then; a handle that goes
//!        later has it begin once more, for that and for the destructor of its result.
//! Orderings
//!   E1  exited: join.swap(EXITED, Release) -> JoinHandle: join.load(Acquire)
//!       (partner: task.rs)

use std::sync::atomic::Ordering;

use super::g::{
    GRef, GStatus, JOIN_DETACHED, JOIN_EXITED, JOIN_OPEN, JOIN_WAKER, LIGHT, OUTPUT_LIVE, REVIVED,
};
use super::global::SCHED;
use super::m::{self, M};
use super::metrics;
use super::park;
use super::pick;
use super::ready;
use super::{fatal, find, idle, locked, own, pinned, spawn, starved, threads};
use crate::arch::{self, Exit};
use crate::stack::{SizeClass, Stack};
use crate::sys::mask;
use crate::sys::section;
use crate::sys::signal::AltStack;
use crate::sys::thread;
use crate::tls;

/// Body of a scheduler thread. It has no P before it has done all that allocates (MT2 of `threads`).
pub(crate) fn m_main() {
    let m = m::adopt(threads::rung(), |fits| SCHED.lock().pop_free_m(fits));
    thread::name_this(m.id);
    mask::adopt();
    let alt_stack = AltStack::install();
    if let Err(error) = &alt_stack {
        fatal::fatal(format_args!("no signal stack for a scheduler thread: {error}"));
    }
    threads::arrived(m);
    while let Some(g) = next(m) {
        idle::stop_spinning(m);
        match g.bound_m() {
            Some(owner) if !std::ptr::eq(owner, m) => grant(m, owner),
            _ => execute(m, g),
        }
    }
    if locked::is_locked(m) {
        idle::handoff_p(m); // LO1: its goroutine has ended, and so does the thread
        threads::ends();
    }
    threads::give_up(m);
}

/// The next goroutine for `m`; `None` if its thread is to end.
fn next(m: &'static M) -> Option<GRef> {
    if locked::is_locked(m) && !locked::forgive(m) {
        return None; // LO1
    }
    m.take_handoff().or_else(|| find::find_runnable(m))
}

/// A G that only `owner` can run is next: lend it this M's P. The owner's thread sleeps in
/// `idle::regain_p`, deep in that very goroutine.
fn grant(m: &'static M, owner: &'static M) {
    let p = m.p().expect("find_runnable returns with a P");
    m.set_p(None);
    metrics::HANDOFFS.add();
    owner.give_p(p);
}

/// Runs `g` and whatever it switches to directly, until some G parks without a successor or exits.
fn execute(m: &'static M, g: GRef) {
    if g.sp.get() == 0 && !bind_stack(m, g) {
        return;
    }
    g.set_status(GStatus::Running);
    m.set_cur(Some(g));
    let msg = if g.sp.get() == FRESH {
        pinned::settle_in(g, m);
        // SAFETY: a stack just bound to this G; `body` catches panics and returns the g0 context
        // of the M it ends on (SW1). g0 never leaves its thread.
        unsafe {
            let top = own::bind(g, g.stack());
            let fs = own::lend(m, g);
            m.runs(fs);
            arch::start(m.g0_sp.as_ptr(), top, g.to_bits(), body, fs)
        }
    } else {
        // SAFETY: `g` was taken from a queue: it has left its stack, nobody else has it (SW1, G2).
        unsafe {
            let fs = own::lend(m, g);
            m.runs(fs);
            arch::switch(m.g0_sp.as_ptr(), g.sp.get(), 0, fs)
        }
    };
    m.runs_g0();
    m.set_cur(None);
    if msg == 0 {
        give_back(m);
    } else {
        // SAFETY: RN3: a hand-over from `park::leave`.
        unsafe { park::settle(msg) };
    }
}

/// `sp` of a G that has a stack but has not started on it.
const FRESH: usize = 1;

/// Gives `g` its stack. If there is none to be had, `g` waits until another goroutine exits.
fn bind_stack(m: &'static M, g: GRef) -> bool {
    let p = m.p().expect("goroutines run on a P");
    // SAFETY: this M owns P (P1); the borrow ends here.
    let stacks = &mut unsafe { p.owned() }.stacks;
    // Without a stack the word is just the class.
    let class = u8::try_from(g.stack.get()).ok().and_then(SizeClass::from_index);
    let class = class.expect("set at spawn, or by `finish`");
    match stacks.take(class) {
        Ok(stack) => {
            g.stack.set(stack.to_bits());
            g.sp.set(FRESH);
            p.count_stack(1);
            true
        }
        Err(error) => {
            starved::add(g, &error);
            // A stack may have come back before `g` was in the list (SV1).
            if let Ok(stack) = stacks.take(class) {
                // SAFETY: just taken, unused.
                unsafe { stacks.put(stack) };
                stacks.drain();
                starved::retry();
            }
            false
        }
    }
}

/// The oldest Rust frame of a goroutine, and of those that begin on its stack after it.
unsafe extern "C" fn body(g: usize) -> Exit {
    // SAFETY: `execute` passes the G it starts.
    let mut g = unsafe { GRef::from_bits(g) };
    let (stack, light) = (g.stack(), g.flag(LIGHT));
    let m = loop {
        // SAFETY: nothing else runs on this word now; what it held is of the goroutine before.
        unsafe { section::set_depth(0) };
        run_task(g);
        // SAFETY: the bottom of this stack; RN4: what follows uses no thread-locals that these clean.
        unsafe {
            own::end(stack);
            if spawn::sheds(g) {
                own::end(stack); // of the allocator
            }
            own::renew(stack);
        }
        debug_assert_eq!(section::depth(), 0, "a section was not left");
        section::enter(); // for good: the next goroutine on this stack begins outside again
        let m = m::current().expect("goroutines run on Ms");
        g.stack.set(usize::from(stack.class().index()));
        g.sp.set(0);
        m.set_cur(None);
        pinned::leave(g, m);
        finish(g);
        match heir(m, stack, light) {
            Some(next) => g = next,
            None => break m,
        }
    };
    if tls::on_goroutine() {
        // SAFETY: the M's own; nothing here uses thread-locals afterwards (FS2, OW2).
        unsafe { tls::set_fs(m.host().fs()) };
    }
    Exit { to: m.g0_sp.get(), msg: 0 }
}

fn run_task(g: GRef) {
    let task = g.task.get().expect("set at spawn");
    if g.flag(OUTPUT_LIVE) {
        // SAFETY: the G was revived for this by `finish`.
        unsafe { (task.drop_output)(&g) };
        g.set_flag(OUTPUT_LIVE, false);
    } else if g.flag(REVIVED) {
        // For its Ext.
    } else {
        // SAFETY: first run of a spawned G.
        unsafe { (task.run)(&g) };
    }
}

/// The goroutine to begin on `stack`, whose own has ended; if there is none, g0 gets the stack.
#[inline]
fn heir(m: &'static M, stack: Stack, light: bool) -> Option<GRef> {
    let p = m.p().expect("goroutines run on a P");
    let class = usize::from(stack.class().index());
    let none = starved::any() || locked::is_locked(m);
    let next = if none { None } else { pick::heir(m, p, class, light) };
    match next {
        Some(next) => {
            next.stack.set(stack.to_bits());
            next.sp.set(FRESH);
            pinned::settle_in(next, m);
            next.set_status(GStatus::Running);
            m.set_cur(Some(next));
        }
        None => m.leave_stack(stack),
    }
    next
}

/// A goroutine has left its stack for good.
fn give_back(m: &'static M) {
    let p = m.p().expect("goroutines run on a P");
    let stack = m.take_left_stack().expect("an exit leaves its stack");
    // SAFETY: this M owns P (P1); the borrow ends with `stacks`.
    let stacks = &mut unsafe { p.owned() }.stacks;
    // SAFETY: RN2: the goroutine has left it for good.
    unsafe { stacks.put(stack) };
    p.count_stack(-1);
    if starved::any() {
        stacks.drain(); // where every P finds it
        starved::retry();
    }
}

/// Completes `g`: tells whoever joins it, or frees it.
fn finish(g: GRef) {
    g.set_status(GStatus::Dead);
    match g.join.swap(JOIN_EXITED, Ordering::AcqRel) {
        // E1
        JOIN_OPEN => {}
        JOIN_DETACHED => {
            if g.leaves_something() {
                // Detached after the result was stored: that needs a goroutine (RN1, RN4).
                g.set_flag(REVIVED, true);
                g.join.store(JOIN_DETACHED, Ordering::Relaxed); // ours alone now
                g.set_status(GStatus::Runnable);
                ready::make_next(g);
            } else {
                spawn::free(g);
            }
        }
        waker if waker & JOIN_WAKER != 0 => {
            // SAFETY: `poll` left a dormant goroutine, which the exchange has taken out (DM1).
            let g = unsafe { GRef::from_bits(waker & !JOIN_WAKER) };
            g.set_status(GStatus::Runnable);
            ready::make_next(g);
        }
        // SAFETY: the only other values are parked joiners, who wait for exactly this.
        waiter => ready::ready(unsafe { GRef::from_bits(waiter) }),
    }
}
