//! Job: `OnceLock` and `LazyLock` as std's tests know them.

use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Arc, LazyLock, Mutex, OnceLock, mpsc};
use super::{Dropped, Drops, panic_of, run, thread};
use std::panic::{RefUnwindSafe, UnwindSafe};

#[test]
fn a_cell_is_empty_then_set_for_good() {
    run(|| {
        static CELL: OnceLock<i32> = OnceLock::new();
        assert_eq!(CELL.get(), None);
        assert_eq!(format!("{CELL:?}"), "OnceLock(<uninit>)");
        thread::spawn(|| assert_eq!(CELL.get_or_init(|| 92), &92)).join().unwrap();
        assert_eq!((CELL.get(), CELL.set(93), CELL.wait()), (Some(&92), Err(93), &92));
        assert_eq!(CELL.get_or_init(|| unreachable!()), &92);
        assert_eq!(format!("{CELL:?}"), "OnceLock(92)");
    });
}

#[test]
fn with_exclusive_access_a_cell_is_an_option() {
    run(|| {
        let mut cell = OnceLock::default();
        assert_eq!(cell.get_mut(), None);
        assert_eq!(cell.take(), None);
        cell.set(1).unwrap();
        *cell.get_mut().unwrap() += 1;
        assert_eq!(cell.take(), Some(2));
        cell.set(3).unwrap();
        assert_eq!(cell.clone(), OnceLock::from(3));
        assert_ne!(OnceLock::new().clone(), cell);
        assert_eq!((cell.into_inner(), OnceLock::<u8>::new().into_inner()), (Some(3), None));
    });
}

#[test]
fn a_cell_drops_its_value_once() {
    run(|| {
        let drops = Drops::default();
        let dropped = || Dropped(drops.clone());
        let cell = OnceLock::new();
        thread::scope(|s| {
            s.spawn(|| assert!(cell.set(dropped()).is_ok())).join().unwrap();
        });
        assert_eq!(drops.count(), 0);
        drop(cell.set(dropped()));
        assert_eq!(drops.count(), 1);
        drop(cell);
        assert_eq!(drops.count(), 2);
        drop(OnceLock::<Dropped>::new());
        drop(OnceLock::from(dropped()).into_inner());
        assert_eq!(drops.count(), 3);
        drop(OnceLock::<i32>::from(3));
    });
}

#[test]
fn a_panic_leaves_a_cell_empty_and_the_next_one_tries() {
    run(|| {
        let cell = OnceLock::new();
        panic_of(|| {
            cell.get_or_init(|| panic!("expected by the test"));
        });
        assert_eq!(cell.get(), None);
        assert_eq!(cell.get_or_init(|| 5), &5);
    });
}

#[test]
fn of_many_one_makes_the_value_and_all_have_it() {
    run(|| {
        let shared = Arc::new((OnceLock::new(), AtomicUsize::new(0)));
        let makers: Vec<_> = (0..16)
            .map(|i| {
                let shared = shared.clone();
                thread::spawn(move || {
                    *shared.0.get_or_init(|| {
                        thread::yield_now();
                        shared.1.fetch_add(1, Ordering::SeqCst);
                        i
                    })
                })
            })
            .collect();
        let seen: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        assert_eq!(shared.1.load(Ordering::SeqCst), 1);
        assert!(seen.iter().all(|value| Some(value) == shared.0.get()));
    });
}

#[test]
fn a_cell_can_be_waited_for() {
    run(|| {
        let cell = Arc::new(OnceLock::new());
        let clone = cell.clone();
        let waiter = thread::spawn(move || *clone.wait());
        thread::yield_now();
        cell.set(5).unwrap();
        assert_eq!(waiter.join().unwrap(), 5);
    });
}

#[test]
fn a_lazy_value_is_made_at_its_first_use() {
    run(|| {
        static CALLED: AtomicUsize = AtomicUsize::new(0);
        static LAZY: LazyLock<i32> = LazyLock::new(|| {
            CALLED.fetch_add(1, Ordering::SeqCst);
            92
        });
        assert_eq!((CALLED.load(Ordering::SeqCst), LazyLock::get(&LAZY)), (0, None));
        assert_eq!(format!("{LAZY:?}"), "LazyLock(<uninit>)");
        let others: Vec<_> = (0..4).map(|_| thread::spawn(|| *LAZY - 30)).collect();
        assert_eq!(*LAZY, 92);
        assert!(others.into_iter().all(|other| other.join().unwrap() == 62));
        assert_eq!((CALLED.load(Ordering::SeqCst), LazyLock::get(&LAZY)), (1, Some(&92)));
        assert_eq!((LazyLock::force(&LAZY), format!("{LAZY:?}")), (&92, "LazyLock(92)".into()));
    });
}

#[test]
fn a_lazy_value_may_borrow_and_be_changed() {
    run(|| {
        let base = [1, 2, 3];
        let mut lazy = LazyLock::new(|| base.iter().sum::<i32>());
        assert_eq!(LazyLock::get_mut(&mut lazy), None);
        *lazy += 1;
        *LazyLock::force_mut(&mut lazy) += 1;
        assert_eq!((LazyLock::get_mut(&mut lazy), *LazyLock::<i32>::default()), (Some(&mut 8), 0));
    });
}

#[test]
fn a_panic_poisons_a_lazy_value() {
    run(|| {
        let mut lazy = LazyLock::<String>::new(|| panic!("expected by the test"));
        assert_eq!(panic_of(|| assert_eq!(lazy.len(), 0)), "expected by the test");
        for _ in 0..2 {
            let again = panic_of(|| assert_eq!(lazy.len(), 0));
            assert_eq!(again, "LazyLock instance has previously been poisoned");
        }
        assert_eq!(LazyLock::get(&lazy), None);
        assert_eq!(LazyLock::get_mut(&mut lazy), None);
        panic_of(|| assert!(LazyLock::force_mut(&mut lazy).is_empty()));
    });
}

#[test]
fn a_lazy_value_drops_its_closure_when_used_or_unused() {
    run(|| {
        let drops = Drops::default();
        let lazy = |drops: &Drops| {
            let held = Dropped(drops.clone());
            LazyLock::new(move || drop(held))
        };
        drop(lazy(&drops));
        assert_eq!(drops.count(), 1);
        let used = lazy(&drops);
        LazyLock::force(&used);
        assert_eq!(drops.count(), 2);
        drop(used);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn a_lazy_value_of_a_lock_is_shared_by_all() {
    run(|| {
        static NAMES: LazyLock<Mutex<Vec<usize>>> = LazyLock::new(Mutex::default);
        let (tx, rx) = mpsc::channel::<()>();
        for i in 0..8 {
            let tx = tx.clone();
            thread::spawn(move || {
                NAMES.lock().unwrap().push(i);
                drop(tx);
            });
        }
        drop(tx);
        assert!(rx.recv().is_err());
        let mut names = NAMES.lock().unwrap().clone();
        names.sort_unstable();
        assert_eq!(names, (0..8).collect::<Vec<_>>());
    });
}

#[test]
fn what_they_are() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    fn eq<T: Eq + Clone + Default + From<u8>>() {}
    is::<OnceLock<u8>>();
    is::<LazyLock<u8>>();
    eq::<OnceLock<u8>>();
}
