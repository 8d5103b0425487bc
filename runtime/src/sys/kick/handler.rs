//! Job: the handler of the kick's signal: tells kicks from the same signal sent by others, who get
//!   it as if we were not there.
//! Layer: L0 (machine)
//! Invariants
//!   KH1  The handler and what it calls are async-signal-safe, and errno stays as it was.
//!   KH2  A kick is known by what only we can have put into it: the address of a static of ours, or
//!        a descriptor that one of our events has at that moment.
//!   KH3  The mask of the handler is empty. It may wait for long inside, and `setuid` in another
//!        thread waits until each thread has taken its signal.

use std::mem::offset_of;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{SIG_DFL, SIG_IGN, c_int, c_void, pid_t, siginfo_t, ucontext_t};

/// What a kick is felt as. Its default is to be ignored, nothing in a program's start-up uses it, and
/// its other meaning (urgent data on a socket) comes from the kernel in another form.
pub(super) const SIGNAL: c_int = libc::SIGURG;

/// Called for each kick, in the signal handler, on the alternate stack if the thread has one.
///
/// # Safety
/// For the handler to call, with what the kernel passed to it.
pub(crate) type Hook = unsafe fn(*mut ucontext_t);

static HOOK: OnceLock<Hook> = OnceLock::new();
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
/// Its address marks kicks.
static MARK: u8 = 0;

/// Descriptors of our events: one bit each.
static EVENTS: [AtomicU64; MOST_FDS / 64] = [const { AtomicU64::new(0) }; MOST_FDS / 64];
const MOST_FDS: usize = 65_536;

/// Installs the handler, once per process; later calls do nothing. False if the system refuses.
pub(crate) fn install(hook: Hook) -> bool {
    if HOOK.set(hook).is_err() {
        return true;
    }
    // SAFETY: zeroes are a valid `sigaction`, with an empty mask (KH3).
    let [mut old, mut new]: [libc::sigaction; 2] = unsafe { std::mem::zeroed() };
    new.sa_sigaction = on_signal as *const () as usize;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: both are valid; the handler has the signature for SA_SIGINFO. The old one is asked for
    // first, for the new one may run at once.
    unsafe {
        libc::sigaction(SIGNAL, ptr::null(), &raw mut old);
        let _ = PREVIOUS.set(old);
        libc::sigaction(SIGNAL, &raw const new, ptr::null_mut()) == 0
    }
}

/// KH1.
extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: valid on any thread; the address holds for this handler, which stays on its thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; the kernel passes a complete `siginfo_t`.
    let (saved, ours) = unsafe { (*errno, is_ours(info)) };
    match HOOK.get() {
        // SAFETY: what the kernel passed.
        Some(hook) if ours => unsafe { hook(context.cast()) },
        _ => chain(signal, info, context),
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

/// The parts of `siginfo_t` that say where a signal comes from: the kernel's layout.
#[repr(C)]
struct Info {
    signal: c_int,
    error: c_int,
    code: c_int,
    _pad: c_int,
    sender: [c_int; 2],
    origin: Origin,
    _rest: [u64; 12],
}

#[repr(C)]
union Origin {
    value: *mut c_void,
    fd: c_int,
}

const _: () = assert!(size_of::<Info>() == size_of::<siginfo_t>());
const _: () = assert!(offset_of!(Info, code) == offset_of!(siginfo_t, si_code));

/// KH2.
///
/// # Safety
/// `info` is from the kernel.
unsafe fn is_ours(info: *const siginfo_t) -> bool {
    // SAFETY: the layout is the kernel's, and the code says which member of the union is set.
    unsafe {
        let info = &*info.cast::<Info>();
        match info.code {
            libc::SI_TIMER | libc::SI_QUEUE => info.origin.value == mark(),
            // POLL_IN to POLL_HUP: from a descriptor with F_SETSIG.
            1..=6 => is_event(info.origin.fd),
            _ => false,
        }
    }
}

/// What a kick carries as its value.
pub(super) fn mark() -> *mut c_void {
    (&raw const MARK).cast_mut().cast()
}

/// Sends a kick to a thread of this process at once. One that waits already is enough for the kernel.
pub(super) fn queue(tid: pid_t) {
    let info = Info {
        signal: SIGNAL,
        error: 0,
        code: libc::SI_QUEUE,
        _pad: 0,
        sender: [0; 2], // the kernel lets a process send itself anything
        origin: Origin { value: mark() },
        _rest: [0; 12],
    };
    // SAFETY: the kernel copies the information. A thread that is gone is an error that changes nothing.
    unsafe {
        let call = libc::SYS_rt_tgsigqueueinfo;
        libc::syscall(call, libc::getpid(), tid, SIGNAL, &raw const info);
    }
}

fn bit(fd: c_int) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((EVENTS.get(fd / 64)?, 1 << (fd % 64)))
}

/// Signals from this descriptor are kicks from now on. False if there is no room for the number.
pub(super) fn own(fd: c_int) -> bool {
    // Relaxed here and below: the owner's thread gets the signals and makes the changes.
    bit(fd).map(|(word, bit)| word.fetch_or(bit, Ordering::Relaxed)).is_some()
}

/// The descriptor is about to be closed.
pub(super) fn disown(fd: c_int) {
    if let Some((word, bit)) = bit(fd) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

fn is_event(fd: c_int) -> bool {
    bit(fd).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

/// Does what would have happened without us; the default is to ignore it.
fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some(previous) = PREVIOUS.get() else { return };
    match previous.sa_sigaction {
        SIG_IGN | SIG_DFL => {}
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
            // SAFETY: SA_SIGINFO says that the word is a function of this signature.
            let handler: Handler = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO the word is a function of this signature.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
