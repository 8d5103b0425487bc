//! Job: sockets: std's behaviour, from goroutines, plain threads and both at once.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gusty::net::{Shutdown, TcpListener, TcpStream};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = gusty::spawn(move || TcpStream::connect(addr).unwrap());
    let (server, _) = listener.accept().unwrap();
    (server, client.join().unwrap())
}

fn echo(listener: &TcpListener) -> impl Fn() + Send + 'static {
    let listener = listener.try_clone().unwrap();
    move || {
        while let Ok((mut stream, _)) = listener.accept() {
            gusty::spawn(move || {
                let mut buf = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buf) {
                    if stream.write_all(&buf[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    }
}

/// Row 106 (TestTCPStress).
#[gusty::test]
fn two_hundred_clients_get_their_own_bytes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = gusty::spawn(echo(&listener));
    let clients: Vec<_> = (0..200u8)
        .map(|id| {
            gusty::spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                for round in 0..50u8 {
                    let sent = [id ^ round; 100];
                    stream.write_all(&sent).unwrap();
                    let mut got = [0; 100];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(sent, got);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    listener.close();
    server.join().unwrap();
}

#[test]
fn plain_threads_use_the_same_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = gusty::spawn(echo(&listener));
    std::thread::scope(|s| {
        for id in 0..4u8 {
            s.spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                for _ in 0..100 {
                    stream.write_all(&[id; 10]).unwrap();
                    let mut got = [0; 10];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, [id; 10]);
                }
            });
        }
    });
    listener.close();
    server.join().unwrap();
}

#[gusty::test]
fn reader_and_writer_share_one_socket() {
    const BYTES: usize = 4 << 20;
    let (a, b) = pair();
    let a = Arc::new(a);
    let (reader, writer) = (a.clone(), a);
    let reads = gusty::spawn(move || {
        let mut buf = vec![0; 64 << 10];
        let mut sum = 0;
        while sum < BYTES {
            sum += (&*reader).read(&mut buf).unwrap();
        }
        sum
    });
    let writes = gusty::spawn(move || (&*writer).write_all(&vec![7; BYTES]).unwrap());
    // The other side echoes with two goroutines as well.
    let b = Arc::new(b);
    let other = gusty::spawn(move || {
        let mut buf = vec![0; 64 << 10];
        let mut sum = 0;
        while sum < BYTES {
            let n = (&*b).read(&mut buf).unwrap();
            (&*b).write_all(&buf[..n]).unwrap();
            sum += n;
        }
        b // keeps it open
    });
    writes.join().unwrap();
    assert_eq!(reads.join().unwrap(), BYTES);
    drop(other.join().unwrap());
}

#[gusty::test]
fn a_read_times_out_and_the_socket_still_works() {
    let (mut a, mut b) = pair();
    a.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(a.read_timeout().unwrap(), Some(Duration::from_millis(5)));
    let error = a.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    b.write_all(b"x").unwrap();
    a.set_read_timeout(None).unwrap();
    let mut buf = [0; 8];
    assert_eq!(a.read(&mut buf).unwrap(), 1);
    assert!(a.set_read_timeout(Some(Duration::ZERO)).is_err());
}

#[gusty::test]
fn timeouts_race_with_data_without_losing_any() {
    let (mut a, mut b) = pair();
    a.set_read_timeout(Some(Duration::from_micros(200))).unwrap();
    let writer = gusty::spawn(move || {
        for i in 0..500u32 {
            gusty::sleep(Duration::from_micros(u64::from(i % 7) * 60));
            b.write_all(&[1]).unwrap();
        }
    });
    let mut got = 0;
    while got < 500 {
        match a.read(&mut [0; 64]) {
            Ok(0) => panic!("the writer closed early"),
            Ok(n) => got += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    }
    writer.join().unwrap();
}

#[gusty::test]
fn close_wakes_every_waiter() {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let woken = Arc::new(AtomicUsize::new(0));
    let acceptors: Vec<_> = (0..10)
        .map(|_| {
            let (listener, woken) = (listener.clone(), woken.clone());
            gusty::spawn(move || {
                assert!(listener.accept().is_err());
                woken.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    gusty::sleep(Duration::from_millis(1)); // some wait by now, some will find it closed
    listener.close();
    for acceptor in acceptors {
        acceptor.join().unwrap();
    }
    assert_eq!(woken.load(Ordering::Relaxed), 10);
    assert!(listener.accept().is_err());
}

#[gusty::test]
fn half_close_and_end_of_stream() {
    let (mut a, mut b) = pair();
    a.write_all(b"last words").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    b.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words");
    b.write_all(b"answer").unwrap();
    drop(b);
    let mut answer = String::new();
    a.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[gusty::test]
fn connecting_to_nobody_is_refused() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(TcpStream::connect("").is_err());
}

/// Row 106 (TestTCPConcurrentAccept).
#[gusty::test]
fn many_acceptors_share_a_listener() {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap();
    let acceptors: Vec<_> = (0..8)
        .map(|_| {
            let listener = listener.clone();
            gusty::spawn(move || {
                let mut count = 0;
                while listener.accept().is_ok() {
                    count += 1;
                }
                count
            })
        })
        .collect();
    let clients: Vec<_> =
        (0..200).map(|_| gusty::spawn(move || TcpStream::connect(addr).unwrap())).collect();
    let streams: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    // All are connected; wait until all are accepted, too: an accepted peer closes, we see the end.
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    listener.close();
    let accepted: usize = acceptors.into_iter().map(|a| a.join().unwrap()).sum();
    assert_eq!(accepted, 200);
}
