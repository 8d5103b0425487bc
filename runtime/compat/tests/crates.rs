//! Job: popular crates that keep something for each thread, on goroutines that change threads.
//! Not here: allocators (files of their own), std and libc (`runtime/tests/own_tls.rs`).

#[path = "../../tests/tls/battery.rs"]
mod battery;
#[path = "../../tests/common/mod.rs"]
mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use battery::{Needs, blockable, on_many, survives};
use common::{Drops, scaled};

#[test]
fn a_handle_of_rand_is_held_over_parks() {
    use rand::RngCore;
    let needs = Needs::SamePlace("two threads would draw from one generator at the same time");
    survives("a_handle_of_rand_is_held_over_parks", needs, || {
        let rounds = scaled(500);
        let drawn = on_many(100, move |_| {
            let mut generator = rand::rng();
            let draw = |_| {
                gusty::yield_now();
                generator.next_u64()
            };
            (0..rounds).map(draw).collect::<Vec<_>>()
        });
        let all: HashSet<u64> = drawn.into_iter().flatten().collect();
        assert_eq!(all.len(), 100 * rounds); // equal by chance: once in 10^10 runs
    });
}

#[test]
fn a_runtime_of_tokio_on_every_goroutine() {
    let needs = Needs::OwnBlock("a goroutine finds itself inside another one's runtime");
    survives("a_runtime_of_tokio_on_every_goroutine", needs, || {
        on_many(200, |i| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let sum = runtime.block_on(async move {
                let task = |k| async move {
                    gusty::yield_now();
                    tokio::task::yield_now().await;
                    tokio::time::sleep(Duration::from_micros(10)).await;
                    gusty::yield_now();
                    i + k
                };
                let local = tokio::task::LocalSet::new();
                let tasks: Vec<_> = (0..10).map(|k| local.spawn_local(task(k))).collect();
                local.await;
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum + tokio::spawn(task(5)).await.unwrap()
            });
            assert_eq!(sum, 11 * i + 50);
            let _entered = runtime.enter();
            gusty::yield_now();
            assert_eq!(tokio::runtime::Handle::current().id(), runtime.handle().id());
        });
    });
}

#[test]
fn a_connection_in_tokio_on_goroutines() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let needs = Needs::OwnBlock("a goroutine finds itself inside another one's runtime");
    survives("a_connection_in_tokio_on_goroutines", needs, || {
        on_many(30, |i| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let server = tokio::spawn(async move {
                    let mut stream = listener.accept().await.unwrap().0;
                    let number = stream.read_u64().await.unwrap();
                    gusty::yield_now();
                    stream.write_u64(number + 1).await.unwrap();
                });
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.write_u64(i as u64).await.unwrap();
                gusty::yield_now();
                assert_eq!(stream.read_u64().await.unwrap(), i as u64 + 1);
                server.await.unwrap();
            });
        });
    });
}

#[test]
fn spans_of_tracing_are_the_goroutines() {
    let needs = Needs::OwnBlock("a span is entered by the thread, and others run on it");
    survives("spans_of_tracing_are_the_goroutines", needs, || {
        tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
        on_many(100, |i| {
            for _ in 0..10 {
                let outer = tracing::info_span!("outer", i);
                let guard = outer.enter();
                gusty::yield_now();
                assert_eq!(tracing::Span::current().id(), outer.id());
                tracing::info_span!("inner", i).in_scope(|| {
                    let inner = tracing::Span::current();
                    gusty::yield_now();
                    assert_eq!(tracing::Span::current().id(), inner.id());
                    assert_ne!(inner.id(), outer.id());
                });
                assert_eq!(tracing::Span::current().id(), outer.id());
                drop(guard);
                gusty::yield_now();
                assert!(tracing::Span::current().is_none());
            }
        });
    });
}

#[test]
fn locks_of_parking_lot_are_held_over_parks() {
    use parking_lot::{Condvar, Mutex, RwLock};
    let needs =
        Needs::OwnBlock("a guard must not change threads, nor its waiters block its owner's");
    survives("locks_of_parking_lot_are_held_over_parks", needs, || {
        let locks = Arc::new((Mutex::new(0), RwLock::new(0)));
        let rounds = scaled(200);
        let shared = locks.clone();
        // As many as may wait at the same time: the owner needs a thread to come back on.
        on_many(blockable(), move |_| {
            for _ in 0..rounds {
                let mut sum = shared.0.lock();
                let before = *sum;
                gusty::yield_now();
                *sum = before + 1;
                drop(sum);
                let mut sum = shared.1.write();
                let before = *sum;
                gusty::yield_now();
                *sum = before + 1;
            }
        });
        let all = blockable() * rounds;
        assert_eq!((*locks.0.lock(), *locks.1.read()), (all, all));
        // Two take turns; one at most waits.
        let turn = Arc::new((Mutex::new(0), Condvar::new()));
        on_many(2, move |i| {
            for round in 0..rounds {
                let mut turn_now = turn.0.lock();
                turn.1.wait_while(&mut turn_now, |now| *now != 2 * round + i);
                *turn_now += 1;
                turn.1.notify_all();
            }
        });
    });
}

#[test]
fn the_reentrant_lock_of_parking_lot_knows_its_goroutine() {
    static LOCK: parking_lot::ReentrantMutex<()> = parking_lot::ReentrantMutex::new(());
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    let needs = Needs::OwnBlock("another goroutine of the thread gets in, taken for the owner");
    survives("the_reentrant_lock_of_parking_lot_knows_its_goroutine", needs, || {
        on_many(blockable(), |_| {
            for _ in 0..100 {
                let _first = LOCK.lock();
                assert_eq!(INSIDE.fetch_add(1, Ordering::Relaxed), 0);
                gusty::yield_now();
                drop(LOCK.lock());
                assert_eq!(INSIDE.fetch_sub(1, Ordering::Relaxed), 1);
            }
        });
    });
}

#[test]
fn short_sections_of_parking_lot() {
    survives("short_sections_of_parking_lot", Needs::Nothing, || {
        let sum = Arc::new(parking_lot::Mutex::new(0));
        let counted = sum.clone();
        on_many(100, move |_| {
            for _ in 0..scaled(1_000) {
                *counted.lock() += 1;
                gusty::yield_now();
            }
        });
        assert_eq!(*sum.lock(), 100 * scaled(1_000));
    });
}

#[test]
fn channels_of_crossbeam() {
    use crossbeam_channel::{Select, bounded, never, unbounded};
    let needs = Needs::FreeThreads("both may be tied to one thread, which one of them blocks");
    survives("channels_of_crossbeam", needs, || {
        let (sender, receiver) = unbounded();
        on_many(100, move |i| {
            sender.send(i).unwrap();
            gusty::yield_now();
        });
        assert_eq!(receiver.iter().sum::<usize>(), 4_950);
        // Of each pair one at most waits for the other.
        for capacity in [0, 1, 7] {
            let pairs = blockable().div_ceil(2);
            let channels: Vec<_> = (0..pairs).map(|_| bounded(capacity)).collect();
            let sums = on_many(2 * pairs, move |i| {
                let (sender, receiver) = &channels[i / 2];
                let numbers = (0..scaled(1_000)).inspect(|_| gusty::yield_now());
                if i % 2 == 0 {
                    return numbers.inspect(|k| sender.send(*k).unwrap()).sum::<usize>();
                }
                let silent = never::<usize>();
                let receive = |_| {
                    let mut select = Select::new();
                    select.recv(&silent);
                    let index = select.recv(receiver);
                    let operation = select.select();
                    assert_eq!(operation.index(), index);
                    operation.recv(receiver).unwrap()
                };
                numbers.map(receive).sum()
            });
            assert!(sums.iter().all(|sum| *sum == sums[0]));
        }
    });
}

#[test]
fn scoped_threads_of_crossbeam() {
    survives("scoped_threads_of_crossbeam", Needs::Nothing, || {
        on_many(20, |i| {
            let mut words = [0; 4];
            gusty::yield_now();
            crossbeam_utils::thread::scope(|scope| {
                words.iter_mut().for_each(|word| drop(scope.spawn(move |_| *word = i)));
                gusty::yield_now();
            })
            .unwrap();
            assert_eq!(words, [i; 4]);
        });
    });
}

#[test]
fn guards_of_crossbeam_epoch_are_held_over_parks() {
    use crossbeam_epoch::{Atomic, Owned, pin};
    let needs = Needs::SamePlace("a guard that moved releases the epoch of a thread that uses it");
    survives("guards_of_crossbeam_epoch_are_held_over_parks", needs, || {
        let drops = Drops::new();
        let slot = Arc::new(Atomic::new((0, drops.tracker())));
        let rounds = scaled(200);
        let shared = (slot.clone(), drops.clone());
        on_many(100, move |i| {
            for k in 0..rounds {
                let guard = pin();
                let seen = shared.0.load(Ordering::Acquire, &guard); // swapped in below
                gusty::yield_now();
                // SAFETY: loaded under this guard, never null.
                let number = unsafe { &seen.deref().0 };
                assert!(*number < 100 * rounds);
                let new = Owned::new((i * rounds + k, shared.1.tracker()));
                let old = shared.0.swap(new, Ordering::AcqRel, &guard); // loaded above
                // SAFETY: unlinked just now, by this goroutine alone.
                unsafe { guard.defer_destroy(old) };
            }
            pin().flush();
        });
        // What is not dropped yet is dropped by those who pin next.
        common::until(|| {
            pin().flush();
            drops.count() == 100 * rounds
        });
        // SAFETY: nobody else has it any more.
        unsafe { drop(slot.load(Ordering::Relaxed, crossbeam_epoch::unprotected()).into_owned()) };
        assert_eq!(drops.count(), 100 * rounds + 1);
    });
}

#[test]
fn deques_of_crossbeam_lose_and_double_nothing() {
    use crossbeam_deque::{Stealer, Worker};
    const DEQUES: usize = 20;
    survives("deques_of_crossbeam_lose_and_double_nothing", Needs::Nothing, || {
        let drops = Drops::new();
        let (owners, thieves): (Vec<_>, Vec<Stealer<_>>) = (0..DEQUES)
            .map(|i| if i % 2 == 0 { Worker::new_lifo() } else { Worker::new_fifo() })
            .map(|worker| {
                let thief = worker.stealer();
                (std::sync::Mutex::new(Some(worker)), thief)
            })
            .unzip();
        let rounds = scaled(5_000);
        let shared = Arc::new((owners, thieves, drops.clone()));
        let taken = on_many(DEQUES, move |i| {
            let (owners, thieves, drops) = &*shared;
            let own = owners[i].lock().unwrap().take().unwrap();
            let mut taken = Vec::new();
            for k in 0..rounds {
                own.push((i * rounds + k, drops.tracker()));
                if k % 3 == 0 {
                    taken.extend(own.pop());
                }
                if k % 100 == 0 {
                    gusty::yield_now(); // a crowd grows here, another one is stolen there
                    let victim = &thieves[(i + k / 100) % DEQUES];
                    taken.extend(victim.steal_batch_and_pop(&own).success());
                    gusty::yield_now();
                }
            }
            taken.extend(std::iter::from_fn(|| own.pop()));
            taken.into_iter().map(|(number, _tracker)| number).collect::<Vec<_>>()
        });
        let mut all: Vec<usize> = taken.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..DEQUES * rounds));
        assert_eq!(drops.count(), DEQUES * rounds);
    });
}
