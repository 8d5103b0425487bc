//! Job: `RwLock` as std's tests know it.

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, mpsc};
use super::{Dropped, Drops, ROUNDS, run, thread};
use std::fmt::{Debug, Display};
use std::panic::{RefUnwindSafe, UnwindSafe};

fn poison_by<T: Send + Sync + 'static>(lock: &Arc<RwLock<T>>, writes: bool) {
    let lock = lock.clone();
    let holder = thread::spawn(move || {
        if writes {
            let _guard = lock.write().unwrap();
            panic!("expected by the test");
        } else {
            let _guard = lock.read().unwrap();
            panic!("expected by the test");
        }
    });
    assert!(holder.join().is_err());
}

#[test]
fn lock_and_unlock() {
    run(|| {
        static LOCK: RwLock<()> = RwLock::new(());
        drop(LOCK.read().unwrap());
        drop(LOCK.write().unwrap());
        drop((LOCK.read().unwrap(), LOCK.read().unwrap()));
        drop(LOCK.write().unwrap());
    });
}

#[test]
fn readers_and_writers_at_random_never_overlap() {
    run(|| {
        let lock = Arc::new(RwLock::new((0usize, 0usize)));
        let (tx, rx) = mpsc::channel::<()>();
        for n in 0..8usize {
            let (tx, lock) = (tx.clone(), lock.clone());
            thread::spawn(move || {
                for i in 0..ROUNDS {
                    if (i * 7 + n) % 13 == 0 {
                        let mut pair = lock.write().unwrap();
                        pair.0 += 1;
                        thread::yield_now();
                        pair.1 += 1;
                    } else {
                        let pair = lock.read().unwrap();
                        assert_eq!(pair.0, pair.1);
                    }
                }
                drop(tx);
            });
        }
        drop(tx);
        assert!(rx.recv().is_err());
        let writes = (0..8).map(|n| (0..ROUNDS).filter(|i| (i * 7 + n) % 13 == 0).count());
        assert_eq!(lock.read().unwrap().0, writes.sum());
    });
}

#[test]
fn readers_see_whole_writes_of_a_writer_that_yields_inside() {
    run(|| {
        let lock = Arc::new(RwLock::new(0i32));
        let (tx, rx) = mpsc::channel();
        let writer = lock.clone();
        thread::spawn(move || {
            let mut value = writer.write().unwrap();
            for _ in 0..10 {
                let seen = *value;
                *value = -1;
                thread::yield_now();
                *value = seen + 1;
            }
            drop(value);
            tx.send(()).unwrap();
        });
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || assert!(*lock.read().unwrap() >= 0))
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        rx.recv().unwrap();
        assert_eq!(*lock.read().unwrap(), 10);
    });
}

#[test]
fn readers_are_in_at_the_same_time() {
    run(|| {
        const READERS: usize = 16;
        let shared = Arc::new((RwLock::new(()), AtomicUsize::new(0)));
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let _guard = shared.0.read().unwrap();
                    shared.1.fetch_add(1, Ordering::SeqCst);
                    while shared.1.load(Ordering::SeqCst) < READERS {
                        thread::yield_now();
                    }
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn only_writers_poison() {
    run(|| {
        let lock = Arc::new(RwLock::new(1));
        poison_by(&lock, false);
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.read().unwrap(), 1);
        assert_eq!(*lock.write().unwrap(), 1);
    });
}

#[test]
fn poison_is_in_every_way_to_the_value_until_it_is_cleared() {
    run(|| {
        let lock = Arc::new(RwLock::new(1));
        poison_by(&lock, true);
        assert!(lock.is_poisoned());
        assert_eq!(*lock.read().unwrap_err().into_inner(), 1);
        assert_eq!(*lock.write().unwrap_err().into_inner(), 1);
        assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        assert_eq!(format!("{lock:?}"), "RwLock { data: 1, poisoned: true, .. }");
        let mut lock = Arc::try_unwrap(lock).unwrap();
        assert_eq!(*lock.get_mut().unwrap_err().into_inner(), 1);
        lock.clear_poison();
        assert_eq!(*lock.get_mut().unwrap(), 1);
        let lock = Arc::new(lock);
        poison_by(&lock, true);
        let lock = Arc::try_unwrap(lock).unwrap();
        assert_eq!(lock.into_inner().unwrap_err().into_inner(), 1);
    });
}

#[test]
fn trying_agrees_with_who_is_in() {
    run(|| {
        let lock = RwLock::new(0);
        {
            let reader = lock.read().unwrap();
            assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
            drop(lock.try_read().unwrap());
            drop(reader);
        }
        {
            let writer = lock.try_write().unwrap();
            assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
            assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
            assert_eq!(format!("{lock:?}"), "RwLock { data: <locked>, poisoned: false, .. }");
            drop(writer);
        }
        assert!(lock.try_write().is_ok() && lock.try_read().is_ok());
    });
}

#[test]
fn into_inner_gives_the_value_and_drops_nothing() {
    run(|| {
        let drops = Drops::default();
        let value = RwLock::new(Dropped(drops.clone())).into_inner().unwrap();
        assert_eq!(drops.count(), 0);
        drop(value);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_lock_taken_in_a_destructor_of_a_panic_works_and_does_not_poison() {
    run(|| {
        struct Unwinder(Arc<RwLock<i32>>);
        impl Drop for Unwinder {
            fn drop(&mut self) {
                *self.0.write().unwrap() += 1;
            }
        }
        let lock = Arc::new(RwLock::new(1));
        let clone = lock.clone();
        let ended = thread::spawn(move || {
            let _unwinder = Unwinder(clone);
            panic!("expected by the test");
        });
        assert!(ended.join().is_err());
        assert_eq!(*lock.read().unwrap(), 2);
    });
}

#[test]
fn a_downgraded_writer_lets_readers_in_but_no_writer() {
    run(|| {
        let lock = RwLock::new(0);
        let mut writer = lock.write().unwrap();
        *writer = 1;
        let reader = RwLockWriteGuard::downgrade(writer);
        assert_eq!((*reader, *lock.try_read().unwrap()), (1, 1));
        assert!(lock.try_write().is_err());
        drop(reader);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn nobody_writes_between_a_write_and_its_downgraded_read() {
    run(|| {
        let lock = Arc::new(RwLock::new(0));
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        let mut writer = lock.write().unwrap();
                        *writer += 1;
                        let wrote = *writer;
                        let reader = RwLockWriteGuard::downgrade(writer);
                        assert_eq!(*reader, wrote);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(*lock.read().unwrap(), 8 * ROUNDS);
    });
}

#[test]
fn a_downgrade_wakes_readers_that_wait() {
    run(|| {
        let lock = Arc::new(RwLock::new(0));
        let (tx, rx) = mpsc::channel();
        let mut writer = lock.write().unwrap();
        let reader = {
            let lock = lock.clone();
            thread::spawn(move || {
                tx.send(()).unwrap();
                assert_eq!(*lock.read().unwrap(), 1);
            })
        };
        rx.recv().unwrap();
        (0..10).for_each(|_| thread::yield_now());
        *writer = 1;
        let still_in = RwLockWriteGuard::downgrade(writer);
        reader.join().unwrap();
        drop(still_in);
    });
}

#[test]
fn unsized_values_and_formats() {
    run(|| {
        let lock: &RwLock<[i32]> = &RwLock::new([1, 2, 3]);
        lock.write().unwrap()[0] = 4;
        assert_eq!(*lock.read().unwrap(), [4, 2, 3]);
        assert_eq!(format!("{:?}", lock.read().unwrap()), "[4, 2, 3]");
        assert_eq!(format!("{:?}", lock.write().unwrap()), "[4, 2, 3]");
        assert_eq!(format!("{}", RwLock::from("s").read().unwrap()), "s");
        assert_eq!(RwLock::<i32>::default().into_inner().unwrap(), 0);
    });
}

#[test]
fn what_a_lock_is() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe + Debug + Default + From<u8>>() {}
    fn guard<T: Sync + Debug + Display + UnwindSafe>() {}
    fn shorter<'a>(
        guard: RwLockReadGuard<'a, &'static str>,
        _: &'a str,
    ) -> RwLockReadGuard<'a, &'a str> {
        guard
    }
    is::<RwLock<u8>>();
    guard::<RwLockReadGuard<'static, u8>>();
    guard::<RwLockWriteGuard<'static, u8>>();
    let lock = RwLock::new("x");
    assert_eq!(*shorter(lock.read().unwrap(), "y"), "x");
}
