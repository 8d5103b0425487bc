//! Job: stopping a goroutine in the middle of code that does not call the runtime.
//! Layer: L2 (sched)
//! Not here: when (`gusty_sysmon`), whom beyond the bound (`astray`), the kick (`sys::kick`), the detour
//!   (`arch`), which code is the program's own (`sys::text`).
//! Invariants
//!   PV1  A goroutine is stopped in place only if it has thread-locals of its own, outside of every
//!        section, in code of the program itself, with the signal mask that all have (so not in a
//!        signal handler). It then yields as at a call of `yield_now`; nobody else sees its
//!        thread-locals meanwhile, so it is to it as if the kernel had switched threads.
//!   PV2  A kick counts only while the M is asked to let others run, or has lost its P, or if it was set
//!        for the end of a slice (`slices`).
//!   PV3  Anywhere else a goroutine is stopped together with its thread: the signal handler waits for a
//!        P. It does so only if the P is gone already, outside of every section and of other signal
//!        handlers (whoever calls `setgid` waits for libc's, with a lock): it gives up nothing, and
//!        nobody waits for what the runtime would hold. Nothing else runs on the thread.
//!   PV4  What the handler does is async-signal-safe: it allocates nothing, takes only locks whose
//!        holders are in sections (SN2) and touches no thread-local that is made at its first use.
//!   PV5  In code of libraries it waits only after the goroutine had a few more moments to leave it.
//!
//! Where the handler waits
//!
//! The interrupted code may hold any lock but the runtime's: the allocator's, that of stdout, one of the
//! user's. Whoever wants such a lock meanwhile blocks in the kernel, outside of sections (the runtime
//! neither allocates nor frees in one), and the watchdog takes its P like that of anybody who blocks.
//! A P that has nobody else to run goes to who waits for one here, or is found by it (ID4 of `idle`),
//! and where there are others to run, they and those who wait have turns (`find::may_give_p`). So after
//! finitely many turns the holder runs, and it is stopped again only after a slice. The threads that
//! move Ps without having one do not allocate (the watchdog: MO2) or hold no P while they do (the one
//! that makes threads: MT2). PV5 makes it rare.
//!
//! Should an M block in a section all the same (libc's lock for making threads, at the level `Pthread`):
//! when all who have Ps are asleep, those who wait here do not wait any longer (ID5 of `idle`).
//!
//! On the M's alternate stack lie then a signal frame (3 KiB with AVX-512, 11 with AMX) and a few frames
//! of this file; signals of others are handled on top of it, with their mask open (KH3). The kick's own
//! signal is blocked until the handler returns; a second kick is then felt and finds nothing to do.
//! The goroutines that stay on this M (`pinned`) wait with it.
//! Source: Go's asynchronous preemption, for the first way.

use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};

use libc::ucontext_t;

use super::g::{GRef, GStatus};
use super::m::{self, M};
use super::{idle, loan, metrics, own, slices, stopped};
use crate::arch;
use crate::sys::clock::Nanos;
use crate::sys::hold::Notice;
use crate::sys::kick::{Kick, Rung};
use crate::sys::section::Section;
use crate::sys::{kick, mask, section, text};
use crate::tls;

/// PV5: how often, and after how much CPU time.
const TRIES: u32 = 10;
const TRY_AGAIN_NS: Nanos = 30_000;
/// Kicks that are as late as the kernel's tick are not to be waited for as often.
const LATE_TRIES: u32 = 1;

/// How long a goroutine that need not wait computes until it is stopped again.
const WITHOUT_P_NS: Nanos = 1_000_000;

static KICKS: AtomicBool = AtomicBool::new(false);
static IN_PLACE: AtomicBool = AtomicBool::new(false);

/// Once, before the first scheduler thread.
pub(crate) fn init() {
    let detour = arch::prepare() && text::prepare();
    // Published with the start, both.
    IN_PLACE.store(detour && tls::level().has_blocks(), Ordering::Relaxed);
    KICKS.store(kick::install(on_kick), Ordering::Relaxed);
}

/// Asks `m` to let others run, and stops its goroutine if it does not hear. For the watchdog.
pub(super) fn preempt(m: &'static M) {
    m.hold.ask();
    stop(m);
}

/// Stops the goroutine of `m`, whose P was taken while it computed. For the watchdog.
pub(super) fn stop(m: &'static M) {
    if KICKS.load(Ordering::Relaxed) {
        m.kick(0, false);
    }
}

/// The same once it has computed for `after_ns`: for an M that is blocked. For the watchdog.
pub(super) fn stop_after(m: &'static M, after_ns: Nanos) {
    if KICKS.load(Ordering::Relaxed) {
        m.kick(after_ns, true);
    }
}

/// In the signal handler.
///
/// # Safety
/// As `kick::handler` calls it.
unsafe fn on_kick(context: *mut ucontext_t) {
    let Some(m) = m::current() else { return };
    let kick = m.kicked();
    let timed = m.timed.swap(false, Ordering::Relaxed);
    if section::depth() != 0 {
        return; // PV1, PV3
    }
    let over = || timed && kick.is_some_and(|kick| slices::is_over(m, kick));
    if m.hold.is_quiet() && !over() {
        return; // PV2
    }
    let Some(g) = m.cur() else { return };
    // SAFETY: the kernel's, valid and written by nobody until the detour is made below.
    let interrupted = unsafe { &*context };
    let rip = interrupted.uc_mcontext.gregs[libc::REG_RIP as usize];
    let own = text::is_own(rip.cast_unsigned() as usize);
    let outside = mask::is_usual(&interrupted.uc_sigmask);
    if own && outside && tls::on_goroutine() {
        // SAFETY: `context` as for this function; PV1.
        if unsafe { stop_in_place(g, context) } {
            kick.inspect(|kick| slices::begin(m, kick));
            return;
        }
    }
    let better_place = !own || !outside;
    let again = better_place && kick.is_some_and(|kick| try_again(m, kick));
    if !again && outside && m.hold.is_lost() {
        // PV3
        wait(m, g);
        if let Some(kick) = kick.filter(|_| m.hold.is_lost()) {
            kick.arm(WITHOUT_P_NS); // ID5 of `idle`
        }
    }
}

/// PV1. False if it cannot be done here.
///
/// # Safety
/// `context` is what the kernel passed to the running handler; the goroutine `g` was interrupted and
/// may be stopped.
unsafe fn stop_in_place(g: GRef, context: *mut ucontext_t) -> bool {
    let stack = own::range(g.stack());
    let handler = &raw const stack;
    if !IN_PLACE.load(Ordering::Relaxed) || stack.contains(&handler.addr()) {
        return false; // somebody has taken the M's alternate stack away
    }
    // SAFETY: as for this function; the goroutine's own stack, and the handler is not on it.
    unsafe { arch::redirect(context, stack, land) }
}

/// What the stopped goroutine calls. Entering the section is what notices.
extern "C" fn land() {
    drop(Section::enter());
}

/// PV5: has this M, which is in code of a library or a signal handler, kicked again soon. False if that
/// was done often enough.
fn try_again(m: &'static M, kick: &Kick) -> bool {
    let most = match kick.rung() {
        Rung::Perf => TRIES,
        Rung::Timer => LATE_TRIES,
        Rung::Tgkill | Rung::Off => 0, // would come at the same place
    };
    let tries = m.tries.get();
    if tries >= most {
        return false;
    }
    m.tries.set(tries + 1);
    kick.arm(TRY_AGAIN_NS);
    true
}

/// PV3, PV4: waits until this M has a P again, unless it was given back the one that it had.
fn wait(m: &'static M, g: GRef) {
    // SAFETY: the interrupted code is outside, and goes on outside; on this thread, to which the handler
    // belongs. There is nothing to notice that is not noticed here.
    unsafe { section::set_depth(1) };
    compiler_fence(Ordering::SeqCst); // the depth before the look, HD3 of `sys::hold`
    match m.hold.notice() {
        Notice::Lost => {
            metrics::STOPS.add();
            loan::noticed(m);
            regain(m, g, false);
        }
        Notice::Held { asked: true } => m.hold.ask(), // as before
        Notice::Held { asked: false } => {}
    }
    // SAFETY: the count that it was interrupted with (SN1 of `section`), on the same thread.
    unsafe { section::set_depth(0) };
}

/// Gets a P for `m`, which has lost its own and holds its goroutine `g`. In a section. Unless `must` it
/// may come back without one (ID5 of `idle`).
pub(super) fn regain(m: &'static M, g: GRef, must: bool) {
    m.set_p(None); // somebody else's by now
    m.end_call();
    g.set_status(GStatus::Runnable);
    stopped::waits(|| {
        if idle::wait_for_p(m, must) {
            m.regained();
        }
    });
    g.set_status(GStatus::Running);
}
