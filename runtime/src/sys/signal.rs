//! Job: report a goroutine's stack overflow, and leave every other fault to whoever handled it.
//! Layer: L0 (machine)
//! Not here: guards (`stack`), the preemption signal, who runs here (a hook answers that).
//! Invariants
//!   SG1  Up to the end of the report's first lines the handler only does what is
//!        async-signal-safe: it calls no allocator and takes no lock.
//!   SG2  Once a report has begun the process ends: by the report, by a second fault in it, or by
//!        the alarm if it hangs (the overflow may have hit a holder of the allocator's lock).
//!
//! The handler runs on the M's alternate stack, as the goroutine's own has no room left. Guards
//! made by userfaultfd are felt as SIGBUS, all others as SIGSEGV.

mod altstack;
#[cfg(test)]
mod tests;

pub(crate) use altstack::AltStack;

use std::backtrace::Backtrace;
use std::fmt::{self, Write as _};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV, c_int, c_void, siginfo_t, ucontext_t};

use crate::stack::{self, Hit};

/// Seconds a report may take; reading symbols on a busy machine takes some.
const REPORT_SECONDS: u32 = 10;
/// Most frames of the overflowed stack that a report shows.
const FRAMES: usize = 20;

/// The goroutine that overflowed.
#[derive(Clone, Copy)]
pub(crate) struct Who {
    pub(crate) id: u64,
    /// May be empty. `'static` because the process ends before its owner does.
    pub(crate) name: &'static [u8],
}

/// Tells who runs on this thread, on the stack that was hit. Called in the signal handler: it must
/// be async-signal-safe.
pub(crate) type WhoHook = fn(&Hit) -> Option<Who>;

static WHO: OnceLock<WhoHook> = OnceLock::new();
static PREVIOUS: [(c_int, OnceLock<libc::sigaction>); 2] =
    [(SIGSEGV, OnceLock::new()), (SIGBUS, OnceLock::new())];
/// Kernel thread that reports; 0 while nobody does.
static REPORTER: AtomicI32 = AtomicI32::new(0);

/// Installs the handlers, once per process; later calls do nothing.
pub(crate) fn install(who: WhoHook) {
    if WHO.set(who).is_err() {
        return;
    }
    for (signal, previous) in &PREVIOUS {
        let (mut old, mut new) = (no_action(), no_action());
        new.sa_sigaction = on_fault as *const () as usize;
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both structures are valid; the handler has the signature for SA_SIGINFO.
        unsafe {
            // Nothing may interrupt it, above all not the preemption signal.
            libc::sigfillset(&raw mut new.sa_mask);
            // Asked for first: the new handler may run as soon as it is installed.
            libc::sigaction(*signal, ptr::null(), &raw mut old);
            let _ = previous.set(old);
            libc::sigaction(*signal, &raw const new, ptr::null_mut());
        }
    }
}

fn no_action() -> libc::sigaction {
    // SAFETY: zeroes are a valid `sigaction`: SIG_DFL, no flags, an empty mask.
    unsafe { std::mem::zeroed() }
}

/// The handler (SG1).
extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    if REPORTER.load(Ordering::Relaxed) == this_thread() {
        abort(); // the report itself faulted (SG2)
    }
    // SAFETY: the kernel passes a valid `siginfo_t`.
    let (addr, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
    // Only a positive code is a fault, and comes with an address.
    if code > 0
        && let Some(hit) = stack::find(addr).filter(|hit| hit.in_guard)
    {
        report(&hit, context.cast());
    }
    chain(signal, info, context);
}

/// Does what would have happened without us.
fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.iter().find(|entry| entry.0 == signal).and_then(|entry| entry.1.get());
    let Some(previous) = previous else { return };
    // SAFETY: the kernel passes a valid `siginfo_t`.
    let sent = unsafe { (*info).si_code } <= 0;
    match previous.sa_sigaction {
        SIG_IGN if sent => {}
        SIG_DFL | SIG_IGN => {
            // The fault repeats on return; a sent signal has to be sent again.
            let default = no_action();
            // SAFETY: the action is valid.
            unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
            if sent {
                // SAFETY: no preconditions. It stays pending until the handler returns.
                unsafe { libc::raise(signal) };
            }
        }
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

fn report(hit: &Hit, context: *const ucontext_t) -> ! {
    let (mine, relaxed) = (this_thread(), Ordering::Relaxed);
    if REPORTER.compare_exchange(0, mine, relaxed, relaxed).is_err() {
        loop {
            // Another thread reports and will end the process.
            // SAFETY: no preconditions.
            unsafe { libc::pause() };
        }
    }
    limit_report();
    let who = WHO.get().and_then(|who| who(hit));
    // SAFETY: the kernel passes a valid context to an SA_SIGINFO handler.
    let registers = unsafe { &(*context).uc_mcontext.gregs };
    let [ip, sp] = [libc::REG_RIP, libc::REG_RSP].map(|r| registers[r as usize] as usize);
    Line::overflow(who, hit.class.kib(), ip, sp).print();
    // From here on allocation is tried; SG2 is what makes that acceptable.
    let cut = cut_stack(hit);
    let _ = write!(Stderr, "{}", Backtrace::force_capture());
    print(if cut { b"  ... and its callers\n" } else { b"" });
    abort();
}

/// Ends the overflowed stack after [`FRAMES`] frames; false if it has fewer. A deep recursion has
/// millions, and std would look up the name of each before it shows the first.
fn cut_stack(hit: &Hit) -> bool {
    #[repr(C)]
    struct Walk {
        stack_base: usize,
        stack_top: usize,
        frames_left: usize,
    }
    unsafe extern "C-unwind" {
        fn _Unwind_Backtrace(
            step: extern "C" fn(*mut c_void, &mut Walk) -> c_int,
            walk: &mut Walk,
        ) -> c_int;
        fn _Unwind_GetCFA(frame: *mut c_void) -> usize;
    }
    extern "C" fn step(frame: *mut c_void, walk: &mut Walk) -> c_int {
        // The stack pointer right before the call that this frame is in the middle of.
        // SAFETY: the unwinder passes a valid frame.
        let cfa = unsafe { _Unwind_GetCFA(frame) };
        if !(walk.stack_base..walk.stack_top).contains(&cfa) {
            return 0;
        }
        walk.frames_left -= 1;
        if walk.frames_left == 0 {
            // That call pushed its return address; unwinding ends at an address of 0.
            let return_address =
                ptr::with_exposed_provenance_mut::<usize>(cfa - size_of::<usize>());
            // SAFETY: a word of the overflowed stack, on which nothing runs any more (SG2).
            unsafe { return_address.write_volatile(0) };
        }
        c_int::from(walk.frames_left == 0)
    }
    let mut walk = Walk {
        stack_base: hit.stack_base + stack::GUARD_BYTES + size_of::<usize>(),
        stack_top: hit.stack_base + hit.class.stride(),
        frames_left: FRAMES,
    };
    // SAFETY: `step` has the right signature, and stops the walk before it runs out of frames.
    unsafe { _Unwind_Backtrace(step, &mut walk) };
    walk.frames_left == 0
}

/// Sees to SG2: a hang and a second fault both end in `abort`.
fn limit_report() {
    extern "C" fn on_alarm(_: c_int) {
        abort();
    }
    let mut action = no_action();
    action.sa_sigaction = on_alarm as *const () as usize;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the action is valid, its handler has the right signature; the set is initialised.
    unsafe {
        libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut());
        let mut open: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut open);
        for signal in [SIGSEGV, SIGBUS, libc::SIGALRM] {
            libc::sigaddset(&raw mut open, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const open, ptr::null_mut());
        libc::alarm(REPORT_SECONDS);
    }
}

/// The first lines of a report, put together without allocating.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    /// Most bytes of a name that are shown.
    const NAME: usize = 96;

    fn overflow(who: Option<Who>, kib: usize, ip: usize, sp: usize) -> Line {
        let mut line = Line { bytes: [0; 256], len: 0 };
        line.push(b"\ngoroutine");
        if let Some(Who { id, name }) = who {
            let _ = write!(line, " {id}");
            if !name.is_empty() {
                line.push(b" [");
                line.push(&name[..name.len().min(Self::NAME)]);
                line.push(b"]");
            }
        }
        let _ = write!(line, ": stack overflow ({kib} KiB)\n  at ip {ip:#x}, sp {sp:#x}\n");
        line
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len += fits;
    }

    fn print(&self) {
        print(&self.bytes[..self.len]);
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Standard error without std's lock.
struct Stderr;

impl fmt::Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        print(text.as_bytes());
        Ok(())
    }
}

fn print(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: a valid slice; async-signal-safe.
        let wrote = unsafe { libc::write(2, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(wrote) {
            Ok(count) if count > 0 => bytes = &bytes[count..],
            _ => return,
        }
    }
}

/// Number of this thread in the kernel; never 0.
fn this_thread() -> i32 {
    // SAFETY: no preconditions; async-signal-safe.
    unsafe { libc::gettid() }
}

fn abort() -> ! {
    // SAFETY: no preconditions; async-signal-safe.
    unsafe { libc::abort() }
}
