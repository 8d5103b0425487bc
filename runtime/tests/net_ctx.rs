//! Job: TCP calls that a context ends, and what they leave behind: a socket that works.

mod common;

use common::{Rng, alone, scaled, watched};
use gusty::context::{Context, Error, background, with_cancel, with_timeout};
use gusty::net::{TcpListener, TcpStream};
use gusty::time::Duration;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let one = gusty::spawn(move || TcpStream::connect(address).unwrap());
    (listener.accept().unwrap().0, one.join().unwrap())
}

fn reason<T>(result: io::Result<T>) -> Error {
    let error = result.err().expect("the context ends it");
    *error.get_ref().and_then(|inner| inner.downcast_ref()).expect("a context's error")
}

#[test]
fn each_call_ends_with_its_context() {
    fn scenario() {
        let (ours, theirs) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let full = vec![0; 1 << 20];
        let unread = Cell::new(0);
        let fill = |ctx: &Context| -> io::Result<()> {
            loop {
                unread.set(unread.get() + ours.write_ctx(ctx, &full)?);
            }
        };
        for deadline in [false, true] {
            let expected = if deadline { Error::DeadlineExceeded } else { Error::Cancelled };
            let ends = || {
                if deadline {
                    let (ctx, cancel) = with_timeout(&background(), Duration::from_micros(200));
                    return (ctx, Some(cancel));
                }
                let (ctx, cancel) = with_cancel(&background());
                gusty::go!(move || cancel.cancel());
                (ctx, None)
            };
            let (ctx, _cancel) = ends();
            assert_eq!(reason(theirs.read_ctx(&ctx, &mut [0; 8])), expected);
            let (ctx, _cancel) = ends();
            assert_eq!(reason(listener.accept_ctx(&ctx)), expected);
            let (ctx, _cancel) = ends();
            assert_eq!(reason(fill(&ctx)), expected);
            // It has ended: errors at once, whatever is ready.
            let address = listener.local_addr().unwrap();
            let _waiting = TcpStream::connect(address).unwrap();
            assert_eq!(reason(listener.accept_ctx(&ctx)), expected);
            assert_eq!(reason(theirs.read_ctx(&ctx, &mut [0; 8])), expected);
            assert_eq!(reason(TcpStream::connect_ctx(&ctx, address)), expected);
            assert!(listener.accept_ctx(&background()).is_ok());
            // What was written before is there.
            (&theirs).read_exact(&mut vec![0; unread.take()]).unwrap();
        }
        (&ours).write_all(b"still here").unwrap();
        let mut text = [0; 10];
        (&theirs).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"still here");
    }
    watched("each_call_ends_with_its_context", || {
        gusty::spawn(scenario).join().unwrap();
        thread::spawn(scenario).join().unwrap();
    });
}

/// Bytes arrive once and in order, however often the reads are called off.
#[test]
fn reads_that_race_with_ends_lose_nothing() {
    fn stream(seed: u64, n: usize) {
        let (ours, theirs) = pair();
        let writer = gusty::spawn(move || {
            let mut rng = Rng(seed);
            for i in 0..n {
                (&ours).write_all(&[i as u8]).unwrap();
                match rng.below(4) {
                    0 => gusty::sleep(Duration::from_micros(rng.below(80) as u64)),
                    1 => gusty::yield_now(),
                    _ => {}
                }
            }
        });
        let mut rng = Rng(!seed);
        let mut got = 0;
        while got < n {
            let limit = Duration::from_micros(rng.below(60) as u64);
            let (ctx, _cancel) = with_timeout(&background(), limit);
            let mut buf = [0; 16];
            match theirs.read_ctx(&ctx, &mut buf) {
                Ok(len) => {
                    assert!(len > 0);
                    for byte in &buf[..len] {
                        assert_eq!(*byte, got as u8);
                        got += 1;
                    }
                }
                failed => assert_eq!(reason(failed), Error::DeadlineExceeded),
            }
        }
        writer.join().unwrap();
    }
    let _alone = alone();
    watched("reads_that_race_with_ends_lose_nothing", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            let streams: Vec<_> =
                (0..8).map(|i| gusty::spawn(move || stream(i, scaled(2_000)))).collect();
            streams.into_iter().for_each(|handle| handle.join().unwrap());
        }
        gusty::runtime::gomaxprocs(before);
    });
}

/// One end for many waiters, on the same and on other descriptors.
#[gusty::test]
fn a_context_ends_all_reads() {
    let (ctx, cancel) = with_cancel(&background());
    let pairs: Arc<Vec<_>> = Arc::new((0..20).map(|_| pair()).collect());
    let readers: Vec<_> = (0..200)
        .map(|i| {
            let (pairs, ctx) = (pairs.clone(), ctx.clone());
            gusty::spawn(move || reason(pairs[i % 20].0.read_ctx(&ctx, &mut [0; 8])))
        })
        .collect();
    common::until(|| gusty::runtime::dump().matches("[IO read]").count() >= 200);
    cancel.cancel();
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == Error::Cancelled));
    for (ours, theirs) in pairs.iter() {
        (&*theirs).write_all(b"x").unwrap();
        assert_eq!(ours.read_ctx(&background(), &mut [0; 8]).unwrap(), 1);
    }
}
