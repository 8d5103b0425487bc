//! Job: what may's suite checks of streams (Unix-domain ones there, TCP here), with helpers that are
//!   goroutines, plain threads and both, and 1, 2, 4, 8 and 64 Ps.
//! Not here: datagrams and paths, which sockets of ours do not have.

mod common;
#[path = "peers_may/crew.rs"]
mod crew;

use crew::{SHORT, cases};
use gusty::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listen();
    let client = gusty::spawn(move || TcpStream::connect(addr).unwrap());
    let (server, _) = listener.accept().unwrap();
    (client.join().unwrap(), server)
}

fn out_of_time(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn a_client_and_a_server_exchange_words() {
    cases("a_client_and_a_server_exchange_words", |crew| {
        let (listener, addr) = listen();
        let server = crew.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut word = [0; 5];
            stream.read_exact(&mut word).unwrap();
            stream.write_all(b"world!").unwrap();
            word
        });
        let mut stream = TcpStream::connect(addr).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        stream.write_all(b"hello").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!((answer.as_slice(), &server.join()), (&b"world!"[..], b"hello"));
    });
}

#[test]
fn both_ends_of_a_pair_speak() {
    cases("both_ends_of_a_pair_speak", |crew| {
        let (mut ours, mut theirs) = pair();
        let other = crew.spawn(move || {
            let mut word = [0; 5];
            theirs.read_exact(&mut word).unwrap();
            theirs.write_all(&word[..4]).unwrap();
        });
        ours.write_all(b"hello").unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hell");
        other.join();
    });
}

#[test]
fn a_clone_reads_on_where_the_other_stopped() {
    cases("a_clone_reads_on_where_the_other_stopped", |crew| {
        let (mut ours, mut theirs) = pair();
        let writer = crew.spawn(move || theirs.write_all(b"helloworld").unwrap());
        let mut clone = ours.try_clone().unwrap();
        let mut word = [0; 5];
        ours.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hello");
        clone.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"world");
        writer.join();
    });
}

#[test]
fn incoming_connections_are_iterated_over() {
    cases("incoming_connections_are_iterated_over", |crew| {
        let (listener, addr) = listen();
        let server = crew.spawn(move || {
            let bytes = listener.incoming().take(2).map(|stream| {
                let mut byte = [0];
                stream.unwrap().read_exact(&mut byte).unwrap();
                byte[0]
            });
            bytes.collect::<Vec<_>>()
        });
        for byte in [1, 2] {
            TcpStream::connect(addr).unwrap().write_all(&[byte]).unwrap();
        }
        assert_eq!(server.join(), [1, 2]);
    });
}

#[test]
fn limits_are_kept_and_told() {
    cases("limits_are_kept_and_told", |_| {
        let (stream, _other) = pair();
        let long = Duration::from_secs(15_410);
        assert_eq!((stream.read_timeout().unwrap(), stream.write_timeout().unwrap()), (None, None));
        stream.set_read_timeout(Some(long)).unwrap();
        assert_eq!(stream.read_timeout().unwrap(), Some(long));
        assert_eq!(stream.write_timeout().unwrap(), None);
        stream.set_write_timeout(Some(2 * long)).unwrap();
        stream.set_read_timeout(None).unwrap();
        assert_eq!(stream.read_timeout().unwrap(), None);
        assert_eq!(stream.write_timeout().unwrap(), Some(2 * long));
        stream.set_write_timeout(None).unwrap();
        assert_eq!(stream.write_timeout().unwrap(), None);
    });
}

#[test]
fn a_read_runs_out_of_time_with_and_without_data_before() {
    cases("a_read_runs_out_of_time_with_and_without_data_before", |crew| {
        let (mut ours, mut theirs) = pair();
        ours.set_read_timeout(Some(SHORT)).unwrap();
        let mut buf = [0; 11];
        assert!(out_of_time(ours.read(&mut buf).unwrap_err().kind()));
        let writer = crew.spawn(move || {
            theirs.write_all(b"hello world").unwrap();
            theirs
        });
        let mut got = 0;
        while got < buf.len() {
            match ours.read(&mut buf[got..]) {
                Ok(n) => got += n,
                Err(error) => assert!(out_of_time(error.kind())),
            }
        }
        assert_eq!(&buf, b"hello world");
        assert!(out_of_time(ours.read(&mut buf).unwrap_err().kind()));
        drop(writer.join());
    });
}

#[test]
fn a_look_leaves_the_bytes_where_they_are() {
    cases("a_look_leaves_the_bytes_where_they_are", |crew| {
        let (mut ours, mut theirs) = pair();
        let writer = crew.spawn(move || {
            theirs.write_all(b"hello").unwrap();
            theirs
        });
        let mut buf = [0; 16];
        common::until(|| ours.peek(&mut [0; 16]).unwrap() == 5);
        for _ in 0..3 {
            assert_eq!(ours.peek(&mut buf).unwrap(), 5);
            assert_eq!(&buf[..5], b"hello");
            buf.fill(0);
        }
        assert_eq!(ours.read(&mut buf).unwrap(), 5);
        drop(writer.join());
        assert_eq!(ours.peek(&mut buf).unwrap(), 0, "the end");
    });
}
