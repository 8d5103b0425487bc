//! Job: a coroutine under a storm of signals, each of which makes it call a function that leaves the
//!   stack and dirties every register before it comes back.
//! Layer: L0 (machine)
//! Not here: what the coroutine computes (the other files).

use std::arch::asm;
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic;
use std::ptr;
use std::sync::Once;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::super::super::{Exit, start, switch};
use super::super::{prepare, redirect, room};
use crate::sys::signal::AltStack;

const SIGNAL: c_int = libc::SIGUSR2;
pub(super) const STACK: usize = 256 << 10;
/// Landings that a storm has at least.
pub(super) const ENOUGH: u64 = 3_000;
/// What is below the part of the stack that `redirect` may use.
pub(super) const CANARY: u128 = 0x5afe_5afe_5afe_5afe;

/// One coroutine, its home and what its signals did.
pub(super) struct Run<'a> {
    home: Cell<usize>,
    coroutine: Cell<usize>,
    pub(super) usable: std::ops::Range<usize>,
    work: RefCell<&'a mut dyn FnMut()>,
    landed: Cell<u64>,
    no_room: Cell<u64>,
    depth: Cell<u32>,
    deepest: Cell<u32>,
    /// The landing function is switching: it must not be interrupted like this.
    switching: Cell<bool>,
    /// Called once, in the first landing.
    look: Cell<Option<fn()>>,
}

thread_local! {
    static RUN: Cell<*const Run<'static>> = const { Cell::new(ptr::null()) };
}

pub(super) fn current<'a>() -> Option<&'a Run<'static>> {
    // SAFETY: null, or alive while the storm lasts that set it on this thread.
    unsafe { RUN.get().as_ref() }
}

extern "C" fn on_signal(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    let Some(run) = current().filter(|run| !run.switching.get()) else { return };
    let context: *mut ucontext_t = context.cast();
    // SAFETY: the context is the kernel's; the stack is the coroutine's, the handler runs on
    // another; whatever is interrupted is not `switch`.
    let sent = unsafe { redirect(context, run.usable.clone(), landing) };
    // SAFETY: as above.
    let sp = unsafe { (*context).uc_mcontext.gregs[libc::REG_RSP as usize] as usize };
    if !sent && run.usable.contains(&sp) {
        run.no_room.set(run.no_room.get() + 1);
    }
}

pub(super) extern "C" fn landing() {
    let run = current().expect("only in a storm");
    run.depth.set(run.depth.get() + 1);
    run.deepest.set(run.deepest.get().max(run.depth.get()));
    if let Some(look) = run.look.take() {
        look();
    }
    if run.deepest.get() < 3 {
        assert_eq!(interrupted_here(), 0); // time for a nested signal
    }
    run.switching.set(true);
    // SAFETY: errno of this thread; home saved itself when it resumed this coroutine (SW1).
    unsafe {
        *libc::__errno_location() = 77;
        switch(run.coroutine.as_ptr(), run.home.get(), 1, 0);
    }
    run.landed.set(run.landed.get() + 1);
    run.depth.set(run.depth.get() - 1);
    run.switching.set(false);
}

unsafe extern "C" fn body(run: usize) -> Exit {
    // SAFETY: the storm keeps it alive.
    let run: &Run<'static> = unsafe { &*ptr::with_exposed_provenance(run) };
    let result = panic::catch_unwind(panic::AssertUnwindSafe(|| (run.work.borrow_mut())()));
    run.switching.set(true);
    Exit { to: run.home.get(), msg: if result.is_ok() { 2 } else { 3 } }
}

/// What another goroutine might do meanwhile. Checks that it starts from a clean state.
fn dirty_everything() {
    let (mut mxcsr, mut control, mut tag) = (0u32, 0u16, [0u16; 14]);
    // SAFETY: stores and fills registers that a call may change.
    unsafe {
        asm!(
            "stmxcsr [{mxcsr}]", "fnstcw [{control}]", "fnstenv [{tag}]",
            "pcmpeqd xmm0, xmm0", "pcmpeqd xmm7, xmm7", "pcmpeqd xmm8, xmm8", "pcmpeqd xmm15, xmm15",
            mxcsr = in(reg) &raw mut mxcsr, control = in(reg) &raw mut control,
            tag = in(reg) &raw mut tag,
            clobber_abi("sysv64"),
        );
    }
    assert_eq!((mxcsr & 0xffc0, control, tag[4]), (0x1f80, 0x37f, 0xffff));
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has it; all of these belong to the callee.
        unsafe {
            asm!(
                "vpternlogd zmm0, zmm0, zmm0, 255",
                "vpternlogd zmm5, zmm5, zmm5, 255",
                "vpternlogd zmm16, zmm16, zmm16, 255",
                "vpternlogd zmm31, zmm31, zmm31, 255",
                "kxnorw k1, k1, k1",
                "kxnorw k7, k7, k7",
                clobber_abi("sysv64"),
            );
        }
    }
}

/// Repeats `work` on a coroutine of this thread, a signal every 30 us, until enough have landed.
/// `look` runs in the first landing. Returns landings, how many had no room, and the deepest nesting.
pub(super) fn storm(
    stack_bytes: usize,
    look: Option<fn()>,
    mut work: impl FnMut(),
) -> (u64, u64, u32) {
    assert!(prepare());
    install();
    let _alt = AltStack::install().unwrap();
    let words = size_of::<u128>();
    let mut stack = vec![CANARY; (room() + stack_bytes) / words];
    let spare = room() / words; // never to be touched
    let low = ptr::from_mut(&mut stack[spare]).expose_provenance();
    let top = stack.as_mut_ptr_range().end.expose_provenance();
    let mut repeat = || {
        let landed = || current().map_or(0, |run| run.landed.get());
        for _ in 0..2_000_000 {
            work();
            if landed() >= ENOUGH {
                return;
            }
        }
    };
    let run = Run {
        home: Cell::new(0),
        coroutine: Cell::new(0),
        usable: low..top,
        work: RefCell::new(&mut repeat),
        landed: Cell::new(0),
        no_room: Cell::new(0),
        depth: Cell::new(0),
        deepest: Cell::new(0),
        switching: Cell::new(false),
        look: Cell::new(look),
    };
    RUN.set(ptr::from_ref(&run).cast());
    let timer = Timer::every_30_us();
    let arg = ptr::from_ref(&run).expose_provenance();
    // SAFETY: the stack is fresh and aligned, the body catches panics (SW1).
    let mut message = unsafe { start(run.home.as_ptr(), top, arg, body, 0) };
    while message == 1 {
        dirty_everything();
        // SAFETY: the coroutine has just suspended itself in `landing` (SW1).
        message = unsafe { switch(run.home.as_ptr(), run.coroutine.get(), 0, 0) };
    }
    RUN.set(ptr::null());
    drop(timer);
    assert_eq!(message, 2, "the computation failed");
    assert!(stack[..spare].iter().all(|word| *word == CANARY), "below the limit");
    (run.landed.get(), run.no_room.get(), run.deepest.get())
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: zeroes are valid; the handler has the signature for SA_SIGINFO.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            assert_eq!(libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()), 0);
        }
    });
}

struct Timer(libc::timer_t);

impl Timer {
    fn every_30_us() -> Timer {
        let mut timer = ptr::null_mut();
        let every = libc::timespec { tv_sec: 0, tv_nsec: 30_000 };
        let value = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: valid arguments; the signal has a handler; the thread deletes it before its end.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = libc::gettid();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
            assert_eq!(made, 0);
            assert_eq!(libc::timer_settime(timer, 0, &raw const value, ptr::null_mut()), 0);
        }
        Timer(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made by this thread, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

pub(super) fn survives(work: impl FnMut()) {
    let (landed, ..) = storm(STACK, None, work);
    assert!(landed >= ENOUGH, "{landed} landings");
}

#[inline(never)]
pub(super) fn interrupted_here() -> u64 {
    (0..black_box(30_000u64)).fold(0, |a, b| black_box(a ^ b))
}
