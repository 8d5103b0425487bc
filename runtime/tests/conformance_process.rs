//! Job: rows of Go's own tests that need a process of their own: what a process is started with, how
//!   it dies, signals.

mod common;

use common::{Child, until};
use gusty::runtime::{gomaxprocs, num_cpu};
use gusty::{chan, go, select, spawn, yield_now};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ALL_PROCS: [usize; 5] = [1, 2, 4, 8, 64];

/// `SIGUSR1` ends system calls and does nothing else.
fn harmless_signals() {
    static HITS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn hit(_: libc::c_int) {
        HITS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: an all-zero sigaction is valid; the handler only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = hit as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK; // no SA_RESTART
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Row 37 (TestTimerFairness2): as row 36, with a system call in each round of the busy ones.
#[test]
fn row_37_a_timer_fires_between_system_calls() {
    for procs in [1, 2, 4] {
        let test = "row_37_a_timer_fires_between_system_calls";
        let ended = Child::of(test).env("GOMAXPROCS", procs).run(|| {
            let (tx, rx) = chan::bounded::<()>(1);
            let (stop, stopped) = chan::bounded::<()>(0);
            go!(move || rx.iter().for_each(drop));
            let busy = |_| {
                let (tx, stopped) = (tx.clone(), stopped.clone());
                spawn(move || {
                    loop {
                        // SAFETY: one microsecond, and nobody asks what is left.
                        assert_eq!(unsafe { libc::usleep(1) }, 0);
                        select! {
                            recv(stopped) -> _ => return,
                            send(tx, ()) -> _ => {}
                        }
                    }
                })
            };
            let all: Vec<_> = (0..2).map(busy).collect();
            spawn(|| gusty::sleep(Duration::from_millis(20))).join().unwrap();
            drop(stop);
            all.into_iter().for_each(|one| one.join().unwrap());
        });
        ended.succeeded();
    }
}

/// Row 53 (TestBigGOMAXPROCS): 1024 Ps.
#[test]
fn row_53_as_many_ps_as_there_may_be() {
    let test = "row_53_as_many_ps_as_there_may_be";
    let ended = Child::of(test).env("GOMAXPROCS", 1024).run(|| {
        assert_eq!(gomaxprocs(0), 1024);
        let all: Vec<_> = (0..3000)
            .map(|i| {
                spawn(move || {
                    yield_now();
                    i
                })
            })
            .collect();
        assert!(all.into_iter().map(|one| one.join().unwrap()).eq(0..3000));
    });
    ended.succeeded();
}

/// Row 57 (TestSpuriousWakeupsNeverHangSemasleep): signals neither hang nor end the waits of threads
/// and goroutines.
#[test]
fn row_57_signals_leave_waits_alone() {
    for procs in ALL_PROCS {
        let test = "row_57_signals_leave_waits_alone";
        let ended = Child::of(test).env("GOMAXPROCS", procs).run(|| {
            harmless_signals();
            let stop = AtomicBool::new(false);
            // SAFETY: no preconditions.
            let thread = unsafe { libc::pthread_self() };
            std::thread::scope(|s| {
                s.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        // SAFETY: that thread waits for this one to end; signals to the process.
                        unsafe {
                            libc::pthread_kill(thread, libc::SIGUSR1);
                            libc::kill(libc::getpid(), libc::SIGUSR1);
                        }
                        std::thread::sleep(Duration::from_micros(20));
                    }
                });
                let (tx, rx) = chan::bounded::<u32>(0);
                let theirs = rx.clone();
                let waits = |rx: &chan::Receiver<u32>| {
                    let timeout = Duration::from_millis(5);
                    (0..4).all(|_| rx.recv_timeout(timeout).is_err_and(|e| e.is_timeout()))
                };
                let goroutine = spawn(move || waits(&theirs));
                assert!(waits(&rx) && goroutine.join().unwrap());
                let sender = spawn(move || tx.send(7).unwrap());
                assert_eq!(rx.recv(), Ok(7));
                sender.join().unwrap();
                stop.store(true, Ordering::SeqCst);
            });
        });
        ended.succeeded();
    }
}

fn one_cpu() {
    // SAFETY: the set outlives the calls, and an all-zero one is empty.
    unsafe {
        let size = size_of::<libc::cpu_set_t>();
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size, &raw mut set), 0);
        let first = (0..1024).find(|&cpu| libc::CPU_ISSET(cpu, &set)).expect("it runs somewhere");
        libc::CPU_ZERO(&mut set);
        libc::CPU_SET(first, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size, &raw const set), 0);
    }
}

/// Row 59 (TestCgroupGOMAXPROCS): the default follows the affinity, the variable overrides it, a call
/// overrides both.
#[test]
fn row_59_where_the_number_of_ps_comes_from() {
    let test = "row_59_where_the_number_of_ps_comes_from";
    for (variable, expected) in [("", 1), ("3", 3)] {
        let ended =
            Child::of(test).env("GOMAXPROCS", variable).env("EXPECTED", expected).run(|| {
                one_cpu();
                let expected: usize = std::env::var("EXPECTED").unwrap().parse().unwrap();
                assert_eq!((num_cpu(), gomaxprocs(0)), (1, expected));
                assert_eq!(gomaxprocs(5), expected);
                assert_eq!(spawn(|| gomaxprocs(0)).join().unwrap(), 5);
            });
        ended.succeeded();
    }
}

mod main_of_row_67 {
    #[gusty::main]
    pub(super) fn main() {
        for _ in 0..8 {
            gusty::go!(|| loop {
                gusty::yield_now();
            });
        }
        (0..10).for_each(|_| gusty::yield_now());
        panic!("the last words of main");
    }
}

/// Row 67 (TestPanicDeadlockGosched): a panic of main is printed and ends the process although others
/// yield without end.
#[test]
fn row_67_main_panics_among_those_that_yield() {
    for procs in ALL_PROCS {
        let test = "row_67_main_panics_among_those_that_yield";
        let ended = Child::of(test).env("GOMAXPROCS", procs).run(main_of_row_67::main);
        ended.exited(101).says(&["the last words of main"]);
        assert_eq!(ended.count("the last words of main"), 1, "{}", ended.stderr);
    }
}

mod main_of_row_67_syscall {
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[gusty::main]
    pub(super) fn main() {
        static HERE: AtomicUsize = AtomicUsize::new(0);
        for _ in 0..8 {
            gusty::go!(|| {
                HERE.fetch_add(1, Ordering::SeqCst);
                loop {
                    std::thread::sleep(std::time::Duration::from_secs(3600));
                }
            });
        }
        while HERE.load(Ordering::SeqCst) < 8 {
            gusty::yield_now();
        }
        panic!("the last words of main");
    }
}

/// Row 67 (TestPanicDeadlockSyscall): and although others block in system calls.
#[test]
fn row_67_main_panics_among_those_that_block() {
    for procs in ALL_PROCS {
        let test = "row_67_main_panics_among_those_that_block";
        let ended = Child::of(test).env("GOMAXPROCS", procs).run(main_of_row_67_syscall::main);
        ended.exited(101).says(&["the last words of main"]);
        assert_eq!(ended.count("the last words of main"), 1, "{}", ended.stderr);
    }
}

/// Row 74 (TestSignalExitStatus): a signal that is fatal is what the process dies of, under load too.
#[test]
fn row_74_a_fatal_signal_is_the_status() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGKILL] {
        let test = "row_74_a_fatal_signal_is_the_status";
        let ended = Child::of(test).env("SIGNAL", signal).run(|| {
            for _ in 0..8 {
                go!(|| loop {
                    yield_now();
                });
            }
            let signal = std::env::var("SIGNAL").unwrap().parse().unwrap();
            // SAFETY: no preconditions.
            unsafe { libc::kill(libc::getpid(), signal) };
            gusty::park();
            unreachable!("nobody unparks it");
        });
        ended.killed_by(signal);
    }
}

/// Row 74 (TestSignalDuringExec): programs are started while signals come in.
#[test]
fn row_74_programs_start_in_a_storm_of_signals() {
    for procs in [1, 4] {
        let test = "row_74_programs_start_in_a_storm_of_signals";
        let ended = Child::of(test).env("GOMAXPROCS", procs).run(|| {
            harmless_signals();
            let stop = Arc::new(AtomicBool::new(false));
            let seen = stop.clone();
            let storm = std::thread::spawn(move || {
                while !seen.load(Ordering::SeqCst) {
                    // SAFETY: no preconditions.
                    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
                    std::thread::sleep(Duration::from_micros(50));
                }
            });
            let programs = |_| {
                spawn(|| (0..5).all(|_| Command::new("true").status().is_ok_and(|s| s.success())))
            };
            let all: Vec<_> = (0..8).map(programs).collect();
            until(|| all.iter().all(|one| one.is_finished()));
            assert!(all.into_iter().all(|one| one.join().unwrap()));
            stop.store(true, Ordering::SeqCst);
            storm.join().unwrap();
        });
        ended.succeeded();
    }
}
