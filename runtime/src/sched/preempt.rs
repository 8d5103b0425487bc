//! Job: stopping a goroutine in the middle of code that does not call the runtime.
//! Layer: L2 (sched)
//! Not here: when (`stalled`), the kick (`sys::kick`), the detour (`arch`), which code may be stopped
//!   (`sys::text`).
//! Invariants
//!   PV1  Only a goroutine with thread-locals of its own is stopped, outside of every section, in code
//!        of the program itself. It then yields as at a call of `yield_now`; nobody else sees its
//!        thread-locals meanwhile, so it is to it as if the kernel had switched threads.
//!   PV2  A kick counts only while the M is asked to let others run.
//! Source: Go's asynchronous preemption.

use std::sync::atomic::{AtomicBool, Ordering};

use libc::ucontext_t;

use super::m::{self, M};
use super::own;
use crate::arch;
use crate::sys::section::Section;
use crate::sys::{kick, section, text};
use crate::tls;

static POSSIBLE: AtomicBool = AtomicBool::new(false);

/// Once, before the first scheduler thread.
pub(crate) fn init() {
    let possible =
        tls::level().has_blocks() && arch::prepare() && text::prepare() && kick::install(on_kick);
    POSSIBLE.store(possible, Ordering::Relaxed); // published with the start
}

/// Asks `m` to let others run, and stops its goroutine if it does not hear. For the watchdog.
pub(super) fn preempt(m: &'static M) {
    m.hold.ask();
    if POSSIBLE.load(Ordering::Relaxed) {
        m.kick();
    }
}

/// In the signal handler.
///
/// # Safety
/// As `kick::handler` calls it.
unsafe fn on_kick(context: *mut ucontext_t) {
    let Some(m) = m::current() else { return };
    m.kicked();
    if !tls::on_goroutine() || section::depth() != 0 || m.hold.is_quiet() {
        return; // PV1, PV2
    }
    // SAFETY: the kernel passes a valid context.
    let rip = unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] };
    let Some(g) = m.cur().filter(|_| text::is_own(rip.cast_unsigned() as usize)) else { return };
    // SAFETY: `context` as for this function; the goroutine's own stack, and the handler is on the
    // M's alternate stack; PV1. If it has too little room it goes on.
    let _ = unsafe { arch::redirect(context, own::range(g.stack()), land) };
}

/// What the stopped goroutine calls. Entering the section is what notices.
extern "C" fn land() {
    drop(Section::enter());
}
