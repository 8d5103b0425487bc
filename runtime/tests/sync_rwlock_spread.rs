//! Job: `RwLock` once its readers are counted apart: the same promises, also to guards that were made
//!   before or that end on another thread.
//! Not here: the protocol's models (`sync/rwlock_word_models.rs`), the other promises (`sync_locks`).
//!
//! With GOMAXPROCS=1 readers are never counted apart; then these hold of the lock as it began.

mod common;

use common::{Rng, scaled, until, watched};
use gusty::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use gusty::sync::{Arc, RwLock, RwLockWriteGuard, TryLockError};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);
/// More readers at once than a lock sees before it counts them apart.
const CROWD: usize = 300;

/// A lock that has seen many readers at once, who have left.
fn crowded<T>(value: T) -> Arc<RwLock<T>> {
    let lock = Arc::new(RwLock::new(value));
    let guards: Vec<_> = (0..CROWD).map(|_| lock.read().unwrap()).collect();
    drop(guards);
    lock
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

#[test]
fn who_is_in_decides_who_gets_in() {
    on_both("who_is_in_decides_who_gets_in", || {
        let lock = crowded(0);
        for round in 1..=3 {
            let (one, other) = (lock.read().unwrap(), lock.try_read().unwrap());
            assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
            assert!(matches!(lock.write_timeout(SHORT), Err(TryLockError::WouldBlock)));
            drop(one);
            assert!(lock.try_write().is_err() && lock.try_read().is_ok());
            drop(other);
            *lock.try_write().unwrap() += 1;
            let writer = lock.write().unwrap();
            assert!(lock.try_read().is_err() && lock.read_timeout(SHORT).is_err());
            let reader = RwLockWriteGuard::downgrade(writer);
            assert_eq!((*reader, *lock.read().unwrap()), (round, round));
            assert!(lock.try_write().is_err());
            drop(reader);
            assert!(lock.try_write().is_ok());
        }
    });
}

#[test]
fn a_writer_waits_for_guards_from_before_and_after_and_is_woken() {
    on_both("a_writer_waits_for_guards_from_before_and_after_and_is_woken", || {
        let lock = Arc::new(RwLock::new(0));
        let guards: Vec<_> = (0..CROWD).map(|_| lock.read().unwrap()).collect();
        let (clone, written) = (lock.clone(), Arc::new(AtomicBool::new(false)));
        let flag = written.clone();
        let writer = gusty::spawn(move || {
            *clone.write().unwrap() += 1;
            flag.store(true, Ordering::Relaxed);
        });
        until(|| lock.try_read().is_err()); // it keeps readers out
        for guard in guards {
            assert!(!written.load(Ordering::Relaxed));
            assert_eq!(*guard, 0);
        }
        writer.join().unwrap();
        assert_eq!(*lock.read().unwrap(), 1);
    });
}

#[test]
fn a_panic_of_a_writer_is_told_to_readers_that_are_counted_apart() {
    on_both("a_panic_of_a_writer_is_told_to_readers_that_are_counted_apart", || {
        let lock = crowded(1);
        let clone = lock.clone();
        let writer = gusty::spawn(move || {
            let _guard = clone.write().unwrap();
            panic!("expected by the test");
        });
        assert!(writer.join().is_err());
        assert!(lock.read().is_err() && matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        assert_eq!(*lock.read().unwrap(), 1);
        let lock = Arc::into_inner(lock).unwrap();
        assert_eq!(lock.into_inner().unwrap(), 1);
    });
}

/// What the storm guards: writers change both fields, with time in between.
#[derive(Default)]
struct Pair {
    one: usize,
    other: usize,
}

impl Pair {
    fn check(&self) {
        assert_eq!(self.one, self.other, "somebody writes");
    }
}

struct Storm {
    lock: Arc<RwLock<Pair>>,
    written: AtomicUsize,
    read: AtomicUsize,
}

impl Storm {
    fn write(&self, mut guard: RwLockWriteGuard<'_, Pair>, rng: &mut Rng) {
        guard.check();
        guard.one += 1;
        if rng.below(4) == 0 {
            gusty::yield_now();
        }
        guard.other += 1;
        self.written.fetch_add(1, Ordering::Relaxed);
        if rng.below(4) == 0 {
            let guard = RwLockWriteGuard::downgrade(guard);
            gusty::yield_now(); // leaves on another thread, maybe
            guard.check();
        }
    }

    fn read(&self, pair: &Pair, rng: &mut Rng) {
        pair.check();
        let before = pair.one;
        if rng.below(8) == 0 {
            gusty::yield_now(); // as above
        }
        pair.check();
        assert_eq!(pair.one, before);
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    fn step(&self, rng: &mut Rng) {
        let short = Duration::from_micros(rng.below(200) as u64);
        match rng.below(64) {
            0 => self.write(self.lock.write().unwrap(), rng),
            1 => self.lock.try_write().into_iter().for_each(|guard| self.write(guard, rng)),
            2 => {
                let guard = self.lock.write_timeout(short);
                guard.into_iter().for_each(|guard| self.write(guard, rng));
            }
            3..8 => self.lock.try_read().into_iter().for_each(|guard| self.read(&guard, rng)),
            8..12 => {
                let guard = self.lock.read_timeout(short);
                guard.into_iter().for_each(|guard| self.read(&guard, rng));
            }
            _ => self.read(&self.lock.read().unwrap(), rng),
        }
    }
}

fn storm(lock: Arc<RwLock<Pair>>) {
    let rounds = scaled(3_000);
    let storm = Arc::new(Storm { lock, written: AtomicUsize::new(0), read: AtomicUsize::new(0) });
    let steps = |seed: u64| {
        let storm = storm.clone();
        move || {
            let mut rng = Rng(seed);
            (0..rounds).for_each(|_| storm.step(&mut rng));
        }
    };
    let goroutines: Vec<_> = (1..=12).map(|seed| gusty::spawn(steps(seed))).collect();
    let threads: Vec<_> = (13..=15).map(|seed| std::thread::spawn(steps(seed))).collect();
    goroutines.into_iter().for_each(|one| one.join().unwrap());
    threads.into_iter().for_each(|one| one.join().unwrap());
    let pair = storm.lock.read().unwrap();
    pair.check();
    assert_eq!(pair.one, storm.written.load(Ordering::Relaxed));
    assert!(storm.read.load(Ordering::Relaxed) >= rounds); // who reads without a limit has read
}

#[test]
fn a_storm_of_readers_that_move_never_meets_a_writer() {
    watched("a_storm_of_readers_that_move_never_meets_a_writer", || {
        storm(crowded(Pair::default()))
    });
}

#[test]
fn a_storm_during_which_readers_are_counted_apart_never_meets_a_writer() {
    watched("a_storm_during_which_readers_are_counted_apart_never_meets_a_writer", || {
        (0..3).for_each(|_| storm(Arc::new(RwLock::new(Pair::default()))));
    });
}
