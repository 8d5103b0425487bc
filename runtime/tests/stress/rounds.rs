//! Job: the rounds of a storm: each does something random and checks what came of it.
//! Not here: the rounds about waits that something else may end (`waits`).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::common::{Drops, OnDrop, Rng, until};
use gusty::chan::RecvTimeoutError;
use gusty::net::{Shutdown, TcpListener, TcpStream};

/// A thing to do and check; runs on goroutines and on plain threads.
pub(crate) type Round = fn(&mut Rng);

pub(crate) const ROUNDS: [(&str, Round); 10] = [
    ("tree", tree),
    ("ring", ring),
    ("sleepers", sleepers),
    ("scopes", scopes),
    ("detached", detached),
    ("panics", panics),
    ("channels", channels),
    ("rendezvous", rendezvous),
    ("mutex", mutex),
    ("echo", echo),
];

/// One of the ways to lose the processor for a moment.
pub(crate) fn stumble(rng: &mut Rng) {
    match rng.below(12) {
        0 => gusty::sleep(Duration::from_nanos(rng.next() % 100_000)),
        1 => gusty::park_timeout(Duration::from_nanos(rng.next() % 50_000)),
        2 => gusty::spawn(|| ()).join().unwrap(),
        3 => (0..rng.below(300)).for_each(|_| std::hint::spin_loop()),
        4..8 => gusty::yield_now(),
        _ => {}
    }
}

/// The nodes of a random tree.
fn tree_size(seed: u64, depth: usize) -> u64 {
    let mut rng = Rng(seed);
    let width = if depth == 0 { 0 } else { rng.below(5) };
    1 + (0..width).map(|_| tree_size(rng.next(), depth - 1)).sum::<u64>()
}

fn grow(seed: u64, depth: usize) -> u64 {
    let mut rng = Rng(seed);
    let width = if depth == 0 { 0 } else { rng.below(5) };
    let seeds: Vec<u64> = (0..width).map(|_| rng.next()).collect();
    let spawn = |seed| gusty::spawn(move || grow(seed, depth - 1));
    let children: Vec<_> = seeds.into_iter().map(spawn).collect();
    stumble(&mut rng);
    1 + children.into_iter().map(|child| child.join().unwrap()).sum::<u64>()
}

fn tree(rng: &mut Rng) {
    let (seed, depth) = (rng.next(), rng.below(6));
    assert_eq!(grow(seed, depth), tree_size(seed, depth));
}

/// A turn that goes round by park and unpark.
fn ring(rng: &mut Rng) {
    let (members, laps) = (2 + rng.below(12), 1 + rng.below(20));
    let turn = Arc::new(AtomicUsize::new(usize::MAX));
    let everybody = Arc::new(OnceLock::<Vec<gusty::Goroutine>>::new());
    let member = |i: usize| {
        let (turn, everybody) = (turn.clone(), everybody.clone());
        let mut rng = rng.clone();
        gusty::spawn(move || {
            for lap in 0..laps {
                while turn.load(Ordering::SeqCst) != lap * members + i {
                    gusty::park();
                }
                stumble(&mut rng);
                turn.fetch_add(1, Ordering::SeqCst);
                everybody.get().unwrap()[(i + 1) % members].unpark();
            }
        })
    };
    let handles: Vec<_> = (0..members).map(member).collect();
    everybody.set(handles.iter().map(gusty::JoinHandle::goroutine).collect()).unwrap();
    turn.store(0, Ordering::SeqCst);
    everybody.get().unwrap()[0].unpark();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
    assert_eq!(turn.load(Ordering::SeqCst), members * laps);
}

/// Deadlines that race with unparks.
fn sleepers(rng: &mut Rng) {
    let spawn = |i: usize, mut rng: Rng| {
        gusty::spawn(move || {
            for _ in 0..5 {
                let time = Duration::from_nanos(rng.next() % 200_000);
                match rng.below(3) {
                    0 => gusty::sleep(time),
                    1 => gusty::sleep_until(Instant::now() + time),
                    _ => gusty::park_timeout(time),
                }
            }
            i
        })
    };
    let handles: Vec<_> = (0..1 + rng.below(40)).map(|i| spawn(i, Rng(rng.next()))).collect();
    for _ in 0..rng.below(100) {
        handles[rng.below(handles.len())].goroutine().unpark();
        stumble(rng);
    }
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), i);
    }
}

fn scopes(rng: &mut Rng) {
    let mut words: Vec<u64> = (0..1 + rng.below(500)).map(|_| rng.next() >> 32).collect();
    let before: u64 = words.iter().sum();
    let (len, width) = (words.len() as u64, 1 + rng.below(60));
    let total = AtomicU64::new(0);
    gusty::scope(|s| {
        for chunk in words.chunks_mut(width) {
            let (mut rng, total) = (Rng(rng.next()), &total);
            let handle = s.spawn(move || {
                for word in chunk {
                    *word += 1;
                    total.fetch_add(*word, Ordering::Relaxed);
                }
                stumble(&mut rng);
            });
            if chunk_is_joined(&handle) {
                handle.join().unwrap();
            }
        }
    });
    assert_eq!(total.into_inner(), before + len);
    assert_eq!(words.iter().sum::<u64>(), before + len);
}

fn chunk_is_joined<T>(handle: &gusty::ScopedJoinHandle<'_, T>) -> bool {
    handle.goroutine().id().as_u64().get().is_multiple_of(3)
}

/// Results and closures whose owners come and go in every order.
fn detached(rng: &mut Rng) {
    let (drops, n) = (Drops::new(), rng.below(60));
    for _ in 0..n {
        let (captured, result, mut theirs) = (drops.tracker(), drops.tracker(), Rng(rng.next()));
        let handle = gusty::spawn(move || {
            stumble(&mut theirs);
            drop(captured);
            result
        });
        stumble(rng);
        match rng.below(4) {
            0 => drop(handle.join()),
            1 => drop(gusty::spawn(move || drop(handle))),
            2 => drop(std::thread::spawn(move || drop(handle.join()))),
            _ => drop(handle),
        }
    }
    until(|| drops.count() == 2 * n);
}

fn panics(rng: &mut Rng) {
    let spawn = |i: usize, mut rng: Rng| {
        gusty::spawn(move || {
            let mut theirs = rng.clone();
            let _guard = OnDrop(move || stumble(&mut theirs));
            stumble(&mut rng);
            if i.is_multiple_of(3) {
                resume_unwind(Box::new(i));
            }
            assert!(!std::thread::panicking());
            i
        })
    };
    let handles: Vec<_> = (0..rng.below(12)).map(|i| spawn(i, Rng(rng.next()))).collect();
    for (i, handle) in handles.into_iter().enumerate() {
        match handle.join() {
            Ok(value) => assert!(value == i && !i.is_multiple_of(3)),
            Err(payload) => assert_eq!(*payload.downcast::<usize>().unwrap(), i),
        }
    }
}

/// What runs on a goroutine or on a thread of its own.
pub(crate) enum Running<T> {
    Goroutine(gusty::JoinHandle<T>),
    Thread(std::thread::JoinHandle<T>),
}

impl<T> Running<T> {
    pub(crate) fn join(self) -> T {
        match self {
            Running::Goroutine(handle) => handle.join().unwrap(),
            Running::Thread(handle) => {
                until(|| handle.is_finished()); // what it waits for may need this P
                handle.join().unwrap()
            }
        }
    }
}

/// Starts `f`, once in a while on a plain thread.
pub(crate) fn somewhere<T, F>(rng: &mut Rng, f: F) -> Running<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match rng.below(8) {
        0 => Running::Thread(std::thread::spawn(f)),
        _ => Running::Goroutine(gusty::spawn(f)),
    }
}

/// Everything sent arrives once, and in order as seen by each receiver from each sender.
fn channels(rng: &mut Rng) {
    let capacity = [0, 1, 2, 7, 100][rng.below(5)];
    let (tx, rx) =
        if rng.below(5) == 0 { gusty::chan::unbounded() } else { gusty::chan::bounded(capacity) };
    let (senders, messages) = (1 + rng.below(6), rng.below(200));
    let mut sending = Vec::new();
    for sender in 0..senders {
        let (tx, mut theirs) = (tx.clone(), Rng(rng.next()));
        sending.push(somewhere(rng, move || {
            for i in 0..messages {
                tx.send((sender, i)).unwrap();
                if theirs.below(8) == 0 {
                    stumble(&mut theirs);
                }
            }
        }));
    }
    drop(tx);
    let mut receiving = Vec::new();
    for _ in 0..1 + rng.below(6) {
        let (rx, mut theirs) = (rx.clone(), Rng(rng.next()));
        receiving.push(somewhere(rng, move || {
            let (mut got, mut last) = (0, HashMap::new());
            loop {
                let (sender, i) =
                    match rx.recv_timeout(Duration::from_nanos(theirs.next() % 100_000)) {
                        Ok(message) => message,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return got,
                    };
                assert!(last.insert(sender, i).is_none_or(|before| before < i));
                got += 1;
                if theirs.below(8) == 0 {
                    stumble(&mut theirs);
                }
            }
        }));
    }
    sending.into_iter().for_each(Running::join);
    let got: usize = receiving.into_iter().map(Running::join).sum();
    assert_eq!(got, senders * messages);
}

/// Question and answer over two channels without a buffer.
fn rendezvous(rng: &mut Rng) {
    let (ask, asked) = gusty::chan::bounded::<u64>(0);
    let (answer, answered) = gusty::chan::bounded::<u64>(0);
    let server = somewhere(rng, move || {
        for question in asked {
            answer.send(question * 2).unwrap();
        }
    });
    for _ in 0..rng.below(100) {
        let question = rng.next() >> 8;
        ask.send(question).unwrap();
        assert_eq!(answered.recv(), Ok(question * 2));
        stumble(rng);
    }
    drop(ask);
    server.join();
}

/// Two halves that only the lock keeps equal.
fn mutex(rng: &mut Rng) {
    let halves = Arc::new(gusty::sync::Mutex::new((0_u64, 0_u64)));
    let (workers, rounds) = (1 + rng.below(8), rng.below(50));
    let mut working = Vec::new();
    for _ in 0..workers {
        let (halves, mut theirs) = (halves.clone(), Rng(rng.next()));
        working.push(somewhere(rng, move || {
            for _ in 0..rounds {
                let mut guard = halves.lock().unwrap();
                guard.0 += 1;
                if theirs.below(8) == 0 {
                    stumble(&mut theirs);
                }
                guard.1 += 1;
                assert_eq!(guard.0, guard.1);
            }
        }));
    }
    working.into_iter().for_each(Running::join);
    let count = (workers * rounds) as u64;
    assert_eq!(*halves.lock().unwrap(), (count, count));
}

/// What was sent to a server comes back, whatever the sizes.
fn echo(rng: &mut Rng) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let clients = 1 + rng.below(4);
    let server = gusty::spawn(move || {
        let serve = |stream: TcpStream| {
            gusty::spawn(move || {
                let mut buffer = vec![0; 4_096];
                loop {
                    match (&stream).read(&mut buffer).unwrap() {
                        0 => return,
                        n => (&stream).write_all(&buffer[..n]).unwrap(),
                    }
                }
            })
        };
        let served: Vec<_> = (0..clients).map(|_| serve(listener.accept().unwrap().0)).collect();
        served.into_iter().for_each(|handle| handle.join().unwrap());
    });
    let mut calling = Vec::new();
    for _ in 0..clients {
        let mut theirs = Rng(rng.next());
        calling.push(somewhere(rng, move || {
            let stream = Arc::new(TcpStream::connect(at).unwrap());
            for _ in 0..theirs.below(6) {
                let sent: Vec<u8> =
                    (0..theirs.below(40_000)).map(|_| theirs.next() as u8).collect();
                let (writer, bytes) = (stream.clone(), sent.clone());
                let writes = gusty::spawn(move || (&*writer).write_all(&bytes).unwrap());
                let mut back = vec![0; sent.len()];
                (&*stream).read_exact(&mut back).unwrap();
                writes.join().unwrap();
                assert!(back == sent, "{} bytes came back as others", sent.len());
            }
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&*stream).read(&mut [0; 8]).unwrap(), 0);
        }));
    }
    calling.into_iter().for_each(Running::join);
    server.join().unwrap();
}
