//! Job: what Go's own tests ask of TCP, asked of ours: one test a row of the list of candidates.
//! Not here: UDP, Unix sockets and pipes, which there are not yet.

mod common;
mod waiters;

use common::{Rng, until, watched};
use gusty::context::{Error, background, with_cancel, with_timeout};
use gusty::net::{Shutdown, TcpListener, TcpStream};
use gusty::{JoinHandle, go, spawn};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiters::{sweep, until_parked};

fn pair() -> (Arc<TcpStream>, Arc<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = spawn(move || TcpStream::connect(address).unwrap());
    (Arc::new(listener.accept().unwrap().0), Arc::new(client.join().unwrap()))
}

/// Writes until nobody takes more.
fn fill(stream: &TcpStream) -> std::io::Error {
    let mut stream = stream;
    let block = [0; 1 << 16];
    loop {
        match stream.write(&block) {
            Ok(n) => assert!(n > 0),
            Err(error) => return error,
        }
    }
}

fn reader(stream: &Arc<TcpStream>) -> JoinHandle<std::io::Result<usize>> {
    let stream = stream.clone();
    let handle = spawn(move || (&*stream).read(&mut [0; 8]));
    until_parked([&handle]);
    handle
}

/// Row 98 (TestAcceptTimeout, ReadTimeout, WriteTimeout): each call that runs out of time says so, as
/// often as it is tried. Row 99 (their Fluctuation variants): and never early.
#[test]
fn row_98_and_99_calls_run_out_of_time() {
    sweep("row_98", || {
        let (ours, _theirs) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for micros in [1, 100, 2000, 100] {
            let timeout = Duration::from_micros(micros);
            ours.set_read_timeout(Some(timeout)).unwrap();
            ours.set_write_timeout(Some(timeout)).unwrap();
            listener.set_accept_timeout(Some(timeout)).unwrap();
            for _ in 0..2 {
                let begin = Instant::now();
                let read = (&*ours).read(&mut [0; 8]).unwrap_err();
                assert!(read.kind() == ErrorKind::TimedOut && begin.elapsed() >= timeout);
                let begin = Instant::now();
                let accept = listener.accept().map(drop).unwrap_err();
                assert!(accept.kind() == ErrorKind::TimedOut && begin.elapsed() >= timeout);
                let begin = Instant::now();
                assert!(fill(&ours).kind() == ErrorKind::TimedOut && begin.elapsed() >= timeout);
            }
        }
    });
}

/// Row 98 (TestReadTimeoutMustNotReturn and its kin): without a limit, or with a far one, nothing
/// returns before something happens.
#[test]
fn row_98_without_a_limit_calls_wait() {
    sweep("row_98_must_not_return", || {
        for limit in [None, Some(Duration::from_secs(3600)), Some(Duration::MAX)] {
            let (ours, theirs) = pair();
            ours.set_read_timeout(limit).unwrap();
            let waits = reader(&ours);
            assert!(!waits.is_finished());
            (&*theirs).write_all(b"x").unwrap();
            assert_eq!(waits.join().unwrap().unwrap(), 1);
        }
    });
}

/// Row 100 (TestVariousDeadlines): deadlines from a nanosecond on end reads of data that never stops;
/// closing the stream then ends its source and a read by another handle of it, which lives on.
#[test]
fn row_100_deadlines_among_endless_data() {
    sweep("row_100", || {
        let (ours, theirs) = pair();
        let source = spawn(move || fill(&theirs));
        for nanos in [1, 1_000, 50_000, 300_000, 2_000_000] {
            let (ctx, _cancel) = with_timeout(&background(), Duration::from_nanos(nanos));
            let mut buf = vec![0; 1 << 15];
            let error = loop {
                match ours.read_ctx(&ctx, &mut buf) {
                    Ok(n) => assert!(n > 0, "the source is there"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        let other = Arc::new(ours.try_clone().unwrap());
        let reads = other.clone();
        let reads = spawn(move || {
            loop {
                match (&*reads).read(&mut [0; 100]) {
                    Ok(n) => assert!(n > 0, "the source did not stop"),
                    Err(error) => return error,
                }
            }
        });
        ours.close();
        assert_eq!(reads.join().unwrap().kind(), ErrorKind::NotConnected);
        let kind = source.join().unwrap().kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
        assert_eq!((&*other).read(&mut [0]).unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

/// Row 101 (TestReadWriteDeadlineRace, ConcurrentSetDeadline): limits change while others read and
/// write; not a byte is lost.
#[test]
fn row_101_limits_change_during_transfers() {
    const BYTES: usize = 20_000;
    sweep("row_101", || {
        let (ours, theirs) = pair();
        let (changed, done) = (ours.clone(), gusty::sync::Notify::new());
        let done = Arc::new(done);
        let stop = done.clone();
        let changer = spawn(move || {
            let mut rng = Rng(7);
            while !stop.notified_timeout(Duration::from_micros(20)) {
                let limit = Duration::from_micros(1 + rng.below(50) as u64);
                changed.set_read_timeout(Some(limit)).unwrap();
                changed.set_write_timeout((rng.below(2) == 0).then_some(limit)).unwrap();
            }
        });
        let writer = spawn(move || {
            for i in (0..BYTES).step_by(100) {
                let block: Vec<u8> = (i..i + 100).map(|k| (k % 251) as u8).collect();
                (&*theirs).write_all(&block).unwrap();
                gusty::yield_now();
            }
            theirs // stays open
        });
        let (mut got, mut buf) = (0, [0; 333]);
        while got < BYTES {
            match (&*ours).read(&mut buf) {
                Ok(n) => {
                    assert!(n > 0);
                    assert!(
                        buf[..n].iter().enumerate().all(|(i, &b)| b == ((got + i) % 251) as u8)
                    );
                    got += n;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
        done.notify_one();
        changer.join().unwrap();
        drop(writer.join().unwrap());
    });
}

/// Row 102 (TestReadTimeoutUnblocksRead): an end that is set while a read waits ends that read.
#[test]
fn row_102_an_end_wakes_a_read_that_waits() {
    sweep("row_102", || {
        let (ours, theirs) = pair();
        let (ctx, cancel) = with_cancel(&background());
        let stream = ours.clone();
        let waits = spawn(move || stream.read_ctx(&ctx, &mut [0; 8]));
        until_parked([&waits]);
        cancel.cancel();
        let error = waits.join().unwrap().unwrap_err();
        assert_eq!(error.get_ref().and_then(|e| e.downcast_ref()), Some(&Error::Cancelled));
        (&*theirs).write_all(b"x").unwrap();
        assert_eq!((&*ours).read(&mut [0; 8]).unwrap(), 1);
    });
}

/// Row 103 (TestCloseUnblocksRead, ConnClose, ListenerClose): closing wakes who waits, and later calls
/// fail at once. Row 108 (fd_mutex_test): twice is as good as once, for all handles of it.
#[test]
fn row_103_closing_wakes_who_waits() {
    sweep("row_103", || {
        let (ours, theirs) = pair();
        let (mine, his) = (reader(&ours), reader(&theirs));
        let clone = ours.try_clone().unwrap();
        ours.close();
        assert_eq!(mine.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(his.join().unwrap().unwrap(), 0, "the other end sees the end");
        for handle in [&*ours, &clone] {
            let mut handle = handle;
            assert_eq!(handle.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(handle.write(&[0; 8]).unwrap_err().kind(), ErrorKind::NotConnected);
            handle.close();
        }

        let (ours, _theirs) = pair();
        let stream = ours.clone();
        let writes = spawn(move || fill(&stream));
        until_parked([&writes]);
        ours.close();
        assert_ne!(writes.join().unwrap().kind(), ErrorKind::TimedOut);

        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let waits = listener.clone();
        let accepts = spawn(move || waits.accept().map(drop));
        until_parked([&accepts]);
        listener.close();
        assert!(accepts.join().unwrap().is_err());
        assert!(listener.accept().is_err());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let left = listener.try_clone().unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.close();
        // Nobody accepted it, and nobody will, though a handle is left.
        let kind = (&client).read(&mut [0; 8]).unwrap_err().kind();
        assert!(kind == ErrorKind::ConnectionReset && left.accept().is_err(), "{kind}");
    });
}

/// Row 104 (TestCloseRead, CloseWrite, ZeroByteRead): half a connection ends, the other half works;
/// reading nothing takes nothing.
#[test]
fn row_104_half_a_connection() {
    sweep("row_104", || {
        let (ours, theirs) = pair();
        let (waits, his) = (reader(&ours), reader(&theirs));
        ours.shutdown(Shutdown::Read).unwrap();
        assert_eq!(waits.join().unwrap().unwrap(), 0);
        (&*ours).write_all(b"still").unwrap();
        assert_eq!(his.join().unwrap().unwrap(), 5);
        (&*ours).write_all(b"more").unwrap();
        assert_eq!(theirs.peek(&mut [0; 8]).unwrap(), 4);
        assert_eq!((&*theirs).read(&mut []).unwrap(), 0, "takes nothing");
        assert_eq!((&*theirs).read(&mut [0; 8]).unwrap(), 4);
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&*theirs).read(&mut [0; 8]).unwrap(), 0);
        assert_eq!((&*ours).write(b"no").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// Row 105 (TestDialCancel, CancelAfterDial): a dial that is called off connects or says why not; once
/// connected, its context matters no more.
#[test]
fn row_105_dials_are_called_off() {
    sweep("row_105", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let (ctx, cancel) = with_cancel(&background());
            let dial = spawn(move || TcpStream::connect_ctx(&ctx, address));
            go!(move || cancel.cancel());
            match dial.join().unwrap() {
                Ok(stream) => drop(stream.peer_addr().unwrap()),
                Err(error) => assert_eq!(error.to_string(), "context cancelled"),
            }
        }
        let (ctx, cancel) = with_cancel(&background());
        let stream = TcpStream::connect_ctx(&ctx, address).unwrap();
        cancel.cancel();
        (&stream).write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let ours = stream.local_addr().unwrap();
        loop {
            let (mut accepted, peer) = listener.accept().unwrap();
            if peer == ours {
                let mut text = String::new();
                accepted.read_to_string(&mut text).unwrap();
                break assert_eq!(text, "hello");
            }
        }
    });
}

/// Row 106 (TestEndlessWrite): a write without end is ended by the reader that goes away.
/// Row 66 (TestNetpollWaiters): afterwards nobody is left who waits for the network, of many who did.
/// (That the process then knows it: `deadlock`, `after_timers_and_sockets_are_gone`.)
#[test]
fn row_106_and_66_an_endless_write_ends() {
    fn waiting() -> usize {
        gusty::runtime::dump().lines().filter(|line| line.contains(" [IO ")).count()
    }
    sweep("row_106", || {
        let before = waiting();
        let (ours, theirs) = pair();
        let writes = spawn(move || fill(&ours));
        let id = writes.goroutine().id();
        until_parked([&writes]);
        assert!(gusty::runtime::dump().contains(&format!("goroutine {id} [IO write]")));
        let pairs: Vec<_> = (0..20).map(|_| pair()).collect();
        let readers: Vec<_> = pairs.iter().map(|(ours, _)| reader(ours)).collect();
        assert!(waiting() > 20);
        (&*theirs).read_exact(&mut [0; 1000]).unwrap();
        drop(theirs);
        let kind = writes.join().unwrap().kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
        until(|| !gusty::runtime::dump().contains(&format!("goroutine {id} ")));
        for (i, (ours, theirs)) in pairs.iter().enumerate() {
            match i % 3 {
                0 => assert_eq!((&**theirs).write(b"x").unwrap(), 1),
                1 => ours.close(),
                _ => theirs.close(),
            }
        }
        for (i, reader) in readers.into_iter().enumerate() {
            let read = reader.join().unwrap().map_err(|error| error.kind());
            assert_eq!(read, [Ok(1), Err(ErrorKind::NotConnected), Ok(0)][i % 3]);
        }
        // The same test beside this one has waiters of its own.
        until(|| waiting() <= before + 21);
    });
}

/// The descriptors of this process that are sockets.
fn sockets() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Row 107 (TestFdRace, ClosedPipeRace, CloseWithBlockingRead, here with sockets): streams are closed
/// while they are read and written, by several on either side, and their descriptors are used again;
/// no byte reaches a stranger, everybody learns of it, and no descriptor is left.
#[test]
fn row_107_closing_races_with_transfers() {
    const ROUNDS: u8 = 5;
    let transfers = |tag: u8, first: usize| {
        let (ours, theirs) = pair();
        let clone = Arc::new(ours.try_clone().unwrap());
        let readers = [ours.clone(), clone].map(|stream| {
            spawn(move || {
                let mut buf = [0; 64];
                loop {
                    match (&*stream).read(&mut buf) {
                        Ok(0) => return None,
                        Ok(n) => assert!(buf[..n].iter().all(|b| *b == tag), "a stranger's byte"),
                        Err(error) => return Some(error.kind()),
                    }
                    gusty::yield_now();
                }
            })
        });
        let source = theirs.clone();
        let writes = spawn(move || {
            while (&*source).write(&[tag; 48]).is_ok() {
                gusty::yield_now();
            }
        });
        (0..first).for_each(|_| gusty::yield_now());
        let (closed, other) = if tag.is_multiple_of(2) { (ours, theirs) } else { (theirs, ours) };
        closed.close();
        closed.close(); // as good as once
        let ends = readers.map(|reader| reader.join().unwrap());
        if tag.is_multiple_of(2) {
            assert!(ends.iter().all(Option::is_some), "closed here: an error, no end");
        } else {
            assert!(ends.iter().all(|end| matches!(end, None | Some(ErrorKind::ConnectionReset))));
        }
        other.close();
        writes.join().unwrap();
    };
    // One count for all Ps: the number is of the process.
    let transfer = move || {
        let pairs: Vec<_> = (0..6u8)
            .map(|k| spawn(move || (0..ROUNDS).for_each(|i| transfers(k + 6 * i, usize::from(k)))))
            .collect();
        pairs.into_iter().for_each(|one| one.join().unwrap());
    };
    let _alone = common::alone();
    watched("row_107", || {
        let procs_before = gusty::runtime::gomaxprocs(0);
        transfer(); // what is made once is made
        let before = sockets();
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            transfer();
            spawn(transfer).join().unwrap();
            let beside = spawn(transfer);
            transfer();
            beside.join().unwrap();
        }
        until(|| sockets() <= before);
        gusty::runtime::gomaxprocs(procs_before);
    });
}
