//! Job: descriptors, waiters and sinks for the tests of the poller.
//! Not here: any test.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use gusty_netpoll::{Deadline, Direction, Enqueued, PollOutcome, Poller, Sink, Source, WaitNode};

/// A poller that lives as long as the process, as a runtime's does.
pub(crate) fn poller() -> &'static Poller {
    Box::leak(Box::new(Poller::new().unwrap()))
}

/// Claims everybody, in order.
#[derive(Debug, Default)]
pub(crate) struct Collect(pub(crate) Vec<usize>);

impl Sink for Collect {
    unsafe fn claim(&mut self, waiter: usize) -> bool {
        self.0.push(waiter);
        true
    }
}

/// Finds everybody claimed already.
pub(crate) struct Refuse;

impl Sink for Refuse {
    unsafe fn claim(&mut self, _: usize) -> bool {
        false
    }
}

/// A waiter that stays in place as long as the process.
pub(crate) fn node(waiter: usize) -> &'static WaitNode {
    Box::leak(Box::new(WaitNode::new(waiter)))
}

/// Drains the direction's first readiness, as a call that answered EAGAIN would, and waits.
pub(crate) fn wait(source: &Source, direction: Direction, waiter: usize) {
    let seen = source.readiness(direction);
    source.clear_ready(direction, seen);
    // SAFETY: the node is new and lives for ever.
    let answer = unsafe { source.enqueue(direction, seen, node(waiter)) };
    assert_eq!(answer, Enqueued::Queued);
}

/// One poll that does not block; who was claimed, in ascending order.
pub(crate) fn look(poller: &Poller) -> Vec<usize> {
    let mut sink = Collect::default();
    let outcome = poller.poll(Deadline::Now, &mut sink).unwrap();
    let claimed = sink.0.len();
    assert_eq!(outcome, PollOutcome::Done { claimed, notified: false, expired: false });
    sink.0.sort_unstable();
    sink.0
}

/// Takes the events that a fresh registration brings along.
pub(crate) fn settle(poller: &Poller) {
    assert!(look(poller).is_empty());
}

/// One poll that blocks until somebody is claimed.
pub(crate) fn block(poller: &Poller) -> Vec<usize> {
    let mut sink = Collect::default();
    let outcome = poller.poll(Deadline::Never, &mut sink).unwrap();
    let claimed = sink.0.len();
    assert_eq!(outcome, PollOutcome::Done { claimed, notified: false, expired: false });
    assert_ne!(claimed, 0);
    sink.0.sort_unstable();
    sink.0
}

/// Both ends of a TCP connection; the first is non-blocking.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, theirs)
}

pub(crate) fn register(poller: &'static Poller, fd: &impl AsRawFd) -> Source {
    poller.register(fd.as_raw_fd()).unwrap()
}

/// Writes until the kernel takes no more.
pub(crate) fn fill(mut stream: impl Write) -> usize {
    let chunk = [0; 65536];
    let mut sum = 0;
    loop {
        match stream.write(&chunk) {
            Ok(n) => sum += n,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return sum;
            }
        }
    }
}

/// Reads `count` bytes from a blocking stream.
pub(crate) fn drain(mut stream: impl Read, count: usize) {
    stream.read_exact(&mut vec![0; count]).unwrap();
}

pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
