//! Job: while a goroutine is in a call that blocks its thread every other one runs on, computing or
//!   not, and neither kicks nor the loss of its P show in what the call returns.
//! Not here: which calls (`blocking`), many calls under many kicks (`hammer`).

mod common;
mod slices;

use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::until;
use gusty::{spawn, yield_now};
use slices::{Spinners, sliced_by};

/// Goroutines of every kind that count what they do, one P for all.
struct Others {
    spinners: Spinners,
    stop: Arc<AtomicBool>,
    turns: Arc<[AtomicUsize; 4]>,
    handles: Vec<gusty::JoinHandle<()>>,
}

impl Others {
    fn new() -> Others {
        let stop = Arc::new(AtomicBool::new(false));
        let turns: Arc<[AtomicUsize; 4]> = Arc::default();
        let (ping, pong) = gusty::chan::bounded(0);
        let bodies: [Box<dyn FnMut() + Send>; 4] = [
            Box::new(yield_now),
            Box::new(|| gusty::sleep(Duration::from_micros(100))),
            Box::new(move || _ = ping.send_timeout((), Duration::from_millis(5))),
            Box::new(move || _ = pong.recv_timeout(Duration::from_millis(5))),
        ];
        let start = |(i, mut body): (usize, Box<dyn FnMut() + Send>)| {
            let (stop, turns) = (stop.clone(), turns.clone());
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    body();
                    turns[i].fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let handles = bodies.into_iter().enumerate().map(start).collect();
        Others { spinners: Spinners::new(2), stop, turns, handles }
    }

    /// Waits until every one of them has got on, twice: what it was about to do anyway does not count.
    fn run_on(&self) {
        let now = || self.turns.iter().map(|turns| turns.load(Ordering::Relaxed));
        let before: Vec<usize> = now().collect();
        until(|| now().zip(&before).all(|(now, before)| now > before + 1));
        self.spinners.run_on();
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.spinners);
        self.handles.into_iter().for_each(|handle| handle.join().unwrap());
    }
}

/// Runs `block` on a goroutine among others, on one P, and `release`, which ends it, once these have
/// got on meanwhile.
fn among_others<R>(block: impl FnOnce() + Send + 'static, release: impl FnOnce() -> R) -> R {
    let others = Others::new();
    let state = Arc::new(AtomicUsize::new(0));
    let theirs = state.clone();
    let blocked = spawn(move || {
        theirs.store(1, Ordering::SeqCst);
        block();
        theirs.store(2, Ordering::SeqCst);
        yield_now();
        let (tx, rx) = gusty::chan::bounded(0);
        let sender = spawn(move || tx.send(5).unwrap());
        assert_eq!(rx.recv(), Ok(5));
        sender.join().unwrap();
    });
    until(|| state.load(Ordering::SeqCst) == 1);
    others.run_on();
    assert_eq!(state.load(Ordering::SeqCst), 1, "the call did not wait for its end");
    let released = release();
    blocked.join().unwrap();
    others.run_on();
    others.end();
    released
}

/// In a child process with one P and slices of 1 ms.
fn on_one_p(test: &'static str, scenario: impl Fn()) {
    sliced_by(test, &[1], 1_000, "auto", scenario);
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are owned from here on.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

/// One `read` of libc; what it got.
fn read(fd: &OwnedFd, room: usize) -> Vec<u8> {
    let mut buffer = vec![0u8; room];
    // SAFETY: room for as many bytes as are asked for.
    let got = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), room) };
    buffer.truncate(usize::try_from(got).unwrap_or_else(|_| panic!("{}", Error::last_os_error())));
    buffer
}

/// One `write` of libc, which must write everything.
fn write(fd: &OwnedFd, bytes: &[u8]) {
    // SAFETY: as many bytes as are passed.
    let got = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(usize::try_from(got), Ok(bytes.len()), "{}", Error::last_os_error());
}

#[test]
fn a_read_from_an_empty_pipe() {
    if !common::once() {
        return;
    }
    on_one_p("a_read_from_an_empty_pipe", || {
        let (from, to) = pipe();
        among_others(move || assert_eq!(read(&from, 8), b"x"), move || write(&to, b"x"));
    });
}

#[test]
fn a_write_to_a_full_pipe_is_complete() {
    if !common::once() {
        return;
    }
    on_one_p("a_write_to_a_full_pipe_is_complete", || {
        const BYTES: usize = 1 << 20;
        let (from, to) = pipe();
        let release = move || {
            let mut left = BYTES;
            while left != 0 {
                left -= read(&from, 4 << 10).len();
                yield_now();
            }
        };
        among_others(move || write(&to, &vec![7; BYTES]), release);
    });
}

#[test]
fn a_lock_on_a_file_held_elsewhere() {
    if !common::once() {
        return;
    }
    on_one_p("a_lock_on_a_file_held_elsewhere", || {
        let path = std::env::temp_dir().join(format!("gusty-others-{}", std::process::id()));
        let [ours, theirs] = [(); 2].map(|()| {
            std::fs::OpenOptions::new().create(true).append(true).open(&path).expect("a file")
        });
        theirs.lock().unwrap();
        among_others(move || ours.lock().unwrap(), move || theirs.unlock().unwrap());
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_std_mutex_held_elsewhere() {
    if !common::once() {
        return;
    }
    on_one_p("a_std_mutex_held_elsewhere", || {
        let mutex = Arc::new(Mutex::new(()));
        let theirs = mutex.clone();
        let guard = mutex.lock().unwrap();
        among_others(move || drop(theirs.lock().unwrap()), move || drop(guard));
    });
}

#[test]
fn the_end_of_a_child_process() {
    if !common::once() {
        return;
    }
    on_one_p("the_end_of_a_child_process", || {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let input = child.stdin.take();
        let block = move || assert!(child.wait().unwrap().success());
        among_others(block, move || drop(input));
    });
}

/// For ever, as far as this test is concerned, until a signal of ours ends them: but for that they
/// would return something else.
#[test]
fn sleeps_of_libc() {
    if !common::once() {
        return;
    }
    extern "C" fn ends_the_sleep(_: libc::c_int) {}
    on_one_p("sleeps_of_libc", || {
        // SAFETY: an all-zero sigaction is valid, without SA_RESTART; the handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ends_the_sleep as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        }
        static NAP: libc::timespec = libc::timespec { tv_sec: 1_000, tv_nsec: 0 };
        const SLEEPS: [fn() -> libc::c_int; 4] = [
            // SAFETY: no preconditions.
            || unsafe { libc::usleep(1_000_000_000) },
            // SAFETY: a valid time, and nobody asks what is left.
            || unsafe { libc::nanosleep(&raw const NAP, std::ptr::null_mut()) },
            // SAFETY: no descriptors are passed.
            || unsafe { libc::poll(std::ptr::null_mut(), 0, 1_000_000) },
            // SAFETY: no preconditions.
            || unsafe { libc::pause() },
        ];
        for sleep in SLEEPS {
            let sleeper = Arc::new(AtomicUsize::new(0));
            let ours = sleeper.clone();
            let block = move || {
                // SAFETY: no preconditions.
                ours.store(unsafe { libc::gettid() } as usize, Ordering::SeqCst);
                assert_eq!(sleep(), -1);
                assert_eq!(Error::last_os_error().raw_os_error(), Some(libc::EINTR));
            };
            among_others(block, move || {
                let tid = sleeper.load(Ordering::SeqCst) as i32;
                // SAFETY: a thread of this process, which sleeps; the signal is handled.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) };
            });
        }
    });
}

/// std goes on sleeping if it is woken too soon, so this one ends by itself, long after the others
/// have got on.
#[test]
fn a_sleep_of_std() {
    if !common::once() {
        return;
    }
    on_one_p("a_sleep_of_std", || {
        let others = Others::new();
        let state = Arc::new(AtomicUsize::new(0));
        let theirs = state.clone();
        let sleeper = spawn(move || {
            theirs.store(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(1));
            theirs.store(2, Ordering::SeqCst);
        });
        until(|| state.load(Ordering::SeqCst) == 1);
        others.spinners.run_on();
        assert_eq!(state.load(Ordering::SeqCst), 1, "the P stayed with the sleeper");
        sleeper.join().unwrap();
        others.end();
    });
}

/// A page that is not there until somebody else says what is in it.
mod slow_page {
    use super::*;
    use libc::{c_int, c_ulong};

    const USER_MODE_ONLY: c_int = 1;
    const API: u64 = 0xAA;
    const MODE_MISSING: u64 = 1;
    pub(super) const SIZE: usize = 4096;

    const fn request(number: c_ulong, size: usize) -> c_ulong {
        3 << 30 | (size as c_ulong) << 16 | (API as c_ulong) << 8 | number
    }

    pub(super) struct SlowPage {
        uffd: OwnedFd,
        pub(super) at: usize,
    }

    impl SlowPage {
        /// `None` if the kernel refuses, with a message.
        pub(super) fn new() -> Option<SlowPage> {
            let flags = libc::O_CLOEXEC | USER_MODE_ONLY;
            // SAFETY: plain integers; a new descriptor is owned from here on; a new mapping.
            let (uffd, at) = unsafe {
                let fd = libc::syscall(libc::SYS_userfaultfd, flags) as c_int;
                if fd < 0 {
                    eprintln!("{}userfaultfd: {}", slices::SKIPPED, Error::last_os_error());
                    return None;
                }
                let (rw, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
                let at = libc::mmap(std::ptr::null_mut(), SIZE, rw, kind | libc::MAP_ANON, -1, 0);
                assert_ne!(at, libc::MAP_FAILED);
                (OwnedFd::from_raw_fd(fd), at.expose_provenance() as u64)
            };
            let page = SlowPage { uffd, at: at as usize };
            page.ask(0x3F, &mut [API, 0, 0]);
            page.ask(0x00, &mut [at, SIZE as u64, MODE_MISSING, 0]);
            Some(page)
        }

        /// Lets those who wait for the page have it, filled with `byte`.
        pub(super) fn fill(&self, byte: u8) {
            let from = vec![byte; SIZE];
            let from = from.as_ptr().expose_provenance() as u64;
            self.ask(0x03, &mut [self.at as u64, from, SIZE as u64, 0, 0]);
        }

        fn ask<const N: usize>(&self, number: c_ulong, words: &mut [u64; N]) {
            let request = request(number, size_of_val(words));
            // SAFETY: the structure of this request, which consists of words.
            let result = unsafe { libc::ioctl(self.uffd.as_raw_fd(), request, words.as_mut_ptr()) };
            assert_eq!(result, 0, "{}", Error::last_os_error());
        }
    }
}

#[test]
fn a_fault_on_a_slow_page() {
    if !common::once() {
        return;
    }
    on_one_p("a_fault_on_a_slow_page", || {
        let Some(page) = slow_page::SlowPage::new() else { return };
        let last = page.at + slow_page::SIZE - 1;
        let touch = move || {
            let last: *const u8 = std::ptr::with_exposed_provenance(last);
            // SAFETY: the last byte of the page, which `fill` fills.
            assert_eq!(unsafe { last.read_volatile() }, 9);
        };
        among_others(touch, move || page.fill(9));
    });
}

/// All of it at the same time: as many threads as there are calls, and one P for those who compute.
#[test]
fn twenty_blocked_readers_among_others() {
    if !common::once() {
        return;
    }
    on_one_p("twenty_blocked_readers_among_others", || {
        let (ends, begun): (Vec<_>, _) = ((0..20).map(|_| pipe()).collect(), Arc::default());
        let (from, to): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let begin = |fd: OwnedFd| {
            let begun: Arc<AtomicUsize> = Arc::clone(&begun);
            spawn(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                read(&fd, 1)
            })
        };
        let readers: Vec<_> = from.into_iter().map(begin).collect();
        until(|| begun.load(Ordering::SeqCst) == 20);
        let others = Others::new();
        others.run_on();
        to.iter().zip(0..).for_each(|(to, byte)| write(to, &[byte]));
        let got: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        assert_eq!(got, (0..20).map(|byte| vec![byte]).collect::<Vec<_>>());
        others.end();
    });
}
