//! Job: kicks of each kind at threads that compute, and at threads that do not.

use std::cell::Cell;
use std::hint::spin_loop;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::handler::SIGNAL;
use super::{Kick, Rung, install};
use crate::arch::{self, Exit};
use crate::sys::signal::AltStack;
use crate::sys::{clock, text};

/// Set in a process that one of these tests started.
const CHILD: &str = "GUSTY_TEST_KICK";
const RUNGS: [Rung; 3] = [Rung::Perf, Rung::Timer, Rung::Tgkill];

thread_local! {
    static STOPPED: Cell<*const Coroutine> = const { Cell::new(std::ptr::null()) };
    static KICKS: Cell<u64> = const { Cell::new(0) };
    static MINE: Cell<*const Kick> = const { Cell::new(std::ptr::null()) };
}

unsafe fn on_kick(context: *mut ucontext_t) {
    KICKS.set(KICKS.get() + 1);
    // SAFETY: null, or the coroutine of this thread; the context is the kernel's.
    unsafe {
        if let Some(coroutine) = STOPPED.get().as_ref() {
            coroutine.stop(context);
        }
    }
    // SAFETY: null, or the kick of this thread, which lives.
    if let Some(kick) = unsafe { MINE.get().as_ref() } {
        kick.fired();
    }
}

/// Makes a kick for this thread and lets `run` use it; `None` where this machine does not have it.
fn with_kick<T>(rung: Rung, run: impl FnOnce(&Kick) -> T) -> Option<T> {
    assert!(install(on_kick));
    let _alt = AltStack::install().unwrap();
    let kick = Kick::new_for_this_thread(rung);
    if kick.rung() != rung {
        return None;
    }
    MINE.set(&raw const kick);
    KICKS.set(0);
    let result = run(&kick);
    MINE.set(std::ptr::null());
    Some(result)
}

/// Runs this test, `name`, in a process of its own: in this one the scheduler may have installed its
/// handler, which comes first. True in that process.
fn is_child(name: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let name = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &name, "--nocapture"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    false
}

/// Runs `test` on a thread of its own for each rung there is.
fn each_rung(test: fn(&Kick)) {
    for rung in RUNGS {
        std::thread::spawn(move || with_kick(rung, test)).join().unwrap();
    }
}

#[test]
fn a_computing_thread_is_kicked_each_time() {
    if !is_child("a_computing_thread_is_kicked_each_time") {
        return;
    }
    each_rung(|kick| {
        for round in 1..=20 {
            kick.arm(1_000);
            while KICKS.get() < round {
                spin_loop();
            }
        }
    });
}

/// Lets `run` be kicked from another thread.
fn kicked_every_ms<T>(kick: &Kick, run: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                kick.arm(10_000);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = run();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Computes for `burn_us` and then makes a call that blocks, until there were enough kicks. Returns how
/// many calls it made, how many of them failed, and how many wrote less than they should.
fn hammered(burn_us: u64, enough: u64) -> [u64; 3] {
    let (pipe, reader) = drained_pipe();
    let block = vec![7u8; 64 << 10];
    let word = 0u32;
    let (mut calls, mut failed, mut short) = (0, 0, 0);
    while KICKS.get() < enough {
        let start = clock::now();
        while clock::now() < start + burn_us * 1_000 {
            spin_loop();
        }
        let nap = libc::timespec { tv_sec: 0, tv_nsec: 300_000 };
        // SAFETY: valid times, words and buffers; no descriptors for poll.
        let result = unsafe {
            match calls % 4 {
                0 => i64::from(libc::nanosleep(&raw const nap, std::ptr::null_mut())),
                1 => i64::from(libc::poll(std::ptr::null_mut(), 0, 1)),
                2 => match libc::syscall(
                    libc::SYS_futex,
                    &raw const word,
                    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                    0,
                    &raw const nap,
                ) {
                    -1 if *libc::__errno_location() == libc::ETIMEDOUT => 0,
                    result => result,
                },
                _ => libc::write(pipe, block.as_ptr().cast(), block.len()) as i64,
            }
        };
        failed += u64::from(result < 0);
        short += u64::from(calls % 4 == 3 && result >= 0 && result != block.len() as i64);
        calls += 1;
    }
    // SAFETY: ours, closed once; the reader's end follows.
    unsafe { libc::close(pipe) };
    reader.join().unwrap();
    [calls, failed, short]
}

/// The writing end of a pipe, and the thread that reads from it, slowly enough for writers to wait.
fn drained_pipe() -> (c_int, std::thread::JoinHandle<()>) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0u8; 16 << 10];
        // SAFETY: a buffer of that size; the descriptor is this thread's.
        while unsafe { libc::read(ends[0], buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        // SAFETY: as above.
        unsafe { libc::close(ends[0]) };
    });
    (ends[1], reader)
}

#[test]
fn calls_that_block_are_not_broken_by_kicks() {
    if !is_child("calls_that_block_are_not_broken_by_kicks") {
        return;
    }
    each_rung(|kick| {
        for burn_us in [20, 300, 3_000] {
            KICKS.set(0);
            let [calls, failed, short] = kicked_every_ms(kick, || hammered(burn_us, 15));
            let broken = failed + short;
            // KI3
            assert!(kick.rung() == Rung::Tgkill || broken == 0, "{broken} of {calls} calls");
        }
    });
}

/// What a scheduler would know of a goroutine that can be stopped in place.
struct Coroutine {
    home: Cell<usize>,
    saved: Cell<usize>,
    stack: Range<usize>,
    /// In `switch`: in the runtime, so to say.
    in_runtime: Cell<bool>,
    /// Changes under the computation's feet: no `Cell`.
    stopped: AtomicU64,
    sum: Cell<u64>,
}

impl Coroutine {
    /// # Safety
    /// For the handler, with what the kernel passed to it.
    unsafe fn stop(&self, context: *mut ucontext_t) {
        // SAFETY: the caller's promise; the stack is this coroutine's, the handler is on another.
        unsafe {
            let rip = (*context).uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
            if !self.in_runtime.get() && text::is_own(rip) {
                arch::redirect(context, self.stack.clone(), yields);
            }
        }
    }
}

extern "C" fn yields() {
    // SAFETY: only a coroutine is made to call this.
    let me = unsafe { &*STOPPED.get() };
    me.in_runtime.set(true);
    me.stopped.fetch_add(1, Ordering::Relaxed);
    // SAFETY: home saved itself when it came here, and is resumed once.
    unsafe { arch::switch(me.saved.as_ptr(), me.home.get(), 1, 0) };
    me.in_runtime.set(false);
}

unsafe extern "C" fn computes(me: usize) -> Exit {
    // SAFETY: the test keeps it alive.
    let me: &Coroutine = unsafe { &*std::ptr::with_exposed_provenance(me) };
    let mut sum = 0u64;
    let mut i = 0u64;
    // No call of anything, as far as the optimiser is concerned.
    while me.stopped.load(Ordering::Relaxed) < 20 {
        for _ in 0..1_000 {
            i += 1;
            sum = sum.wrapping_mul(31).wrapping_add(i);
        }
    }
    me.in_runtime.set(true);
    let expected = (1..=i).fold(0u64, |sum, i| sum.wrapping_mul(31).wrapping_add(i));
    me.sum.set(sum ^ expected);
    Exit { to: me.home.get(), msg: 0 }
}

#[test]
fn a_computation_is_stopped_in_place_by_each_kind_of_kick() {
    if !is_child("a_computation_is_stopped_in_place_by_each_kind_of_kick") {
        return;
    }
    assert!(arch::prepare() && text::prepare());
    each_rung(|kick| {
        let mut stack = vec![0u128; 8192];
        let range = stack.as_mut_ptr_range();
        let stack = range.start.expose_provenance()..range.end.expose_provenance();
        let me = Coroutine {
            home: Cell::new(0),
            saved: Cell::new(0),
            stack: stack.clone(),
            in_runtime: Cell::new(false),
            stopped: AtomicU64::new(0),
            sum: Cell::new(u64::MAX),
        };
        STOPPED.set(&raw const me);
        let arg = std::ptr::from_ref(&me).expose_provenance();
        kicked_every_ms(kick, || {
            // SAFETY: an empty, aligned stack; the body does not unwind.
            let mut message = unsafe { arch::start(me.home.as_ptr(), stack.end, arg, computes, 0) };
            while message == 1 {
                // SAFETY: the coroutine has just left itself in `yields`.
                message = unsafe { arch::switch(me.home.as_ptr(), me.saved.get(), 0, 0) };
            }
        });
        STOPPED.set(std::ptr::null());
        let stopped = me.stopped.load(Ordering::Relaxed);
        assert!(stopped >= 20 && me.sum.get() == 0, "{stopped}");
    });
}

#[test]
fn a_disarmed_timer_does_not_fire() {
    if !is_child("a_disarmed_timer_does_not_fire") {
        return;
    }
    std::thread::spawn(|| {
        with_kick(Rung::Timer, |kick| {
            for _ in 0..100 {
                kick.arm(3_600_000_000_000);
                kick.disarm();
            }
            let start = clock::now();
            while clock::now() < start + 20_000_000 {
                spin_loop();
            }
            assert_eq!(KICKS.get(), 0);
        })
    })
    .join()
    .unwrap();
}

#[test]
fn off_is_off_and_what_cannot_be_had_is_replaced() {
    assert_eq!(Kick::new_for_this_thread(Rung::Off).rung(), Rung::Off);
    let rung = Kick::new_for_this_thread(Rung::Perf).rung();
    assert!(matches!(rung, Rung::Perf | Rung::Timer | Rung::Off), "never a plain signal: {rung:?}");
}

#[test]
fn signals_of_others_go_to_their_handler() {
    let name = format!("{}::child", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &name, "--nocapture"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

/// Does nothing unless the test above started this process.
#[test]
fn child() {
    static THEIRS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn theirs(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
        assert!(!info.is_null());
        THEIRS.fetch_add(1, Ordering::Relaxed);
    }
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // SAFETY: a valid action for a signal that nobody else handles here.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = theirs as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut());
    }
    with_kick(Rung::Tgkill, |kick| {
        // SAFETY: the signal has a handler; the value is no kick's.
        unsafe {
            libc::raise(SIGNAL);
            libc::kill(libc::getpid(), SIGNAL);
            let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
            libc::pthread_sigqueue(libc::pthread_self(), SIGNAL, value);
        }
        while THEIRS.load(Ordering::Relaxed) < 3 {
            std::thread::yield_now();
        }
        assert_eq!(KICKS.get(), 0);
        kick.arm(0);
        while KICKS.get() == 0 {
            spin_loop();
        }
        assert_eq!(THEIRS.load(Ordering::Relaxed), 3);
    });
    std::process::exit(7);
}
