//! Job: many goroutines at once, and both worlds at once: threads and goroutines on one channel, a
//!   reader and a writer on one socket.

mod common;

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{scaled, until, watched};
use gusty::net::{Shutdown, TcpListener, TcpStream};

/// `GUSTY_TEST_GOROUTINES`, for machines with 6 GB to spare: a million.
fn crowd() -> usize {
    let asked = std::env::var("GUSTY_TEST_GOROUTINES").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(scaled(100_000))
}

#[test]
fn a_crowd_parks_wakes_and_exits() {
    watched("a_crowd_parks_wakes_and_exits", || {
        let (parked, woken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let n = crowd();
        let member = |i: usize| {
            let (parked, woken) = (parked.clone(), woken.clone());
            gusty::spawn(move || {
                let local = i;
                parked.fetch_add(1, Ordering::SeqCst);
                gusty::park();
                woken.fetch_add(1, Ordering::SeqCst);
                black_box(local)
            })
        };
        let handles: Vec<_> = (0..n).map(member).collect();
        until(|| parked.load(Ordering::SeqCst) == n);
        handles.iter().for_each(|handle| handle.goroutine().unpark());
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), i);
        }
        assert_eq!(woken.load(Ordering::SeqCst), n);
    });
}

#[gusty::test]
fn a_crowd_wakes_in_a_chain() {
    // Each joins the one before: as many parked joiners as goroutines, woken one by one.
    let first = gusty::spawn(|| {
        gusty::park();
        0
    });
    let start = first.goroutine();
    let mut last = first;
    let n = crowd() / 10;
    for _ in 0..n {
        last = gusty::spawn(move || last.join().unwrap() + 1);
    }
    start.unpark();
    assert_eq!(last.join().unwrap(), n);
}

#[test]
fn channels_join_threads_and_goroutines() {
    watched("channels_join_threads_and_goroutines", || {
        for capacity in [0, 1, 16] {
            let (to_goroutine, from_thread) = gusty::chan::bounded::<usize>(capacity);
            let (to_thread, from_goroutine) = gusty::chan::bounded::<usize>(capacity);
            let n = scaled(10_000);
            let goroutine = gusty::spawn(move || {
                for value in from_thread {
                    to_thread.send(value + 1).unwrap();
                }
            });
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (send, receive) = (to_goroutine.clone(), from_goroutine.clone());
                    std::thread::spawn(move || {
                        let mut sum = 0;
                        for i in 0..n / 4 {
                            send.send(i).unwrap();
                            sum += receive.recv().unwrap();
                        }
                        sum
                    })
                })
                .collect();
            drop(to_goroutine);
            let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            goroutine.join().unwrap();
            assert_eq!(sum, 4 * (1..=n / 4).sum::<usize>());
        }
    });
}

#[gusty::test]
fn unwinding_sends_and_receives() {
    let (tx, rx) = gusty::chan::bounded::<u8>(0);
    let answers = gusty::spawn(move || rx.into_iter().map(u64::from).sum::<u64>());
    let handles: Vec<_> = (0..20)
        .map(|_| {
            let tx = tx.clone();
            gusty::spawn(move || {
                let _guard = common::OnDrop(|| tx.send(3).unwrap());
                std::panic::resume_unwind(Box::new(()));
            })
        })
        .collect();
    drop(tx);
    handles.into_iter().for_each(|handle| assert!(handle.join().is_err()));
    assert_eq!(answers.join().unwrap(), 60);
}

/// Byte `i` of a stream, so that every one of them can be checked.
fn byte(i: usize) -> u8 {
    (i ^ (i >> 8) ^ (i >> 16)) as u8
}

fn send_all(stream: &TcpStream, n: usize) {
    let mut at = 0;
    while at < n {
        let part: Vec<u8> = (at..n.min(at + 50_000)).map(byte).collect();
        let mut to = stream;
        to.write_all(&part).unwrap();
        at += part.len();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

fn receive_all(stream: &TcpStream) -> usize {
    let (mut at, mut buffer) = (0, vec![0; 30_000]);
    loop {
        let mut from = stream;
        let n = from.read(&mut buffer).unwrap();
        if n == 0 {
            return at;
        }
        assert!(buffer[..n].iter().enumerate().all(|(i, &b)| b == byte(at + i)), "at {at}");
        at += n;
    }
}

#[gusty::test]
fn a_reader_and_a_writer_share_a_socket() {
    let n = scaled(20 << 20);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let duplex = move |stream: TcpStream| {
        let stream = Arc::new(stream);
        let theirs = stream.clone();
        let reader = gusty::spawn(move || receive_all(&theirs));
        let writer = gusty::spawn(move || send_all(&stream, n));
        writer.join().unwrap();
        reader.join().unwrap()
    };
    let accepted = gusty::spawn(move || duplex(listener.accept().unwrap().0));
    let connected = gusty::spawn(move || duplex(TcpStream::connect(at).unwrap()));
    assert_eq!((accepted.join().unwrap(), connected.join().unwrap()), (n, n));
}
