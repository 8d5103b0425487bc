//! Job: what must hold with any global allocator, wrapped in `gusty::Alloc`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::battery::{Needs, on_many, survives};
use crate::common::{Child, peak_mib, scaled, until};
use crate::fork::{allocates, in_fork};

#[test]
fn a_wrapped_allocator_is_not_warned_about() {
    let test = "allocators::a_wrapped_allocator_is_not_warned_about";
    let ended = Child::of(test).run(|| drop(on_many(10, |i| vec![i; 10])));
    ended.succeeded();
    assert_eq!(ended.count("gusty::Alloc"), 0, "{}", ended.stderr);
}

#[test]
fn memory_crosses_goroutines_and_threads() {
    static SHARED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    fn work(i: usize) {
        let mut own = Vec::new();
        for k in 0..scaled(1_000) {
            let size = (i * 7919 + k * 104_729) % 3000;
            let mut block = vec![(size % 251) as u8; size / 2];
            block.resize(size, (size % 251) as u8);
            own.push(block);
            if k % 5 == 0 {
                gusty::yield_now();
            }
            if own.len() > 20 {
                let block = own.swap_remove(k % 20);
                assert!(block.iter().all(|byte| usize::from(*byte) == block.len() % 251));
                let mut shared = SHARED.lock().unwrap();
                shared.push(block);
                if shared.len() > 50 {
                    shared.clear();
                }
            }
        }
    }
    survives("allocators::memory_crosses_goroutines_and_threads", Needs::Nothing, || {
        std::thread::scope(|scope| {
            (0..2).for_each(|i| drop(scope.spawn(move || work(i))));
            (0..3).for_each(|_| drop(on_many(100, work)));
        });
    });
}

#[test]
fn goroutines_end_and_begin_with_memory_in_thread_locals() {
    std::thread_local! {
        static MAP: std::cell::RefCell<BTreeMap<usize, String>> =
            const { std::cell::RefCell::new(BTreeMap::new()) };
    }
    let needs = Needs::OwnBlock("they are the thread's");
    survives("allocators::goroutines_end_and_begin_with_memory_in_thread_locals", needs, || {
        for _ in 0..scaled(200) {
            on_many(50, |i| {
                MAP.with_borrow_mut(|map| {
                    assert!(map.is_empty());
                    (0..10).for_each(|k| drop(map.insert(k, format!("{i} {k}"))));
                    gusty::yield_now();
                    assert_eq!(map[&7], format!("{i} 7"));
                });
            });
        }
    });
}

#[test]
fn a_forked_child_allocates_and_starts_threads() {
    survives("allocators::a_forked_child_allocates_and_starts_threads", Needs::Nothing, || {
        on_many(50, |i| {
            gusty::yield_now();
            assert!(i % 10 != 0 || in_fork(allocates));
        });
    });
}

/// Memory of parked goroutines that have allocated is theirs alone: no heap is made for each.
#[test]
fn a_goroutine_does_not_get_a_heap() {
    let ended = Child::of("allocators::a_goroutine_does_not_get_a_heap").run(|| {
        const COUNT: usize = 2_000;
        // Of debug builds the frames take more.
        const LIMIT: usize = if cfg!(debug_assertions) { 24 << 10 } else { 16 << 10 };
        static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
        let before = peak_mib();
        let parked: Vec<_> = (0..COUNT)
            .map(|_| {
                gusty::spawn(|| {
                    (1..=18).for_each(|k| drop(std::hint::black_box(vec![1_u8; k * 110])));
                    ALLOCATED.fetch_add(1, Ordering::Relaxed);
                    gusty::park();
                })
            })
            .collect();
        until(|| ALLOCATED.load(Ordering::Relaxed) == COUNT);
        let held = (peak_mib() - before) << 20;
        assert!(held / COUNT < LIMIT, "{} bytes for each", held / COUNT);
        for goroutine in &parked {
            goroutine.goroutine().unpark();
        }
        parked.into_iter().for_each(|handle| handle.join().unwrap());
    });
    ended.succeeded();
}
