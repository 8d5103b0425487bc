//! Job: what a watchdog wants to know of another thread: how long it has computed, and whether it
//!   could compute now or is asleep in the kernel.
//! Layer: L0 (machine)
//! Not here: what follows from it (`gusty_sysmon`).
//! Invariants
//!   CP1  Nothing here allocates or takes a lock of the process: it works while the thread is stopped in
//!        `malloc`, and in a signal handler (which restores errno).
//!
//! Measured (Linux 6.18, 2.5 GHz): the clock takes 0.2 us of a sleeping thread, 0.4 of a running one;
//! the state 1 us, its first look 6 us more. Both name a thread by its kernel id, which is reused: ask
//! only about threads that live.

use std::cell::Cell;
use std::io::Write;

use libc::{c_int, clockid_t, pid_t};

use super::clock::Nanos;

/// The kernel's id of the calling thread.
pub(crate) fn this_thread() -> pid_t {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

/// The CPU-time clock of a thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadClock(clockid_t);

impl ThreadClock {
    /// Of the thread with this id.
    pub(crate) fn of(tid: pid_t) -> ThreadClock {
        // The kernel's encoding: the complement of the id, "of a thread", "as scheduled".
        const OF_THREAD: clockid_t = 4;
        const AS_SCHEDULED: clockid_t = 2;
        ThreadClock(!tid << 3 | OF_THREAD | AS_SCHEDULED)
    }

    /// CPU time that the thread has used, in nanoseconds; `None` if there is no such thread.
    pub(crate) fn now(self) -> Option<Nanos> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return None;
        }
        let (sec, nsec) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
        Some(sec * 1_000_000_000 + nsec)
    }
}

/// What the kernel says of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// On a processor, or waiting for one.
    Runnable,
    /// Asleep in a system call or a page fault.
    Asleep,
    /// The kernel does not say, or the thread is gone.
    Unknown,
}

/// Tells a sleeping thread from one that waits for a processor, for which the clock stands, too.
/// Keeps a descriptor from the first question on. Has one user at a time: the watchdog keeps those of
/// threads that it suspects; who asks once, in a signal handler for one, makes its own.
#[derive(Debug)]
pub(crate) struct ThreadState {
    tid: pid_t,
    fd: Cell<c_int>,
}

/// No question has been asked.
const UNOPENED: c_int = -1;
/// The file cannot be opened.
const REFUSED: c_int = -2;

impl ThreadState {
    /// Of the thread with this id.
    pub(crate) fn of(tid: pid_t) -> ThreadState {
        ThreadState { tid, fd: Cell::new(UNOPENED) }
    }

    /// Asks the kernel, by a system call, the first time by two (CP1). Without a descriptor to be had the
    /// answer is `Unknown`.
    pub(crate) fn now(&self) -> Activity {
        if self.fd.get() == UNOPENED {
            self.fd.set(open(self.tid));
        }
        // The first field is `running`, or the number of the system call, or -1 for a fault.
        let mut first = [0u8; 1];
        // SAFETY: one byte of room; a descriptor that is not open is an error like others.
        let got = unsafe { libc::pread(self.fd.get(), first.as_mut_ptr().cast(), 1, 0) };
        match (got, first[0]) {
            (1, b'r') => Activity::Runnable,
            (1, b'0'..=b'9' | b'-') => Activity::Asleep,
            _ => Activity::Unknown,
        }
    }
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        let fd = self.fd.get();
        if fd >= 0 {
            // SAFETY: ours, closed once.
            unsafe { libc::close(fd) };
        }
    }
}

fn open(tid: pid_t) -> c_int {
    let mut path = [0u8; 48];
    // Fits, and leaves a zero at the end: an id has at most 10 digits.
    let _ = write!(&mut path[..47], "/proc/self/task/{tid}/syscall");
    // SAFETY: a string that ends in a zero.
    let fd = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 { REFUSED } else { fd }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::spin_loop;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    /// Tells the computing thread to rest when the test is over, however.
    struct Rests<'a>(&'a AtomicBool);

    impl Drop for Rests<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed); // the thread looks for it
        }
    }

    #[test]
    fn a_computing_thread_and_a_sleeping_one_are_told_apart() {
        let (tell, told) = channel();
        let (wake, woken) = channel::<()>();
        let rest = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let rest = &rest;
            scope.spawn(move || {
                tell.send(this_thread()).unwrap();
                while !rest.load(Ordering::Relaxed) {
                    spin_loop();
                }
                let _ = woken.recv();
            });
            let wake = wake; // dropped by a panic here, or the scope would wait for ever
            let _rests = Rests(rest);
            let tid = told.recv().unwrap();
            let (clock, state) = (ThreadClock::of(tid), ThreadState::of(tid));
            let before = clock.now().expect("the thread lives");
            while clock.now().expect("the thread lives") < before + 1_000_000 {}
            assert_eq!(state.now(), Activity::Runnable);
            rest.store(true, Ordering::Relaxed);
            while state.now() != Activity::Asleep {
                std::thread::yield_now();
            }
            // Going to sleep may still be on its account for a moment.
            let stands = || {
                let asleep = clock.now();
                (0..50).for_each(|_| std::thread::yield_now());
                clock.now() == asleep
            };
            while !stands() {}
            wake.send(()).unwrap();
        });
    }

    #[test]
    fn a_thread_that_is_gone_is_an_answer_too() {
        let tid = std::thread::spawn(this_thread).join().unwrap();
        let (clock, state) = (ThreadClock::of(tid), ThreadState::of(tid));
        // The join waits for the kernel's own mark, which comes a little before the end.
        while clock.now().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(state.now(), Activity::Unknown);
        assert_eq!(state.now(), Activity::Unknown);
    }
}
