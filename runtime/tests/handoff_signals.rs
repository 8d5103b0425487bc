//! Job: what else reaches threads whose goroutines wait in the handler of a kick: signals of the user,
//!   `setgid`, forks, the end of the process.
//! Not here: that others run meanwhile (`handoff`).

mod common;

use std::collections::HashSet;
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Child, alone};
use gusty::runtime::{gomaxprocs, metrics};
use gusty::spawn;

const HOGS: usize = 6;

static SEEN: AtomicUsize = AtomicUsize::new(0);
/// The thread that ran the handler last.
static BY: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: no preconditions.
    BY.store(unsafe { libc::gettid() }, Ordering::SeqCst);
    SEEN.fetch_add(1, Ordering::SeqCst);
}

fn handle(signal: c_int, flags: c_int) {
    // SAFETY: a valid action; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | flags;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

fn fill(block: &mut [u8]) {
    for byte in 0..20 {
        // SAFETY: a buffer of that size.
        unsafe { libc::memset(block.as_mut_ptr().cast(), byte, block.len()) };
        std::hint::black_box(&block);
    }
}

/// Goroutines that compute in libc on one P until dropped, so that most of them wait in the handler.
struct Hogs {
    stop: Arc<AtomicBool>,
    left: Arc<AtomicUsize>,
}

impl Hogs {
    fn start() -> Hogs {
        gomaxprocs(1);
        let hogs = Hogs { stop: Arc::default(), left: Arc::new(AtomicUsize::new(HOGS)) };
        let begun = Arc::new(AtomicUsize::new(0));
        let before = metrics().stops;
        for _ in 0..HOGS {
            let (stop, left, begun) = (hogs.stop.clone(), hogs.left.clone(), begun.clone());
            drop(spawn(move || {
                let mut block = vec![0u8; 1 << 20];
                begun.fetch_add(1, Ordering::SeqCst);
                while !stop.load(Ordering::SeqCst) {
                    fill(&mut block);
                }
                left.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        let stops = std::env::var_os("NO_STOPS").is_none();
        while begun.load(Ordering::SeqCst) < HOGS || stops && metrics().stops < before + 10 {
            std::thread::sleep(Duration::from_micros(100));
        }
        hogs
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while self.left.load(Ordering::SeqCst) != 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

fn child(test: &'static str, scenario: fn()) {
    let _alone = alone();
    let child = Child::of(test).env("GUSTY_SLICE_US", "500");
    // No thread ends while it is looked at.
    child.env("GUSTY_THREAD_IDLE_MS", "1000000").run(scenario).succeeded();
}

/// The scheduler's threads.
fn threads() -> HashSet<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.starts_with("gusty-m")
        })
        .map(|task| task.file_name().to_str().unwrap().parse().unwrap())
        .collect()
}

fn send(tid: i32, signal: c_int) {
    // SAFETY: a signal to a thread of this process.
    assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) }, 0);
}

fn each_thread_handles(signal: c_int) {
    let _hogs = Hogs::start();
    for _ in 0..20 {
        for tid in threads() {
            let before = SEEN.load(Ordering::SeqCst);
            send(tid, signal);
            while SEEN.load(Ordering::SeqCst) == before {
                std::thread::yield_now();
            }
            assert_eq!(BY.load(Ordering::SeqCst), tid);
        }
    }
}

#[test]
fn signals_are_handled_by_threads_that_wait() {
    if !common::once() {
        return;
    }
    child("signals_are_handled_by_threads_that_wait", || {
        handle(libc::SIGALRM, libc::SA_ONSTACK);
        each_thread_handles(libc::SIGALRM);
    });
}

#[test]
fn also_on_the_goroutines_stack() {
    if !common::once() {
        return;
    }
    child("also_on_the_goroutines_stack", || {
        handle(libc::SIGUSR1, 0);
        each_thread_handles(libc::SIGUSR1);
    });
}

#[test]
fn a_profiler_runs_all_the_time() {
    if !common::once() {
        return;
    }
    child("a_profiler_runs_all_the_time", || {
        handle(libc::SIGPROF, libc::SA_ONSTACK);
        let every = libc::timeval { tv_sec: 0, tv_usec: 1_000 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        let _hogs = Hogs::start();
        // SAFETY: a valid time.
        unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut()) };
        while SEEN.load(Ordering::SeqCst) < 50 {
            spawn(gusty::yield_now).join().unwrap();
        }
    });
}

/// The kick's own signal, of others: theirs if they came first.
#[test]
fn a_handler_of_the_same_signal_from_before_is_called() {
    if !common::once() {
        return;
    }
    child("a_handler_of_the_same_signal_from_before_is_called", || {
        handle(libc::SIGURG, libc::SA_ONSTACK);
        let hogs = Hogs::start();
        let mut missing = threads();
        while !missing.is_empty() {
            // Again and again: one that comes while a kick waits to be delivered is one with it.
            missing.iter().for_each(|&tid| send(tid, libc::SIGURG));
            spawn(gusty::yield_now).join().unwrap();
            missing.remove(&BY.load(Ordering::SeqCst));
        }
        drop(hogs);
    });
}

/// One that replaces ours takes the kicks, too: Ps are taken all the same.
#[test]
fn a_handler_of_the_same_signal_from_later_does_not_stall_others() {
    if !common::once() {
        return;
    }
    // Read by the scenario, too.
    let name = "a_handler_of_the_same_signal_from_later_does_not_stall_others";
    let _alone = alone();
    let child = Child::of(name).env("GUSTY_SLICE_US", "500").env("NO_STOPS", "1");
    let ended = child.run(|| {
        gomaxprocs(1);
        handle(libc::SIGURG, libc::SA_ONSTACK);
        let _hogs = Hogs::start();
        for _ in 0..20 {
            spawn(|| gusty::sleep(Duration::from_micros(100))).join().unwrap();
        }
    });
    ended.succeeded();
}

#[test]
fn setgid_reaches_threads_that_wait() {
    if !common::once() {
        return;
    }
    child("setgid_reaches_threads_that_wait", || {
        let _hogs = Hogs::start();
        // SAFETY: no preconditions.
        let set = || unsafe { libc::setgid(libc::getgid()) };
        for _ in 0..10 {
            assert_eq!(set(), 0);
            assert_eq!(spawn(set).join().unwrap(), 0);
        }
    });
}

/// Who makes a thread holds a lock of libc's that `setgid` needs, and `setgid` waits for an answer of each
/// thread with that lock held: nobody may be stopped before it has answered.
#[test]
fn setgid_is_answered_before_anybody_is_stopped() {
    if !common::once() {
        return;
    }
    let name = "setgid_is_answered_before_anybody_is_stopped";
    let _alone = alone();
    let child = Child::of(name).env("GUSTY_SLICE_US", "100").env("GUSTY_TLS", "pthread");
    let ended = child.run(|| {
        let done = Arc::new(AtomicBool::new(false));
        let changer = std::thread::spawn({
            let done = done.clone();
            move || {
                while !done.load(Ordering::SeqCst) {
                    // SAFETY: no preconditions.
                    assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        for _ in 0..3 {
            // Each has a stack of its own, and so a thread is made for each.
            let (gate, wait) = gusty::chan::unbounded::<()>();
            let start = |_| {
                let wait = wait.clone();
                spawn(move || {
                    assert!(wait.recv().is_err());
                    (0..50_000u64).for_each(|i| _ = std::hint::black_box(i));
                })
            };
            let waiting: Vec<_> = (0..common::scaled(300)).map(start).collect();
            drop(gate);
            waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
        }
        done.store(true, Ordering::SeqCst);
        changer.join().unwrap();
    });
    ended.succeeded();
}

#[test]
fn forks_while_threads_wait() {
    if !common::once() {
        return;
    }
    fn forks() {
        for _ in 0..10 {
            // SAFETY: the child only ends.
            unsafe {
                match libc::fork() {
                    0 => libc::_exit(7),
                    pid => {
                        let mut status = 0;
                        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                        assert_eq!(libc::WEXITSTATUS(status), 7);
                    }
                }
            }
        }
    }
    child("forks_while_threads_wait", || {
        let _hogs = Hogs::start();
        forks();
        spawn(forks).join().unwrap();
        let run = || std::process::Command::new("true").status().unwrap().success();
        assert!(run() && spawn(run).join().unwrap());
    });
}

#[test]
fn the_process_ends_while_threads_wait() {
    if !common::once() {
        return;
    }
    let _alone = alone();
    let child = Child::of("the_process_ends_while_threads_wait").env("GUSTY_SLICE_US", "500");
    child.run(|| _ = std::mem::ManuallyDrop::new(Hogs::start())).succeeded();
}
