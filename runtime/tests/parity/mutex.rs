//! Job: `Mutex` as std's tests know it.

use super::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use super::{Dropped, Drops, ROUNDS, panic_of, run, thread};
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};

fn poison<T: Send + 'static>(mutex: &Arc<Mutex<T>>) {
    let mutex = mutex.clone();
    let holder = thread::spawn(move || {
        let _guard = mutex.lock().unwrap();
        panic!("expected by the test");
    });
    assert!(holder.join().is_err());
}

#[test]
fn lock_and_unlock() {
    run(|| {
        static MUTEX: Mutex<()> = Mutex::new(());
        drop(MUTEX.lock().unwrap());
        drop(MUTEX.lock().unwrap());
    });
}

#[test]
fn lots_of_lockers_lose_no_update() {
    run(|| {
        let total = Arc::new(Mutex::new(0));
        let (tx, rx) = mpsc::channel();
        for _ in 0..8 {
            let (total, tx) = (total.clone(), tx.clone());
            thread::spawn(move || {
                (0..ROUNDS).for_each(|_| *total.lock().unwrap() += 1);
                tx.send(()).unwrap();
            });
        }
        drop(tx);
        assert_eq!(rx.iter().count(), 8);
        assert_eq!(*total.lock().unwrap(), 8 * ROUNDS);
    });
}

#[test]
fn try_lock_says_whether_it_is_held_or_poisoned() {
    run(|| {
        let mutex = Arc::new(Mutex::new(3));
        let guard = mutex.try_lock().unwrap();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        drop(guard);
        assert_eq!(*mutex.try_lock().unwrap(), 3);
        poison(&mutex);
        match mutex.try_lock() {
            Err(TryLockError::Poisoned(error)) => assert_eq!(*error.into_inner(), 3),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn into_inner_gives_the_value_and_drops_nothing() {
    run(|| {
        let drops = Drops::default();
        let mutex = Mutex::new(Dropped(drops.clone()));
        let value = mutex.into_inner().unwrap();
        assert_eq!(drops.count(), 0);
        drop(value);
        assert_eq!(drops.count(), 1);
        drop(Mutex::new(Dropped(drops.clone())));
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn poison_is_in_every_way_to_the_value_until_it_is_cleared() {
    run(|| {
        let mutex = Arc::new(Mutex::new(String::from("x")));
        assert!(!mutex.is_poisoned());
        poison(&mutex);
        assert!(mutex.is_poisoned());
        assert_eq!(mutex.lock().unwrap_err().get_ref().as_str(), "x");
        mutex.lock().unwrap_or_else(PoisonError::into_inner).push('y');
        assert_eq!(format!("{mutex:?}"), "Mutex { data: \"xy\", poisoned: true, .. }");
        let mut mutex = Arc::try_unwrap(mutex).unwrap();
        assert_eq!(mutex.get_mut().unwrap_err().into_inner(), "xy");
        mutex.clear_poison();
        assert!(mutex.get_mut().is_ok());
        let mutex = Arc::new(mutex);
        poison(&mutex);
        let mutex = Arc::try_unwrap(mutex).unwrap();
        assert_eq!(mutex.into_inner().unwrap_err().into_inner(), "xy");
    });
}

#[test]
fn a_mutex_of_a_mutex() {
    run(|| {
        let outer = Arc::new(Mutex::new(Arc::new(Mutex::new(1))));
        let (tx, rx) = mpsc::channel();
        let clone = outer.clone();
        thread::spawn(move || {
            let inner = clone.lock().unwrap();
            assert_eq!(*inner.lock().unwrap(), 1);
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
        assert_eq!(*outer.lock().unwrap().lock().unwrap(), 1);
    });
}

#[test]
fn an_arc_of_a_mutex_and_a_condvar_goes_through_channels() {
    run(|| {
        let packet = Arc::new((Mutex::new(false), Condvar::new()));
        let (tx, rx) = mpsc::channel();
        tx.send(packet.clone()).unwrap();
        thread::spawn(move || {
            let packet = rx.recv().unwrap();
            *packet.0.lock().unwrap() = true;
            packet.1.notify_one();
        });
        let mut set = packet.0.lock().unwrap();
        while !*set {
            set = packet.1.wait(set).unwrap();
        }
    });
}

#[test]
fn a_waiter_learns_of_poison() {
    run(|| {
        let packet = Arc::new((Mutex::new(1), Condvar::new()));
        let (tx, rx) = mpsc::channel();
        let clone = packet.clone();
        thread::spawn(move || {
            rx.recv().unwrap();
            let _guard = clone.0.lock().unwrap();
            clone.1.notify_one();
            panic!("expected by the test");
        });
        let mut guard = packet.0.lock().unwrap();
        tx.send(()).unwrap();
        while *guard == 1 {
            match packet.1.wait(guard) {
                Ok(again) => guard = again,
                Err(error) => return assert_eq!(*error.into_inner(), 1),
            }
        }
        unreachable!("nobody changes the value");
    });
}

#[test]
fn a_lock_taken_in_a_destructor_of_a_panic_works_and_does_not_poison() {
    run(|| {
        struct Unwinder(Arc<Mutex<i32>>);
        impl Drop for Unwinder {
            fn drop(&mut self) {
                *self.0.lock().unwrap() += 1;
            }
        }
        let mutex = Arc::new(Mutex::new(1));
        let clone = mutex.clone();
        let ended = thread::spawn(move || {
            let _unwinder = Unwinder(clone);
            panic!("expected by the test");
        });
        assert!(ended.join().is_err());
        assert_eq!(*mutex.lock().unwrap(), 2);
    });
}

#[test]
fn a_panic_that_was_caught_inside_the_section_does_not_poison() {
    run(|| {
        let mutex = Mutex::new(0);
        {
            let mut guard = mutex.lock().unwrap();
            assert!(panic_of(|| panic!("expected by the test")).contains("expected"));
            *guard += 1;
        }
        assert_eq!(*mutex.lock().unwrap(), 1);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock().unwrap();
            panic!("expected by the test");
        }));
        assert!(caught.is_err() && mutex.is_poisoned());
    });
}

#[test]
fn unsized_values_and_formats() {
    run(|| {
        let mutex: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
        mutex.lock().unwrap()[0] = 4;
        assert_eq!(*mutex.lock().unwrap(), [4, 2, 3]);
        let guard = mutex.lock().unwrap();
        assert!(format!("{mutex:?}").contains("<locked>"));
        assert_eq!(format!("{guard:?}"), "[4, 2, 3]");
        assert_eq!(format!("{}", Mutex::from("s").lock().unwrap()), "s");
        assert_eq!(Mutex::<i32>::default().into_inner().unwrap(), 0);
    });
}

#[test]
fn what_a_mutex_is() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe + Debug + Default + From<u8>>() {}
    fn guard<T: Sync + Debug + Display + UnwindSafe>() {}
    is::<Mutex<u8>>();
    guard::<MutexGuard<'static, u8>>();
}
