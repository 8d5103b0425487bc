//! Job: what events of real descriptors do to waiters and readiness.
//! Not here: blocking, notifying and deadlines (`polling.rs`).
#![cfg(not(loom))]

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use common::*;
use gusty_netpoll::{Direction, Enqueued};

use Direction::{Read as R, Write as W};

#[test]
fn data_wakes_the_reader() {
    let poller = poller();
    let (rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    assert!(source.readiness(R).is_ready(), "the first call is tried, not waited for");
    wait(&source, R, 1);
    assert!(!source.readiness(R).is_ready());
    assert_eq!(poller.waiters(), 1);
    assert!(look(poller).is_empty(), "nothing to read yet");
    tx.write_all(b"x").unwrap();
    assert_eq!(look(poller), [1]);
    assert!(source.readiness(R).is_ready());
    assert_eq!(poller.waiters(), 0);
    tx.write_all(b"y").unwrap();
    assert!(look(poller).is_empty(), "nobody waits");
}

#[test]
fn room_wakes_the_writer() {
    let poller = poller();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let source = register(poller, &ours);
    let count = fill(&ours);
    settle(poller);
    wait(&source, W, 2);
    assert!(look(poller).is_empty());
    drain(&theirs, count);
    assert_eq!(block(poller), [2]);
}

#[test]
fn both_directions_of_one_socket_wait_at_once() {
    let poller = poller();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let source = register(poller, &ours);
    let count = fill(&ours);
    settle(poller);
    wait(&source, R, 1);
    wait(&source, W, 2);
    theirs.write_all(b"x").unwrap();
    assert_eq!(block(poller), [1], "the buffer is still full");
    drain(&theirs, count);
    assert_eq!(block(poller), [2]);
}

#[test]
fn a_connection_wakes_the_acceptor() {
    let poller = poller();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let source = register(poller, &listener);
    wait(&source, R, 1);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(block(poller), [1]);
    listener.accept().unwrap();
}

#[test]
fn an_event_wakes_all_readers_in_their_order() {
    let poller = poller();
    let (rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    (1..=3).for_each(|waiter| wait(&source, R, waiter));
    assert_eq!(poller.waiters(), 3);
    tx.write_all(b"x").unwrap();
    let mut sink = Collect::default();
    let _ = poller.poll(gusty_netpoll::Deadline::Now, &mut sink).unwrap();
    assert_eq!(sink.0, [1, 2, 3]);
}

#[test]
fn an_event_after_the_snapshot_survives_the_clear() {
    let poller = poller();
    let (rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    let seen = source.readiness(R);
    tx.write_all(b"x").unwrap();
    assert!(look(poller).is_empty());
    source.clear_ready(R, seen);
    assert!(source.readiness(R).is_ready());
    // SAFETY: the node lives for ever.
    assert_eq!(unsafe { source.enqueue(R, seen, node(1)) }, Enqueued::Retry);
    assert_eq!(poller.waiters(), 0);
}

#[test]
fn data_and_end_in_one_edge_are_not_forgotten_after_a_short_read() {
    let poller = poller();
    let (mut ours, mut theirs) = tcp_pair();
    let source = register(poller, &ours);
    settle(poller);
    wait(&source, R, 1);
    theirs.write_all(b"abc").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(block(poller), [1]);
    while !source.readiness(R).is_hangup() {
        settle(poller); // the end may have come in an edge of its own
    }
    let seen = source.readiness(R);
    assert_eq!(ours.read(&mut [0; 16]).unwrap(), 3);
    source.clear_ready_after_short(R, seen);
    assert!(source.readiness(R).is_ready(), "there will be no further edge");
    assert_eq!(ours.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn a_short_read_without_end_clears() {
    let poller = poller();
    let (mut rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    tx.write_all(b"abc").unwrap();
    settle(poller);
    let seen = source.readiness(R);
    assert_eq!(rx.read(&mut [0; 16]).unwrap(), 3);
    source.clear_ready_after_short(R, seen);
    assert!(!source.readiness(R).is_ready());
}

#[test]
fn half_close_wakes_the_reader_and_leaves_the_writer_working() {
    let poller = poller();
    let (mut ours, mut theirs) = tcp_pair();
    let source = register(poller, &ours);
    settle(poller);
    wait(&source, R, 1);
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(block(poller), [1]);
    assert_eq!(ours.read(&mut [0; 1]).unwrap(), 0);
    assert!(!source.readiness(W).is_hangup());
    ours.write_all(b"still").unwrap();
    drain(&mut theirs, 5);
}

#[test]
fn a_reset_wakes_both_directions() {
    let poller = poller();
    let (mut ours, theirs) = tcp_pair();
    let source = register(poller, &ours);
    ours.write_all(b"x").unwrap();
    settle(poller);
    wait(&source, R, 1);
    wait(&source, W, 2);
    drop(theirs); // unread data: the kernel answers with a reset
    assert_eq!(block(poller), [1, 2]);
    assert!(source.readiness(R).is_hangup() && source.readiness(W).is_hangup());
    assert_eq!(ours.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn the_last_writer_of_a_pipe_wakes_the_reader_and_the_last_reader_the_writer() {
    let poller = poller();
    let (rx, tx) = io::pipe().unwrap();
    let reader = register(poller, &rx);
    wait(&reader, R, 1);
    drop(tx);
    assert_eq!(look(poller), [1]);

    let (rx, tx) = io::pipe().unwrap();
    let writer = register(poller, &tx);
    settle(poller);
    wait(&writer, W, 2);
    drop(rx);
    assert_eq!(look(poller), [2]);
}

#[test]
fn a_refused_waiter_is_off_the_queue_all_the_same() {
    let poller = poller();
    let (rx, _tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    wait(&source, R, 1);
    assert_eq!(source.wake_all(R, &mut Refuse), 0);
    assert_eq!(poller.waiters(), 0);
    assert!(!source.readiness(R).is_ready(), "nothing was said about readiness");
}

#[test]
fn a_removed_waiter_is_not_claimed() {
    let poller = poller();
    let (rx, mut tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    let seen = source.readiness(R);
    source.clear_ready(R, seen);
    let leaves = node(1);
    // SAFETY: the node lives for ever.
    unsafe {
        assert_eq!(source.enqueue(R, seen, leaves), Enqueued::Queued);
        assert_eq!(source.enqueue(R, seen, node(2)), Enqueued::Queued);
        assert!(source.remove(R, leaves));
        assert!(!source.remove(R, leaves));
    }
    assert_eq!(poller.waiters(), 1);
    tx.write_all(b"x").unwrap();
    assert_eq!(look(poller), [2]);
}

#[test]
fn a_changed_deadline_stops_who_is_about_to_wait() {
    let poller = poller();
    let (rx, _tx) = io::pipe().unwrap();
    let source = register(poller, &rx);
    let seen = source.readiness(R);
    source.clear_ready(R, seen);
    assert_eq!(source.wake_all(R, &mut Collect::default()), 0);
    // SAFETY: the node lives for ever.
    assert_eq!(unsafe { source.enqueue(R, seen, node(1)) }, Enqueued::Retry);
}

#[test]
fn close_wakes_everybody_and_lets_nobody_in() {
    let poller = poller();
    let (ours, mut theirs) = tcp_pair();
    let source = register(poller, &ours);
    settle(poller);
    wait(&source, R, 1);
    wait(&source, R, 2);
    wait(&source, W, 3);
    let mut sink = Collect::default();
    assert_eq!(source.close(&mut sink).unwrap(), 3);
    assert_eq!(sink.0, [1, 2, 3]);
    assert!(source.is_closed());
    assert_eq!(poller.waiters(), 0);
    for direction in [R, W] {
        let seen = source.readiness(direction);
        // SAFETY: the node lives for ever.
        assert_eq!(unsafe { source.enqueue(direction, seen, node(4)) }, Enqueued::Closed);
    }
    assert_eq!(source.close(&mut sink).unwrap(), 0, "once");
    theirs.write_all(b"x").unwrap();
    let before = source.readiness(R);
    settle(poller);
    assert_eq!(source.readiness(R), before, "the kernel watches no more");
}

#[test]
fn close_after_the_descriptor_is_gone_still_wakes() {
    let poller = poller();
    let (rx, _tx) = io::pipe().unwrap();
    let other = rx.try_clone().unwrap();
    let source = register(poller, &other);
    wait(&source, R, 1);
    source.close(&mut Refuse).unwrap();
    let source = register(poller, &other);
    wait(&source, R, 2);
    // Taken away behind the source's back.
    let twin = register_error(poller, &other);
    assert_eq!(twin.raw_os_error(), Some(libc::EEXIST));
    let null = File::open("/dev/null").unwrap();
    // SAFETY: both descriptors are ours; `other` keeps a valid descriptor of another file.
    assert!(unsafe { libc::dup2(null.as_raw_fd(), other.as_raw_fd()) } >= 0);
    let mut sink = Collect::default();
    let error = source.close(&mut sink).unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EPERM)), "{error}");
    assert_eq!(sink.0, [2]);
}

#[test]
fn events_of_a_former_owner_are_dropped() {
    let poller = poller();
    let (old, mut old_tx) = io::pipe().unwrap();
    // Dropped without close: the kernel goes on reporting the old token.
    drop(register(poller, &old));
    let (new, mut new_tx) = io::pipe().unwrap();
    let source = register(poller, &new);
    settle(poller);
    wait(&source, R, 1);
    let before = source.readiness(R);
    old_tx.write_all(b"x").unwrap();
    settle(poller);
    assert_eq!(source.readiness(R), before);
    new_tx.write_all(b"x").unwrap();
    assert_eq!(look(poller), [1]);
}

#[test]
fn what_epoll_does_not_take_is_an_error_and_costs_no_slot() {
    let poller = poller();
    let file = File::open("Cargo.toml").unwrap();
    for _ in 0..200 {
        assert_eq!(register_error(poller, &file).raw_os_error(), Some(libc::EPERM));
    }
    assert_eq!(poller.register(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
}

fn register_error(poller: &'static gusty_netpoll::Poller, fd: &impl AsRawFd) -> io::Error {
    poller.register(fd.as_raw_fd()).unwrap_err()
}
