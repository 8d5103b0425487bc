//! Job: `Mutex` and `RwLock` beyond std's promises: who gets in when, waiting for a limited time,
//!   storms of everything; from goroutines, from plain threads and from both.
//! Not here: std's promises (`sync_parity`), the oldest tests of `Mutex` (`sync`).

mod common;

use common::{Rng, scaled, until, watched};
use gusty::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use gusty::sync::{Arc, Mutex, RwLock, TryLockError};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(3600);

/// Waits until a goroutine is parked, for whatever reason.
fn until_parked<T>(handle: &gusty::JoinHandle<T>) {
    let line = format!("goroutine {} [", handle.goroutine().id());
    until(|| {
        let dump = gusty::runtime::dump();
        let state = dump.lines().find_map(|text| text.strip_prefix(line.as_str()));
        state.is_some_and(|state| state.starts_with("park") || state.starts_with("sync."))
    });
}

/// Runs `f` on a goroutine, and once more on a plain thread.
fn on_both(name: &str, f: impl Fn() + Send + Sync + 'static) {
    let f = Arc::new(f);
    watched(name, || {
        let clone = f.clone();
        gusty::spawn(move || clone()).join().unwrap();
        f();
    });
}

/// Row 76: a holder that locks again and again for a long time each, with no time in between, lets
/// somebody else in after a hold or two.
#[gusty::test]
fn a_long_holder_in_a_loop_cannot_keep_a_short_locker_out() {
    const ROUNDS: usize = 10;
    let shared = Arc::new((Mutex::new(()), AtomicUsize::new(0), AtomicBool::new(false)));
    let clone = shared.clone();
    let holder = gusty::spawn(move || {
        while !clone.2.load(Ordering::Relaxed) {
            let _guard = clone.0.lock().unwrap();
            clone.1.fetch_add(1, Ordering::Relaxed);
            gusty::sleep(SHORT); // longer than the patience of who waits
        }
    });
    until(|| shared.1.load(Ordering::Relaxed) > 0);
    let mut most = 0;
    for _ in 0..ROUNDS {
        let before = shared.1.load(Ordering::Relaxed);
        let guard = shared.0.lock().unwrap();
        most = most.max(shared.1.load(Ordering::Relaxed) - before);
        drop(guard);
        gusty::sleep(SHORT); // the holder is in again
    }
    shared.2.store(true, Ordering::Relaxed);
    holder.join().unwrap();
    // The hold that is under way, one more if that was nearly over, and some for a busy machine's
    // sake: a waiter that was woken early may find the mutex locked again.
    assert!(most <= 5, "{most} holds before a waiter got in");
}

#[test]
fn a_lock_that_is_held_cannot_be_had_in_time_and_then_can() {
    on_both("a_lock_that_is_held_cannot_be_had_in_time_and_then_can", || {
        let mutex = Mutex::new(1);
        let guard = mutex.lock().unwrap();
        for timeout in [Duration::ZERO, SHORT] {
            let from = Instant::now();
            assert!(matches!(mutex.lock_timeout(timeout), Err(TryLockError::WouldBlock)));
            assert!(from.elapsed() >= timeout);
        }
        drop(guard);
        for timeout in [Duration::ZERO, SHORT, LONG, Duration::MAX] {
            assert_eq!(*mutex.lock_timeout(timeout).unwrap(), 1);
        }
        let lock = RwLock::new(1);
        let writer = lock.write().unwrap();
        assert!(matches!(lock.read_timeout(SHORT), Err(TryLockError::WouldBlock)));
        assert!(matches!(lock.write_timeout(SHORT), Err(TryLockError::WouldBlock)));
        drop(writer);
        let reader = lock.read_timeout(Duration::ZERO).unwrap();
        assert!(matches!(lock.write_timeout(Duration::ZERO), Err(TryLockError::WouldBlock)));
        assert!(matches!(lock.write_timeout(SHORT), Err(TryLockError::WouldBlock)));
        assert_eq!(*lock.read_timeout(Duration::MAX).unwrap() + *reader, 2);
        drop(reader);
        *lock.write_timeout(LONG).unwrap() += 1;
        assert_eq!(lock.into_inner().unwrap(), 2);
    });
}

#[test]
fn a_limited_wait_ends_with_the_lock_and_with_its_poison() {
    on_both("a_limited_wait_ends_with_the_lock_and_with_its_poison", || {
        let shared = Arc::new((Mutex::new(1), RwLock::new(1)));
        let (mutex, lock) = (shared.0.lock().unwrap(), shared.1.write().unwrap());
        let waiters = [0, 1, 2].map(|way| {
            let shared = shared.clone();
            gusty::spawn(move || match way {
                0 => *shared.0.lock_timeout(LONG).unwrap(),
                1 => *shared.1.read_timeout(LONG).unwrap(),
                _ => *shared.1.write_timeout(LONG).unwrap(),
            })
        });
        waiters.iter().for_each(until_parked);
        drop((mutex, lock));
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap() == 1));
        let clone = shared.clone();
        let poison = gusty::spawn(move || {
            let _guards = (clone.0.lock().unwrap(), clone.1.write().unwrap());
            panic!("expected by the test");
        });
        assert!(poison.join().is_err());
        assert!(matches!(shared.0.lock_timeout(LONG), Err(TryLockError::Poisoned(_))));
        assert!(matches!(shared.1.read_timeout(LONG), Err(TryLockError::Poisoned(_))));
        assert!(matches!(shared.1.write_timeout(LONG), Err(TryLockError::Poisoned(_))));
    });
}

#[gusty::test]
fn waiters_that_gave_up_are_passed_over() {
    let mutex = Arc::new(Mutex::new(()));
    let guard = mutex.lock().unwrap();
    let impatient: Vec<_> = (0..8)
        .map(|_| {
            let mutex = mutex.clone();
            gusty::spawn(move || mutex.lock_timeout(SHORT).is_err())
        })
        .collect();
    let clone = mutex.clone();
    let patient = gusty::spawn(move || drop(clone.lock().unwrap()));
    assert!(impatient.into_iter().all(|waiter| waiter.join().unwrap()));
    until_parked(&patient);
    drop(guard);
    patient.join().unwrap();
    drop(mutex.try_lock().unwrap());
}

/// Row 78: a writer that waits keeps new readers out, and all readers that came meanwhile get in
/// together when it is done, before the next writer.
#[gusty::test]
fn readers_and_writers_take_turns() {
    const READERS: usize = 8;
    let shared = Arc::new((RwLock::new(Vec::new()), AtomicUsize::new(0)));
    let first = shared.0.read().unwrap();
    let write = |name: &'static str| {
        let shared = shared.clone();
        let writer = gusty::spawn(move || shared.0.write().unwrap().push(name));
        until_parked(&writer);
        writer
    };
    let one = write("one");
    assert!(matches!(shared.0.try_read(), Err(TryLockError::WouldBlock)));
    assert!(matches!(shared.0.try_write(), Err(TryLockError::WouldBlock)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let shared = shared.clone();
            gusty::spawn(move || {
                let log = shared.0.read().unwrap();
                // All of them are in at once, after the first writer and before the second.
                shared.1.fetch_add(1, Ordering::SeqCst);
                until(|| shared.1.load(Ordering::SeqCst) == READERS);
                log.clone()
            })
        })
        .collect();
    readers.iter().for_each(until_parked);
    let two = write("two");
    drop(first);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), ["one"]);
    }
    one.join().unwrap();
    two.join().unwrap();
    assert_eq!(*shared.0.read().unwrap(), ["one", "two"]);
}

/// Row 78: readers that come and go, always some of them in, do not keep a writer out.
#[test]
fn readers_cannot_starve_a_writer() {
    watched("readers_cannot_starve_a_writer", || {
        let shared = Arc::new((RwLock::new(0), AtomicBool::new(false)));
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let shared = shared.clone();
                gusty::spawn(move || {
                    let mut reads = 0usize;
                    while !shared.1.load(Ordering::Relaxed) {
                        let guard = shared.0.read().unwrap();
                        gusty::yield_now();
                        drop(guard);
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for _ in 0..scaled(1_000) {
            *shared.0.write().unwrap() += 1;
        }
        shared.1.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| assert!(reader.join().is_ok()));
        assert_eq!(*shared.0.read().unwrap(), scaled(1_000));
    });
}

/// Row 78: writers that follow each other do not keep a reader out.
#[gusty::test]
fn writers_cannot_starve_a_reader() {
    let shared = Arc::new((RwLock::new(0usize), AtomicBool::new(false)));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let shared = shared.clone();
            gusty::spawn(move || {
                while !shared.1.load(Ordering::Relaxed) {
                    *shared.0.write().unwrap() += 1;
                    gusty::yield_now();
                }
            })
        })
        .collect();
    for _ in 0..scaled(1_000) {
        let seen = *shared.0.read().unwrap();
        until(|| *shared.0.read().unwrap() > seen);
    }
    shared.1.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[gusty::test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let lock = Arc::new(RwLock::new(1));
    let first = lock.read().unwrap();
    let clone = lock.clone();
    let writer = gusty::spawn(move || clone.write_timeout(SHORT * 10).is_err());
    until_parked(&writer);
    let clone = lock.clone();
    let reader = gusty::spawn(move || *clone.read().unwrap());
    assert!(writer.join().unwrap());
    assert_eq!(reader.join().unwrap(), 1); // `first` is still in
    drop(first);
    drop(lock.try_write().unwrap());
}

#[gusty::test]
fn a_guard_may_be_held_while_its_goroutine_sleeps_and_moves() {
    let lock = Arc::new(RwLock::new(0));
    let handles: Vec<_> = (0..64)
        .map(|i| {
            let lock = lock.clone();
            gusty::spawn(move || {
                if i % 8 == 0 {
                    let mut value = lock.write().unwrap();
                    let seen = *value;
                    gusty::sleep(Duration::from_micros(50));
                    *value = seen + 1;
                } else {
                    let value = lock.read().unwrap();
                    let seen = *value;
                    gusty::sleep(Duration::from_micros(50));
                    assert_eq!(*value, seen);
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
    assert_eq!(*lock.read().unwrap(), 8);
}

/// Two halves that must agree: an update that overlaps anything tears them.
#[derive(Default)]
struct Halves {
    mutex: Mutex<(usize, usize)>,
    lock: RwLock<(usize, usize)>,
    added: AtomicUsize,
}

impl Halves {
    fn add(&self, pair: &mut (usize, usize), yields: bool) {
        assert_eq!(pair.0, pair.1);
        pair.0 += 1;
        if yields {
            gusty::yield_now();
        }
        pair.1 += 1;
        self.added.fetch_add(1, Ordering::Relaxed);
    }

    fn step(&self, rng: &mut Rng) {
        let yields = rng.below(8) == 0;
        let timeout = Duration::from_micros(rng.next() % 200);
        match rng.below(10) {
            0 | 1 => self.add(&mut self.mutex.lock().unwrap(), yields),
            2 | 3 => {
                if let Ok(mut pair) = self.mutex.lock_timeout(timeout) {
                    self.add(&mut pair, yields);
                }
            }
            4 => {
                if let Ok(mut pair) = self.mutex.try_lock() {
                    self.add(&mut pair, yields);
                }
            }
            5 => self.add(&mut self.lock.write().unwrap(), yields),
            6 => {
                if let Ok(mut pair) = self.lock.write_timeout(timeout) {
                    self.add(&mut pair, yields);
                }
            }
            7 => {
                if let Ok(pair) = self.lock.read_timeout(timeout) {
                    assert_eq!(pair.0, pair.1);
                }
            }
            8 => {
                if let Ok(mut pair) = self.lock.try_write() {
                    self.add(&mut pair, yields);
                    let pair = gusty::sync::RwLockWriteGuard::downgrade(pair);
                    assert_eq!(pair.0, pair.1);
                }
            }
            _ => {
                let pair = self.lock.read().unwrap();
                assert_eq!(pair.0, pair.1);
                if yields {
                    gusty::yield_now();
                }
            }
        }
    }
}

#[test]
fn a_storm_of_waits_that_end_in_every_way_loses_nobody() {
    watched("a_storm_of_waits_that_end_in_every_way_loses_nobody", || {
        let halves = Arc::new(Halves::default());
        let worker = |seed: u64| {
            let halves = halves.clone();
            move || {
                let mut rng = Rng(seed);
                (0..scaled(1_000)).for_each(|_| halves.step(&mut rng));
            }
        };
        let goroutines: Vec<_> = (0..32).map(|seed| gusty::spawn(worker(seed))).collect();
        let threads: Vec<_> = (32..36).map(|seed| std::thread::spawn(worker(seed))).collect();
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        let (mutex, lock) = (halves.mutex.try_lock().unwrap(), halves.lock.try_write().unwrap());
        assert_eq!((mutex.0, lock.0), (mutex.1, lock.1));
        assert_eq!(mutex.0 + lock.0, halves.added.load(Ordering::Relaxed));
    });
}
