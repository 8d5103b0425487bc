//! Job: report a goroutine's stack overflow, and leave every other fault to whoever handled it.
//! Layer: L0 (machine)
//! Not here: guards (`stack`), the preemption signal, who runs here (a hook answers that).
//! Invariants
//!   SG1  Up to the end of the report's first line the handler only does what is
//!        async-signal-safe: it calls no allocator and takes no lock.
//!   SG2  Once a report has begun the process ends: by the report, by a second fault in it, or by
//!        the alarm if it hangs (the overflow may have hit a holder of the allocator's lock).
//!
//! The handler runs on the M's alternate stack, as the goroutine's own has no room left. Guards made
//! by userfaultfd are felt as SIGBUS, all others as SIGSEGV.

use std::backtrace::Backtrace;
use std::fmt::{self, Write as _};
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV, c_int, c_void, siginfo_t, stack_t, ucontext_t};

use crate::stack::{self, Hit};

/// Seconds a report may take.
const REPORT_SECONDS: u32 = 3;
/// Lines of backtrace: about 20 frames.
const BACKTRACE_LINES: usize = 40;
/// An alternate stack: a backtrace takes 20 KiB of it the first time, the signal frame up to 11.
const ALT_STACK_BYTES: usize = 64 << 10;
const ALT_GUARD_BYTES: usize = 4096;

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
        // SAFETY: both structures are valid; the handler has the signature that SA_SIGINFO asks for.
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
    let mut lines = Stderr { lines_left: BACKTRACE_LINES };
    if write!(lines, "{}", Backtrace::force_capture()).is_err() {
        print(b"  ...\n");
    }
    abort();
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

/// The first line of a report, put together without allocating.
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

/// Standard error without std's lock, for so many lines and then no more.
struct Stderr {
    lines_left: usize,
}

impl fmt::Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            if self.lines_left == 0 {
                return Err(fmt::Error);
            }
            print(piece.as_bytes());
            self.lines_left -= usize::from(piece.ends_with('\n'));
        }
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

/// This OS thread's alternate signal stack, until dropped (on the same thread: it is not `Send`).
pub(crate) struct AltStack {
    base: *mut c_void,
    previous: stack_t,
    _same_thread: PhantomData<*mut ()>,
}

impl AltStack {
    const MAPPED: usize = ALT_GUARD_BYTES + ALT_STACK_BYTES;

    /// Maps one, guarded at its low end, and makes it this thread's.
    pub(crate) fn install() -> io::Result<AltStack> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::MAPPED, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let usable = base.wrapping_byte_add(ALT_GUARD_BYTES);
        let new = stack_t { ss_sp: usable, ss_flags: 0, ss_size: ALT_STACK_BYTES };
        let mut previous =
            stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the guard is the low end of the new mapping; the rest stays mapped and unused
        // for anything else until `drop` has taken it off this thread.
        let installed = unsafe {
            libc::mprotect(base, ALT_GUARD_BYTES, libc::PROT_NONE) == 0
                && libc::sigaltstack(&raw const new, &raw mut previous) == 0
        };
        if !installed {
            let error = io::Error::last_os_error();
            // SAFETY: the mapping is ours and was not installed.
            unsafe { libc::munmap(base, Self::MAPPED) };
            return Err(error);
        }
        Ok(AltStack { base, previous, _same_thread: PhantomData })
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        // SAFETY: on the thread that installed it, which is not in a signal handler: the previous
        // one takes its place and only then the mapping goes.
        unsafe {
            libc::sigaltstack(&raw const self.previous, ptr::null_mut());
            libc::munmap(self.base, Self::MAPPED);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::arch::{self, Exit};
    use crate::stack::{GuardKind, LocalCache, SizeClass, choose_guard};

    const CASE: &str = "GUSTY_TEST_FAULT";

    /// Runs `child` in a process of its own with `case`; returns the signal that ended it and
    /// what it wrote to standard error.
    fn fault(case: &str) -> (Option<i32>, String) {
        let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &name, "--nocapture"]).env(CASE, case).env("RUST_BACKTRACE", "0");
        let output = child.output().unwrap();
        (output.status.signal(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[inline(never)]
    fn recurse(depth: usize) -> usize {
        let frame = black_box([depth; 20]);
        if frame[3] == usize::MAX { 0 } else { recurse(depth + 1) + frame[7] }
    }

    #[inline(never)]
    fn huge_frame() -> u8 {
        black_box([1u8; 300_000])[7]
    }

    fn write_to(addr: usize) {
        let byte: *mut u8 = ptr::without_provenance_mut(black_box(addr));
        // SAFETY: meant to fault.
        unsafe { byte.write_volatile(1) };
    }

    unsafe extern "C" fn body(frame_kind: usize) -> Exit {
        match frame_kind {
            0 => black_box(recurse(0)),
            _ => usize::from(black_box(huge_frame())),
        };
        unreachable!("the stack did not overflow")
    }

    fn overflow(kind: GuardKind, frame_kind: usize, who: WhoHook) {
        let _alt = AltStack::install().unwrap();
        install(who);
        choose_guard(kind);
        let class = SizeClass::for_size(256 << 10).unwrap();
        let Ok(stack) = LocalCache::new(class).take(class) else {
            eprintln!("no such guard");
            return;
        };
        let mut here = 0;
        // SAFETY: the stack is new; nobody resumes this context, as the process ends.
        unsafe { arch::start(&raw mut here, stack.top(), frame_kind, body) };
    }

    fn named(hit: &Hit) -> Option<Who> {
        hit.in_guard.then_some(Who { id: 42, name: b"parser" })
    }

    extern "C" fn exit_7(_: c_int) {
        // SAFETY: no preconditions.
        unsafe { libc::_exit(7) };
    }

    /// Does nothing unless [`fault`] started this process.
    #[test]
    fn child() {
        let case = std::env::var(CASE).unwrap_or_default();
        // SAFETY: a valid handler for a signal that nobody else here handles.
        let set = |handler| unsafe { libc::signal(SIGSEGV, handler) };
        match case.as_str() {
            "recursion" => overflow(GuardKind::Auto, 0, named),
            "huge frame" => overflow(GuardKind::Auto, 1, named),
            "uffd" => overflow(GuardKind::Uffd, 0, named),
            "nobody" => overflow(GuardKind::Auto, 0, |_| None),
            "hook faults" => overflow(GuardKind::Auto, 0, |_| {
                write_to(8);
                None
            }),
            "hook hangs" => overflow(GuardKind::Auto, 0, |_| {
                loop {
                    std::hint::spin_loop();
                }
            }),
            "null" => {
                install(named);
                write_to(8);
            }
            "null, default" => {
                set(SIG_DFL);
                install(named);
                write_to(8);
            }
            "sent, default" => {
                set(SIG_DFL);
                install(named);
                // SAFETY: no preconditions.
                unsafe { libc::raise(SIGSEGV) };
            }
            "sent, ignored" => {
                set(SIG_IGN);
                install(named);
                // SAFETY: no preconditions.
                unsafe { libc::raise(SIGSEGV) };
                exit_7(0);
            }
            "own handler" => {
                set(exit_7 as *const () as usize);
                install(named);
                write_to(8);
            }
            "thread" => {
                install(named);
                black_box(recurse(0));
            }
            _ => {}
        }
    }
}
