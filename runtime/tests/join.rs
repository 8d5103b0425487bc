//! Job: `JoinHandle`: joining and detaching; a result is dropped exactly once whatever the
//!   order of events; results and closures of every size and alignment.
//! Not here: the handle as a future (`join_future`).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Drops, Rng, Tracker, until, watched};

#[gusty::test]
fn is_finished_follows_the_goroutine() {
    let handle = gusty::spawn(gusty::park);
    assert!(!handle.is_finished());
    handle.goroutine().unpark();
    until(|| handle.is_finished());
    handle.join().unwrap();
}

#[gusty::test]
fn a_dropped_handle_detaches() {
    let done = Arc::new(AtomicBool::new(false));
    let theirs = done.clone();
    drop(gusty::spawn(move || {
        gusty::yield_now();
        theirs.store(true, Ordering::SeqCst);
    }));
    until(|| done.load(Ordering::SeqCst));
}

#[test]
fn anybody_can_join_a_handle_that_moved() {
    watched("anybody_can_join", || {
        let inner = gusty::spawn(|| 1);
        let middle = gusty::spawn(move || inner.join().unwrap() + 1);
        let thread = std::thread::spawn(move || middle.join().unwrap() + 1);
        assert_eq!(thread.join().unwrap(), 3);
    });
}

#[gusty::test]
fn the_handle_knows_who_it_is_for() {
    let handle = gusty::Builder::new().name("carla").spawn(gusty::current).unwrap();
    let before = handle.goroutine();
    let inside = handle.join().unwrap();
    assert_eq!((before.id(), before.name()), (inside.id(), Some("carla")));
    inside.unpark(); // nobody there any more: no effect
    assert_ne!(inside.id(), gusty::current().id());
}

#[gusty::test]
fn ids_are_never_reused() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let handles: Vec<_> = (0..100).map(|_| gusty::spawn(|| gusty::current().id())).collect();
        for handle in handles {
            assert!(seen.insert(handle.join().unwrap()));
        }
    }
}

/// A result of its own size, dropped visibly.
struct Sized<const N: usize>(#[expect(dead_code, reason = "dropped")] Tracker, [u64; N]);

/// Every way in which a result's life can end; `finish` lets the goroutine go on.
fn one_drop<const N: usize>(panics: bool) {
    let drops = Drops::new();
    let make = |drops: &Drops, waits: bool| {
        let value = Sized(drops.tracker(), [7; N]);
        gusty::spawn(move || {
            if waits {
                gusty::park();
            }
            if panics {
                std::panic::resume_unwind(Box::new(value));
            }
            value
        })
    };
    let joined = make(&drops, false).join();
    assert_eq!(drops.count(), 0);
    match joined {
        Ok(value) => assert_eq!(value.1, [7; N]),
        Err(payload) => assert_eq!(payload.downcast::<Sized<N>>().expect("same type").1, [7; N]),
    }
    assert_eq!(drops.count(), 1, "joined");

    let handle = make(&drops, true);
    let goroutine = handle.goroutine();
    drop(handle);
    assert_eq!(drops.count(), 1);
    goroutine.unpark();
    until(|| drops.count() == 2); // detached before the end

    let handle = make(&drops, false);
    until(|| handle.is_finished());
    assert_eq!(drops.count(), 2);
    drop(handle);
    assert_eq!(drops.count(), 3, "detached after the end");

    for round in 0..300 {
        let handle = make(&drops, true);
        handle.goroutine().unpark();
        for _ in 0..round % 7 {
            gusty::yield_now();
        }
        drop(handle); // somewhere around the end
    }
    until(|| drops.count() == 303);
}

#[gusty::test]
fn a_result_is_dropped_once_inline() {
    one_drop::<0>(false);
    one_drop::<2>(false);
}

#[gusty::test]
fn a_result_is_dropped_once_boxed() {
    one_drop::<40>(false);
}

#[gusty::test]
fn a_payload_is_dropped_once() {
    one_drop::<0>(true);
    one_drop::<40>(true);
}

#[gusty::test]
fn a_race_of_drop_and_exit_drops_once() {
    let drops = Drops::new();
    let count = common::scaled(20_000);
    let mut rng = Rng(1);
    for _ in 0..count {
        let tracker = drops.tracker();
        let handle = gusty::spawn(move || tracker);
        for _ in 0..rng.below(200) {
            std::hint::spin_loop();
        }
        match rng.below(3) {
            0 => drop(handle.join()),
            1 => drop(gusty::spawn(move || drop(handle))),
            _ => drop(handle),
        }
        if rng.below(16) == 0 {
            gusty::yield_now();
        }
    }
    until(|| drops.count() == count);
}

#[gusty::test]
fn a_detached_result_may_block_and_spawn_in_its_destructor() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            gusty::sleep(std::time::Duration::from_micros(50));
            let count = self.0.clone();
            gusty::spawn(move || count.fetch_add(1, Ordering::SeqCst)).join().unwrap();
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let value = Slow(count.clone());
        drop(gusty::spawn(move || value));
    }
    until(|| count.load(Ordering::SeqCst) == 200);
}

#[gusty::test]
fn a_detached_result_with_a_panicking_destructor_harms_nobody() {
    struct Bomb(Arc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("bomb"));
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    for i in 0..200 {
        let bomb = Bomb(count.clone());
        let handle = gusty::spawn(move || bomb);
        if i % 2 == 0 {
            until(|| handle.is_finished());
        }
        drop(handle);
    }
    until(|| count.load(Ordering::SeqCst) == 200);
    assert_eq!(gusty::spawn(|| 5).join().unwrap(), 5);
}

#[gusty::test]
fn a_closure_is_dropped_once() {
    let drops = Drops::new();
    let (kept, moved) = (drops.tracker(), drops.tracker());
    gusty::spawn(move || {
        let _inside = &kept;
        drop(moved);
    })
    .join()
    .unwrap();
    assert_eq!(drops.count(), 2);
}

const BIG: usize = 1 << 20;

#[gusty::test]
fn big_results_come_back_whole() {
    let big = || gusty::Builder::new().stack_size(64 << 20);
    let outer = big().spawn(move || {
        let handle = big().spawn(|| std::array::from_fn::<u8, BIG, _>(|i| i as u8)).unwrap();
        let bytes = handle.join().unwrap();
        bytes.iter().enumerate().all(|(i, &byte)| byte == i as u8)
    });
    assert!(outer.unwrap().join().unwrap());
}

#[gusty::test]
fn results_without_size() {
    struct Nothing;
    let Nothing = gusty::spawn(|| Nothing).join().unwrap();
    let never: gusty::JoinHandle<std::convert::Infallible> =
        gusty::spawn(|| std::panic::resume_unwind(Box::new(())));
    assert!(never.join().is_err());
}

#[gusty::test]
fn alignment_is_kept() {
    #[repr(align(4096))]
    #[derive(Clone, Copy)]
    struct Page(u64);
    fn aligned<T>(value: &T) -> bool {
        std::ptr::from_ref(value).addr().is_multiple_of(align_of::<T>())
    }
    let page = Page(3);
    let handle = gusty::spawn(move || {
        let inside = page;
        assert!(aligned(&inside) && aligned(&page));
        gusty::yield_now();
        page
    });
    let page = handle.join().unwrap();
    assert!(aligned(&page) && page.0 == 3);

    #[repr(align(32))]
    struct Wide(u8);
    let wide = gusty::spawn(|| Wide(4)).join().unwrap();
    assert!(aligned(&wide) && wide.0 == 4);
    assert_eq!(gusty::spawn(|| 5_u128).join().unwrap(), 5);
}

fn words<const N: usize>() {
    let words: [u64; N] = std::array::from_fn(|i| i as u64 * 3 + 1);
    let sum: u64 = words.iter().sum();
    let handle = gusty::spawn(move || {
        gusty::yield_now();
        words
    });
    assert_eq!(handle.join().unwrap().iter().sum::<u64>(), sum, "{N} words");
    let drops = Drops::new();
    let tracker = drops.tracker();
    drop(gusty::spawn(move || {
        let _tracker = tracker;
        words.len()
    }));
    until(|| drops.count() == 1);
}

#[gusty::test]
fn closures_of_every_size() {
    macro_rules! each {
        ($($n:literal)*) => { $( words::<$n>(); )* };
    }
    each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    each!(33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61);
    each!(62 63 64);
}

#[test]
fn a_plain_thread_parks_and_is_unparked() {
    watched("a_plain_thread_parks", || {
        let me = gusty::current();
        assert!(!gusty::is_goroutine());
        for _ in 0..common::scaled(2_000) {
            let me = me.clone();
            gusty::spawn(move || me.unpark());
            gusty::park();
        }
        assert_eq!(me.id(), gusty::current().id());
    });
}
