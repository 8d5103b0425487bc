//! Job: `thread_local!` on goroutines: values, borrows, destructors, reuse.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::battery::{Needs, on_many, survives};
use crate::common::scaled;

const MIXED: Needs = Needs::OwnBlock("goroutines of a thread see each other's values");

#[test]
fn a_list_is_pushed_to_over_parks() {
    std::thread_local! {
        static SEEN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }
    survives("locals::a_list_is_pushed_to_over_parks", MIXED, || {
        let rounds = scaled(600);
        on_many(200, move |i| {
            for k in 0..rounds {
                SEEN.with_borrow_mut(|seen| seen.push(i * k));
                COUNT.set(COUNT.get() + 1);
                gusty::yield_now();
            }
            assert_eq!(COUNT.get(), rounds);
            let seen = SEEN.take();
            assert!(seen.into_iter().eq((0..rounds).map(|k| i * k)));
        });
    });
}

#[test]
fn a_borrow_is_held_over_parks() {
    std::thread_local! {
        static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    }
    let needs = Needs::OwnBlock("another goroutine of the thread finds it borrowed and panics");
    survives("locals::a_borrow_is_held_over_parks", needs, || {
        on_many(200, |_| {
            TEXT.with_borrow_mut(|text| {
                for _ in 0..100 {
                    text.push('x');
                    gusty::yield_now();
                }
                assert_eq!(text.len(), 100);
            });
        });
    });
}

#[test]
fn a_reference_is_held_over_parks() {
    std::thread_local! {
        static WORD: Cell<usize> = const { Cell::new(0) };
    }
    // Not inlined: the compiler computes an address but once for a function.
    #[inline(never)]
    fn address() -> usize {
        WORD.with(|word| std::ptr::from_ref(word).addr())
    }
    let needs = Needs::SamePlace("the address is another thread's after a park");
    survives("locals::a_reference_is_held_over_parks", needs, || {
        on_many(100, |_| {
            WORD.with(|word| {
                for _ in 0..100 {
                    gusty::yield_now();
                    assert_eq!(std::ptr::from_ref(word).addr(), address());
                }
            });
        });
    });
}

#[test]
fn destructors_run_once_and_values_begin_anew_over_many_reuses() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted(Cell<u32>);
    impl Drop for Counted {
        fn drop(&mut self) {
            gusty::yield_now(); // they may park
            assert_eq!(self.0.get(), 4);
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    std::thread_local! {
        static COUNTED: Counted = {
            MADE.fetch_add(1, Ordering::Relaxed);
            Counted(Cell::new(3))
        };
        static PLAIN: Cell<u32> = const { Cell::new(9) };
        static ZERO: Cell<[u64; 5]> = const { Cell::new([0; 5]) };
    }
    let needs = Needs::OwnBlock("they are destroyed when the thread ends, not the goroutine");
    survives("locals::destructors_run_once_and_values_begin_anew_over_many_reuses", needs, || {
        let rounds = scaled(1_000);
        for _ in 0..rounds {
            on_many(100, |i| {
                assert_eq!(COUNTED.with(|counted| counted.0.replace(4)), 3);
                assert_eq!(PLAIN.replace(1), 9);
                assert_eq!(ZERO.replace([1; 5]), [0; 5]);
                if i % 3 == 0 {
                    gusty::yield_now();
                    assert_eq!((PLAIN.get(), ZERO.get()), (1, [1; 5]));
                }
            });
        }
        let counts = (MADE.load(Ordering::Relaxed), DROPPED.load(Ordering::Relaxed));
        assert_eq!(counts, (100 * rounds, 100 * rounds));
    });
}

/// Parks while it is dropped, then notes that it was.
struct Slow(Arc<AtomicBool>);

impl Drop for Slow {
    fn drop(&mut self) {
        (0..5).for_each(|_| gusty::yield_now());
        self.0.store(true, Ordering::Relaxed); // `join` publishes it
    }
}

std::thread_local! {
    static SLOW: RefCell<Vec<Slow>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn a_goroutine_is_joined_after_its_destructors() {
    let needs = Needs::OwnBlock("they are destroyed when the thread ends, not the goroutine");
    survives("locals::a_goroutine_is_joined_after_its_destructors", needs, || {
        let start = |panics: bool| {
            let dropped = Arc::new(AtomicBool::new(false));
            let slow = Slow(dropped.clone());
            let handle = gusty::spawn(move || {
                SLOW.with_borrow_mut(|list| list.push(slow));
                gusty::yield_now();
                if panics {
                    std::panic::resume_unwind(Box::new(()));
                }
            });
            (handle, dropped)
        };
        let join_some = move || {
            for i in 0..scaled(500) {
                let (handle, dropped) = start(i % 5 == 0);
                if i % 2 == 0 {
                    crate::common::until(|| handle.is_finished());
                    assert!(dropped.load(Ordering::Relaxed));
                }
                assert_eq!(handle.join().is_err(), i % 5 == 0);
                assert!(dropped.load(Ordering::Relaxed));
            }
        };
        join_some(); // from a plain thread
        on_many(4, move |_| join_some());
    });
}

#[test]
fn destructors_may_use_and_make_thread_locals() {
    static LATE: AtomicUsize = AtomicUsize::new(0);
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            LATE.fetch_add(1, Ordering::Relaxed);
        }
    }
    struct Early;
    impl Drop for Early {
        fn drop(&mut self) {
            gusty::yield_now();
            MADE_LATE.with(|_| ());
        }
    }
    std::thread_local! {
        static EARLY: Early = const { Early };
        static MADE_LATE: Late = const { Late };
    }
    let needs = Needs::OwnBlock("they are destroyed when the thread ends, not the goroutine");
    survives("locals::destructors_may_use_and_make_thread_locals", needs, || {
        (0..20).for_each(|_| {
            on_many(50, |_| EARLY.with(|_| ()));
        });
        assert_eq!(LATE.load(Ordering::Relaxed), 20 * 50);
    });
}

#[test]
fn memory_crosses_threads() {
    static SHARED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    survives("locals::memory_crosses_threads", Needs::Nothing, || {
        on_many(100, |i| {
            let mut own = Vec::new();
            for k in 0..scaled(300) {
                let size = (i * 7919 + k * 104_729) % 3000;
                own.push(vec![(size % 251) as u8; size]);
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
        });
    });
}
