//! Job: goroutines in calls that block their thread: the others run on, the call is not interrupted,
//!   and the goroutine goes on where it was.
//! Not here: calls of our own, which park (`chan`, `sync`, `net`).
//!
//! One P, and the call of one goroutine is ended by another: if the P stayed with the blocked thread
//! the test would hang.

mod common;

use std::io::{Error, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use common::{alone, scaled, watched};
use gusty::{go, spawn};

/// Runs `block` on a goroutine and `release`, which ends it, on another, with one P.
fn one_p(
    name: &str,
    block: impl FnOnce() + Send + 'static,
    release: impl FnOnce() + Send + 'static,
) {
    let _alone = alone();
    let before = gusty::runtime::gomaxprocs(1);
    watched(name, || {
        let begun = Arc::new(AtomicBool::new(false));
        let blocked = spawn({
            let begun = begun.clone();
            move || {
                begun.store(true, Ordering::SeqCst);
                block();
                // The way back: everything that needs a P works, and thread-locals are its own.
                let (tx, rx) = gusty::chan::bounded(0);
                go!(move || tx.send(1).unwrap());
                assert_eq!(rx.recv(), Ok(1));
                gusty::yield_now();
            }
        });
        let releaser = spawn(move || {
            while !begun.load(Ordering::SeqCst) {
                gusty::yield_now();
            }
            release();
        });
        releaser.join().unwrap();
        blocked.join().unwrap();
    });
    gusty::runtime::gomaxprocs(before);
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are owned from here on.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    }
}

fn read_byte(fd: &OwnedFd) -> u8 {
    let mut byte = 0u8;
    // SAFETY: room for one byte.
    let n = unsafe { libc::read(fd.as_raw_fd(), (&raw mut byte).cast(), 1) };
    assert_eq!(n, 1, "{}", Error::last_os_error());
    byte
}

fn write_byte(fd: &OwnedFd, byte: u8) {
    // SAFETY: one byte to read.
    let n = unsafe { libc::write(fd.as_raw_fd(), (&raw const byte).cast(), 1) };
    assert_eq!(n, 1, "{}", Error::last_os_error());
}

#[test]
fn a_read_from_an_empty_pipe() {
    let (from, to) = pipe();
    one_p("read", move || assert_eq!(read_byte(&from), 7), move || write_byte(&to, 7));
}

#[test]
fn a_read_announced_as_blocking() {
    let (from, to) = pipe();
    let block = move || assert_eq!(gusty::blocking(|| read_byte(&from)), 7);
    one_p("blocking", block, move || write_byte(&to, 7));
}

#[test]
fn a_std_mutex_held_elsewhere() {
    let mutex = Arc::new(Mutex::new(0));
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    let (held, is_held) = std::sync::mpsc::channel();
    let holder = {
        let mutex = mutex.clone();
        thread::spawn(move || {
            let guard = mutex.lock().unwrap();
            held.send(()).unwrap();
            rx.recv().unwrap();
            drop(guard);
        })
    };
    is_held.recv().unwrap();
    one_p("mutex", move || *mutex.lock().unwrap() += 1, move || tx.send(()).unwrap());
    holder.join().unwrap();
}

#[test]
fn a_std_mutex_held_by_a_parked_goroutine() {
    let mutex = Arc::new(Mutex::new(0));
    let locked = Arc::new(AtomicBool::new(false));
    let (tx, rx) = gusty::chan::bounded::<()>(0);
    let (theirs, is_locked) = (mutex.clone(), locked.clone());
    let holder = spawn(move || {
        let guard = theirs.lock().unwrap();
        is_locked.store(true, Ordering::SeqCst);
        rx.recv().unwrap();
        drop(guard);
    });
    common::until(|| locked.load(Ordering::SeqCst));
    one_p("parked holder", move || *mutex.lock().unwrap() += 1, move || tx.send(()).unwrap());
    holder.join().unwrap();
}

#[test]
fn a_std_condvar() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = pair.clone();
    let block = move || {
        let guard = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap();
        assert!(*guard);
    };
    one_p("condvar", block, move || {
        *other.0.lock().unwrap() = true;
        other.1.notify_one();
    });
}

#[test]
fn a_std_channel() {
    let (tx, rx) = std::sync::mpsc::channel();
    one_p("mpsc", move || assert_eq!(rx.recv(), Ok(3)), move || tx.send(3).unwrap());
}

#[test]
fn a_lock_on_a_file_held_elsewhere() {
    let path = std::env::temp_dir().join(format!("gusty-flock-{}", std::process::id()));
    let [ours, theirs] = [(); 2].map(|()| {
        std::fs::OpenOptions::new().create(true).append(true).open(&path).expect("a file")
    });
    // SAFETY: no memory is passed.
    let flock = |file: &std::fs::File, how| unsafe { libc::flock(file.as_raw_fd(), how) };
    assert_eq!(flock(&theirs, libc::LOCK_EX), 0);
    let block = move || assert_eq!(flock(&ours, libc::LOCK_EX), 0, "{}", Error::last_os_error());
    one_p("flock", block, move || assert_eq!(flock(&theirs, libc::LOCK_UN), 0));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_child_process() {
    let (from, to) = pipe();
    let mut child = Command::new("cat").stdin(from).spawn().expect("cat");
    let block = move || assert!(child.wait().unwrap().success());
    one_p("wait", block, move || drop(to));
}

#[test]
fn a_pipe_of_a_child_process() {
    let (from, to) = pipe();
    let mut child =
        Command::new("cat").stdin(from).stdout(std::process::Stdio::piped()).spawn().expect("cat");
    let block = move || {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(child.wait().unwrap().success());
    };
    one_p("read to end", block, move || write_byte(&to, b'x'));
}

/// Sleeps cannot be ended by somebody else: they are long, and the others' work is done before.
#[test]
fn sleeps_hold_up_nobody() {
    let sleeps: [(&str, fn()); 3] = [
        ("thread::sleep", || thread::sleep(Duration::from_millis(300))),
        // SAFETY: no preconditions.
        ("usleep", || assert_eq!(unsafe { libc::usleep(300_000) }, 0)),
        // SAFETY: no descriptors are passed.
        ("poll", || assert_eq!(unsafe { libc::poll(std::ptr::null_mut(), 0, 300) }, 0)),
    ];
    for (name, sleep) in sleeps {
        let awake = Arc::new(AtomicBool::new(false));
        let (seen, done) = (awake.clone(), awake.clone());
        let block = move || {
            sleep();
            awake.store(true, Ordering::SeqCst);
        };
        one_p(name, block, move || {
            for _ in 0..1_000 {
                gusty::yield_now();
            }
            assert!(!seen.load(Ordering::SeqCst), "the P stayed with the sleeper");
        });
        assert!(done.load(Ordering::SeqCst));
    }
}

#[test]
fn many_block_at_once() {
    let _alone = alone();
    const N: usize = 50;
    for procs in [1, 2, 4] {
        let before = gusty::runtime::gomaxprocs(procs);
        watched("many", || {
            let pipes: Vec<_> = (0..N).map(|_| pipe()).collect();
            let (begun, sum) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
            let readers: Vec<_> = readers
                .into_iter()
                .map(|fd| {
                    let (begun, sum) = (begun.clone(), sum.clone());
                    spawn(move || {
                        begun.fetch_add(1, Ordering::SeqCst);
                        let byte = read_byte(&fd);
                        gusty::yield_now();
                        sum.fetch_add(usize::from(byte), Ordering::SeqCst);
                    })
                })
                .collect();
            while begun.load(Ordering::SeqCst) < N {
                gusty::yield_now();
            }
            let writer = spawn(move || {
                for fd in &writers {
                    write_byte(fd, 2);
                }
            });
            writer.join().unwrap();
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert_eq!(sum.load(Ordering::SeqCst), 2 * N);
        });
        gusty::runtime::gomaxprocs(before);
    }
}

/// Goroutines that lose their P all the time while they allocate, print to memory, use thread-locals
/// and channels.
#[test]
fn a_storm_of_short_blocking_calls() {
    thread_local! {
        static MINE: AtomicU32 = const { AtomicU32::new(0) };
    }
    let own = gusty::runtime::features().tls == gusty::runtime::TlsLevel::Own;
    let _alone = alone();
    for procs in [1, 2, 8] {
        let before = gusty::runtime::gomaxprocs(procs);
        watched("storm", || {
            let (tx, rx) = gusty::chan::bounded::<String>(4);
            let workers: Vec<_> = (0..16u32)
                .map(|i| {
                    let tx = tx.clone();
                    spawn(move || {
                        for round in 1..=scaled(60) as u32 {
                            if i % 2 == 0 {
                                gusty::blocking(|| thread::sleep(Duration::from_micros(300)));
                            } else {
                                thread::sleep(Duration::from_micros(300));
                            }
                            let mine = MINE.with(|n| n.fetch_add(1, Ordering::Relaxed)) + 1;
                            assert!(mine == round || !own);
                            tx.send(format!("{i} {round}")).unwrap();
                        }
                    })
                })
                .collect();
            drop(tx);
            assert_eq!(rx.iter().count(), 16 * scaled(60));
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
        gusty::runtime::gomaxprocs(before);
    }
}

#[test]
fn blocking_returns_values_panics_and_parks() {
    let on_thread = gusty::blocking(|| 1);
    let on_goroutine = spawn(|| {
        assert!(std::panic::catch_unwind(|| gusty::blocking(|| panic!("inside"))).is_err());
        gusty::blocking(|| {
            let (tx, rx) = gusty::chan::bounded(0);
            go!(move || tx.send(2).unwrap());
            rx.recv().unwrap()
        })
    });
    assert_eq!((on_thread, on_goroutine.join().unwrap()), (1, 2));
}
