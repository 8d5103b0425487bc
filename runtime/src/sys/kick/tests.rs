//! Job: kicks of each kind at threads that compute, and at threads that do not.

use std::cell::Cell;
use std::hint::spin_loop;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::handler::SIGNAL;
use super::{Kick, Rung, install};
use crate::sys::clock;
use crate::sys::signal::AltStack;

const RUNGS: [Rung; 3] = [Rung::Perf, Rung::Timer, Rung::Tgkill];

thread_local! {
    static KICKS: Cell<u64> = const { Cell::new(0) };
    static MINE: Cell<*const Kick> = const { Cell::new(std::ptr::null()) };
}

unsafe fn on_kick(context: *mut ucontext_t) {
    assert!(!context.is_null());
    KICKS.set(KICKS.get() + 1);
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

/// Runs `test` on a thread of its own for each rung there is.
fn each_rung(test: fn(&Kick)) {
    for rung in RUNGS {
        std::thread::spawn(move || with_kick(rung, test)).join().unwrap();
    }
}

#[test]
fn a_computing_thread_is_kicked_each_time() {
    each_rung(|kick| {
        for round in 1..=20 {
            kick.arm(1_000);
            while KICKS.get() < round {
                spin_loop();
            }
        }
    });
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
    each_rung(|kick| {
        for burn_us in [20, 300, 3_000] {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        kick.arm(10_000);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
                KICKS.set(0);
                let [calls, failed, short] = hammered(burn_us, 15);
                stop.store(true, Ordering::Relaxed);
                let broken = failed + short;
                // KI3
                assert!(kick.rung() == Rung::Tgkill || broken == 0, "{broken} of {calls} calls");
            });
        }
    });
}

#[test]
fn a_disarmed_timer_does_not_fire() {
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
    child.args(["--exact", &name, "--nocapture"]).env("GUSTY_TEST_KICK", "1");
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
    if std::env::var_os("GUSTY_TEST_KICK").is_none() {
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
