//! Job: who polls, how a block ends, and that nothing is lost between threads.
//! Not here: readiness (`readiness.rs`).
#![cfg(not(loom))]

mod common;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::*;
use gusty_netpoll::{Deadline, Direction, Enqueued, PollOutcome, Poller, Sink, Source, WaitNode};

const NOTHING: PollOutcome = PollOutcome::Done { claimed: 0, notified: false, expired: false };
const NOTIFIED: PollOutcome = PollOutcome::Done { claimed: 0, notified: true, expired: false };
const EXPIRED: PollOutcome = PollOutcome::Done { claimed: 0, notified: false, expired: true };

fn poll(poller: &Poller, deadline: Deadline) -> PollOutcome {
    poller.poll(deadline, &mut Collect::default()).unwrap()
}

/// Blocks on a thread of its own, even if another thread is just looking.
fn block_on_a_thread(
    poller: &'static Poller,
    deadline: Deadline,
) -> thread::JoinHandle<PollOutcome> {
    let attempts = move || (0..).map(move |_| poll(poller, deadline));
    thread::spawn(move || attempts().find(|&outcome| outcome != PollOutcome::Busy).unwrap())
}

/// Returns once another thread polls.
fn until_busy(poller: &Poller) {
    until_busy_or(poller, || false);
}

fn until_busy_or(poller: &Poller, enough: impl Fn() -> bool) {
    while poll(poller, Deadline::Now) != PollOutcome::Busy && !enough() {
        thread::yield_now();
    }
}

#[test]
fn the_poller_and_its_sources_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Poller>();
    shared::<Source>();
}

#[test]
fn a_notification_ends_a_block() {
    let poller = poller();
    let blocked = block_on_a_thread(poller, Deadline::Never);
    until_busy(poller);
    poller.notify().unwrap();
    assert_eq!(blocked.join().unwrap(), NOTIFIED);
}

#[test]
fn a_notification_before_a_block_prevents_it_once() {
    let poller = poller();
    assert!(!poller.notify().unwrap(), "nobody to wake: no system call");
    assert!(!poller.notify().unwrap());
    assert_eq!(poll(poller, Deadline::Now), NOTHING, "not for a poll that does not block");
    assert_eq!(poll(poller, Deadline::Never), NOTIFIED);
    assert_eq!(poll(poller, Deadline::At(now() + 1_000)), EXPIRED, "used up");
}

#[test]
fn of_many_notifications_one_costs_a_system_call() {
    for _ in 0..20 {
        let poller = poller();
        let blocked = block_on_a_thread(poller, Deadline::Never);
        until_busy(poller);
        let calls = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        calls.fetch_add(poller.notify().unwrap().into(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(blocked.join().unwrap(), NOTIFIED);
        // None, if the notifications came before the thread went to the kernel.
        assert!(calls.into_inner() <= 1);
    }
}

#[test]
fn events_that_concern_nobody_do_not_end_a_block() {
    let poller = poller();
    let (rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    let seen = source.readiness(Direction::Read);
    let blocked = block_on_a_thread(poller, Deadline::Never);
    until_busy(poller);
    tx.write_all(b"x").unwrap();
    while source.readiness(Direction::Read) == seen {
        thread::yield_now(); // until the blocked thread has seen the event
    }
    poller.notify().unwrap();
    assert_eq!(blocked.join().unwrap(), NOTIFIED);
}

#[test]
fn deadlines_end_blocks_again_and_again() {
    let poller = poller();
    for _ in 0..20 {
        let at = now() + 50_000;
        assert_eq!(poll(poller, Deadline::At(at)), EXPIRED);
        assert!(now() >= at, "too early");
        assert_eq!(poll(poller, Deadline::At(at)), EXPIRED, "a deadline in the past");
    }
    assert_eq!(poll(poller, Deadline::At(0)), EXPIRED);
}

#[test]
fn an_expiry_taken_by_a_poll_that_does_not_block_is_not_missed() {
    let poller = poller();
    let at = now() + 20_000_000;
    let blocked = block_on_a_thread(poller, Deadline::At(at));
    until_busy_or(poller, || now() >= at);
    poller.notify().unwrap(); // the timer stays armed
    let _ = blocked.join().unwrap();
    while now() < at + 100_000 {
        thread::yield_now();
    }
    assert_eq!(poll(poller, Deadline::Now), NOTHING); // takes the expiry
    while poll(poller, Deadline::At(now() + 1_000_000)) != EXPIRED {}
}

#[test]
fn a_block_without_deadline_is_not_ended_by_an_older_one() {
    let poller = poller();
    let (rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    settle(poller);
    wait(&source, Direction::Read, 1);
    tx.write_all(b"x").unwrap();
    let mut sink = Collect::default();
    let soon = now() + 200_000_000;
    let _ = poller.poll(Deadline::At(soon), &mut sink).unwrap(); // arms the timer
    assert_eq!(sink.0, [1]);
    let blocked = block_on_a_thread(poller, Deadline::Never); // has to disarm it
    until_busy(poller);
    while now() < soon {
        thread::yield_now();
    }
    poller.notify().unwrap();
    assert_eq!(blocked.join().unwrap(), NOTIFIED);
}

#[test]
fn a_signal_does_not_end_a_block() {
    static HITS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn hit(_: libc::c_int) {
        HITS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler only counts.
    unsafe { libc::signal(libc::SIGUSR2, hit as *const () as libc::sighandler_t) };
    let poller = poller();
    let (sender, receiver) = std::sync::mpsc::channel();
    let blocked = thread::spawn(move || {
        // SAFETY: no preconditions.
        sender.send(unsafe { libc::pthread_self() }).unwrap();
        loop {
            match poll(poller, Deadline::Never) {
                PollOutcome::Busy => {}
                outcome => break outcome,
            }
        }
    });
    let thread = receiver.recv().unwrap();
    until_busy(poller);
    for sent in 1..=5 {
        // SAFETY: the thread is blocked in the poller and not joined yet.
        assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR2) }, 0);
        while HITS.load(Ordering::Relaxed) < sent {
            thread::yield_now();
        }
    }
    poller.notify().unwrap();
    assert_eq!(blocked.join().unwrap(), NOTIFIED);
}

/// A thread that waits for a source as a goroutine would.
struct Sleeper {
    thread: thread::Thread,
    claimed: AtomicBool,
}

/// Wakes while it claims; the sleeper may be gone right after.
struct Unpark;

impl Sink for Unpark {
    unsafe fn claim(&mut self, waiter: usize) -> bool {
        // SAFETY: the sleeper does not leave before it was claimed.
        let sleeper = unsafe { &*std::ptr::with_exposed_provenance::<Sleeper>(waiter) };
        let thread = sleeper.thread.clone();
        sleeper.claimed.store(true, Ordering::Release);
        thread.unpark();
        true
    }
}

fn read_byte(source: &Source, mut pipe: impl Read) -> Option<u8> {
    loop {
        let seen = source.readiness(Direction::Read);
        let mut byte = [0];
        match pipe.read(&mut byte) {
            Ok(0) => return None,
            Ok(_) => return Some(byte[0]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        source.clear_ready(Direction::Read, seen);
        let sleeper = Sleeper { thread: thread::current(), claimed: AtomicBool::new(false) };
        let node = WaitNode::new(std::ptr::from_ref(&sleeper).expose_provenance());
        // SAFETY: both stay until the sleeper was claimed.
        match unsafe { source.enqueue(Direction::Read, seen, &node) } {
            Enqueued::Queued => {
                while !sleeper.claimed.load(Ordering::Acquire) {
                    thread::park();
                }
            }
            Enqueued::Retry => {}
            Enqueued::Closed => return None,
        }
    }
}

#[test]
fn no_wake_up_is_lost_between_readers_a_writer_and_the_poller() {
    const BYTES: usize = 20_000;
    let poller = poller();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let source = register(poller, &ours);
    let done = AtomicBool::new(false);
    let read = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let _ = poller.poll(Deadline::Never, &mut Unpark).unwrap();
            }
        });
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                while read_byte(&source, &ours).is_some() {
                    read.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        for _ in 0..BYTES {
            (&theirs).write_all(b"x").unwrap();
        }
        drop(theirs);
        for reader in readers {
            reader.join().unwrap();
        }
        done.store(true, Ordering::Release);
        poller.notify().unwrap();
    });
    assert_eq!(read.into_inner(), BYTES);
    assert_eq!(poller.waiters(), 0);
}
