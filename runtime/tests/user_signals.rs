//! Job: signals that the program handles itself arrive while its goroutines compute and are stopped
//!   every 100 us.

mod common;
mod slices;

use std::hint::black_box;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Child, until};
use libc::{SIGALRM, SIGPROF, SIGURG, c_int};
use slices::{Spinners, preempted, sliced};

static ARRIVED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn arrives(_: c_int) {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
}

/// Counts `signal` in [`ARRIVED`], with these flags.
fn handle(signal: c_int, flags: c_int) {
    // SAFETY: an all-zero sigaction is valid; the handler only counts.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = arrives as extern "C" fn(c_int) as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &raw const action, null_mut()), 0);
    }
}

fn arrived() -> usize {
    ARRIVED.load(Ordering::Relaxed)
}

/// Sends `signal` to the process and waits for it, so many times.
fn send_each(signal: c_int, times: usize) {
    for _ in 0..times {
        let before = arrived();
        // SAFETY: the signal is handled.
        assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
        until(|| arrived() > before);
    }
}

fn everywhere(test: &'static str, scenario: impl Fn()) {
    sliced(test, &[1, 2, 4], scenario);
}

#[test]
fn sigurg_handled_before_the_runtime_starts() {
    for procs in [1, 2, 4] {
        let child = Child::of("sigurg_handled_before_the_runtime_starts");
        let ended = child.env("GOMAXPROCS", procs).env("GUSTY_SLICE_US", 100).run(|| {
            handle(SIGURG, libc::SA_RESTART);
            if !gusty::runtime::features().tls.is_own() {
                return; // nobody is stopped
            }
            let spinners = Spinners::new(6);
            preempted(20);
            assert_eq!(arrived(), 0, "kicks are not for the program");
            send_each(SIGURG, 20);
            assert_eq!(arrived(), 20);
            spinners.run_on();
        });
        ended.succeeded();
    }
}

/// Whoever replaces the handler gets the kicks, too, and nothing is stopped in place any more; but
/// everybody gets on, and the signal arrives.
#[test]
fn sigurg_handled_after_the_runtime_has_started() {
    everywhere("sigurg_handled_after_the_runtime_has_started", || {
        let procs = gusty::runtime::gomaxprocs(0);
        let spinners = Spinners::new(procs.saturating_sub(1));
        handle(SIGURG, libc::SA_RESTART);
        send_each(SIGURG, 20);
        for _ in 0..20 {
            gusty::spawn(gusty::yield_now).join().unwrap();
        }
        spinners.run_on();
    });
}

#[test]
fn sigalrm_of_a_timer() {
    everywhere("sigalrm_of_a_timer", || {
        handle(SIGALRM, libc::SA_RESTART);
        let spinners = Spinners::new(6);
        let every_ms = libc::timeval { tv_sec: 0, tv_usec: 1_000 };
        let timer = libc::itimerval { it_interval: every_ms, it_value: every_ms };
        // SAFETY: a valid time; then never. The signal is handled.
        unsafe { assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()), 0) };
        until(|| arrived() >= 20);
        spinners.run_on();
        // SAFETY: as above.
        unsafe {
            let never: libc::itimerval = zeroed();
            libc::setitimer(libc::ITIMER_REAL, &raw const never, null_mut());
        }
    });
}

/// As sampling profilers do it: on the stack of whoever computes, and with a look at where that is.
#[test]
fn sigprof_of_a_profiler() {
    extern "C" fn sample(_: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        assert!(!info.is_null());
        let context: *const libc::ucontext_t = context.cast();
        // SAFETY: the kernel passes a valid context to a handler with SA_SIGINFO.
        let rip = unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] };
        assert_ne!(black_box(rip), 0);
        ARRIVED.fetch_add(1, Ordering::Relaxed);
    }
    for flags in [0, libc::SA_ONSTACK] {
        let test = "sigprof_of_a_profiler";
        let mine = std::env::var("GUSTY_ON_STACK").map_or(flags, |mine| mine.parse().unwrap());
        if mine != flags {
            continue;
        }
        let child = Child::of(test).env("GUSTY_ON_STACK", flags).env("GOMAXPROCS", 2);
        let ended = child.env("GUSTY_SLICE_US", 100).run(|| {
            // SAFETY: a handler with the signature for SA_SIGINFO, which is async-signal-safe; a
            // valid time, then never.
            unsafe {
                let mut action: libc::sigaction = zeroed();
                action.sa_sigaction = sample as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | flags;
                assert_eq!(libc::sigaction(SIGPROF, &raw const action, null_mut()), 0);
                let every_ms = libc::timeval { tv_sec: 0, tv_usec: 1_000 };
                let timer = libc::itimerval { it_interval: every_ms, it_value: every_ms };
                assert_eq!(libc::setitimer(libc::ITIMER_PROF, &raw const timer, null_mut()), 0);
            }
            let spinners = Spinners::new(6);
            until(|| arrived() >= 20);
            spinners.run_on();
            // SAFETY: as above.
            unsafe {
                let never: libc::itimerval = zeroed();
                libc::setitimer(libc::ITIMER_PROF, &raw const never, null_mut());
            }
        });
        ended.succeeded();
    }
}
