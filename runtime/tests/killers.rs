//! Job: programs that stacks which move, shared thread state or too few resources would break.
//!   Each is ordinary safe Rust, or nearly.

mod common;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use common::{Child, scaled, until};

/// Levels of recursion, 200 to 300 bytes each, that use most of a default stack.
const DEEP: u64 = if cfg!(debug_assertions) { 2_000 } else { 1_000 };

#[inline(never)]
fn add_below(depth: u64, sum: &mut u64) {
    let frame = [depth; 16];
    black_box(&frame);
    if depth > 0 {
        add_below(depth - 1, sum);
    }
    *sum += 1;
    black_box(&frame);
}

#[gusty::test]
fn a_reference_to_a_callers_local_stays_good() {
    let handles: Vec<_> = (0..16)
        .map(|_| {
            gusty::spawn(|| {
                let mut sum = 0;
                for _ in 0..20 {
                    add_below(DEEP, &mut sum);
                    gusty::yield_now();
                }
                sum
            })
        })
        .collect();
    for handle in handles {
        assert_eq!(handle.join().unwrap(), 20 * (DEEP + 1));
    }
}

struct Node<'a> {
    value: u64,
    next: Option<&'a Node<'a>>,
}

#[inline(never)]
fn link(depth: u64, list: Option<&Node<'_>>) -> u64 {
    let node = Node { value: depth, next: list };
    if depth > 0 {
        return link(black_box(depth - 1), Some(&node)) + u64::from(node.value == u64::MAX);
    }
    gusty::yield_now();
    let mut sum = 0;
    let mut at = Some(&node);
    while let Some(node) = at {
        sum += node.value;
        at = node.next;
    }
    sum
}

#[gusty::test]
fn a_list_through_the_frames_stays_whole() {
    let handles: Vec<_> = (0..16).map(|_| gusty::spawn(|| link(DEEP, None))).collect();
    for handle in handles {
        assert_eq!(handle.join().unwrap(), DEEP * (DEEP + 1) / 2);
    }
}

#[gusty::test]
fn the_heap_may_point_to_locals() {
    gusty::spawn(|| {
        let (cell, atomic) = (Cell::new(0_u64), AtomicU64::new(0));
        let cells: Box<[&Cell<u64>]> = Box::new([&cell; 8]);
        let shared = Arc::new(Mutex::new(vec![&atomic]));
        let add: Box<dyn Fn(u64)> = Box::new(|n| cell.set(cell.get() + n));
        let address = std::ptr::from_ref(&cell).addr();
        let tagged = address | 1;
        let mut sum = 0;
        add_below(DEEP, &mut sum);
        gusty::yield_now();
        cells.iter().for_each(|cell| cell.set(cell.get() + 1));
        add(10);
        shared.lock().unwrap()[0].fetch_add(sum, Ordering::SeqCst);
        assert_eq!((cell.get(), atomic.into_inner()), (18, DEEP + 1));
        assert_eq!(std::ptr::from_ref(&cell).addr(), address, "locals stay where they are");
        assert_eq!(black_box(tagged) & !1, address, "numbers are nobody's business");
    })
    .join()
    .unwrap();
}

#[gusty::test]
fn scoped_goroutines_touch_the_locals_of_a_recursing_parent() {
    let handles: Vec<_> = (0..8)
        .map(|_| {
            gusty::spawn(|| {
                let (count, stop) = (AtomicU64::new(0), AtomicBool::new(false));
                let mut sum = 0;
                gusty::scope(|s| {
                    for _ in 0..4 {
                        s.spawn(|| {
                            while !stop.load(Ordering::SeqCst) {
                                count.fetch_add(1, Ordering::SeqCst);
                                gusty::yield_now();
                            }
                        });
                    }
                    for _ in 0..20 {
                        add_below(DEEP, &mut sum);
                        gusty::yield_now();
                    }
                    until(|| count.load(Ordering::SeqCst) > 0);
                    stop.store(true, Ordering::SeqCst);
                });
                assert_eq!(sum, 20 * (DEEP + 1));
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

#[gusty::test]
fn scoped_threads_touch_the_locals_of_a_recursing_parent() {
    gusty::spawn(|| {
        let (count, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let mut sum = 0;
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        count.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                    }
                });
            }
            for _ in 0..20 {
                add_below(DEEP, &mut sum);
            }
            while count.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
        });
        assert_eq!(sum, 20 * (DEEP + 1));
    })
    .join()
    .unwrap();
}

#[inline(never)]
fn frame<const N: usize>(seed: u8) -> usize {
    let mut frame = [seed; N];
    black_box(&mut frame);
    gusty::yield_now();
    frame.iter().filter(|&&byte| byte == seed).count()
}

#[gusty::test]
fn large_frames_fit_and_keep_their_bytes() {
    let handles: Vec<_> = (0..200_u8)
        .map(|seed| {
            gusty::spawn(move || {
                assert_eq!(frame::<40_000>(seed), 40_000);
                assert_eq!(frame::<100_000>(seed), 100_000);
                assert_eq!(frame::<{ 180 << 10 }>(seed), 180 << 10);
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

/// Wakes the goroutine that polls.
struct Unpark(gusty::Goroutine);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(gusty::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => gusty::park(),
        }
    }
}

/// Pending once; another goroutine wakes it.
struct Once(bool);

impl Future for Once {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        gusty::spawn(move || waker.wake());
        Poll::Pending
    }
}

#[gusty::test]
fn a_future_that_points_into_itself_is_polled() {
    let handles: Vec<_> = (0..50_u64)
        .map(|i| {
            gusty::spawn(move || {
                block_on(async move {
                    let words = [i; 64];
                    let inside = &words[7];
                    for _ in 0..20 {
                        Once(false).await;
                    }
                    let mut sum = 0;
                    add_below(DEEP / 2, &mut sum);
                    *inside + sum
                })
            })
        })
        .collect();
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), i as u64 + DEEP / 2 + 1);
    }
}

std::thread_local! {
    static LIST: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

#[gusty::test]
fn a_thread_local_is_the_goroutines() {
    let handles: Vec<_> = (0..16)
        .map(|i| {
            gusty::spawn(move || {
                for round in 0..scaled(10_000) {
                    LIST.with_borrow_mut(|list| {
                        list.push(i);
                        assert!(list.iter().all(|value| *value == i));
                        if list.len() > 100 {
                            list.clear();
                        }
                    });
                    if round % 16 == 0 {
                        gusty::yield_now();
                    }
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

#[test]
fn eight_goroutines_print() {
    let ended = Child::of("eight_goroutines_print").run(|| {
        let print = |i| {
            gusty::spawn(move || {
                for round in 0..500 {
                    println!("<line {i} {round}>");
                    eprintln!("<line {i} {round}>");
                    gusty::yield_now();
                }
            })
        };
        let handles: Vec<_> = (0..8).map(print).collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
    ended.succeeded();
    for text in [&ended.stdout, &ended.stderr] {
        assert_eq!(text.matches("<line ").count(), 4_000);
        for (i, round) in (0..8).flat_map(|i| (0..500).map(move |round| (i, round))) {
            assert!(text.contains(&format!("<line {i} {round}>\n")), "line {i} {round} in pieces");
        }
    }
}

#[gusty::test]
fn a_std_mutex_guards_short_sections() {
    let sum = Arc::new(Mutex::new(0_usize));
    let rounds = scaled(20_000);
    let add = |_| {
        let sum = sum.clone();
        gusty::spawn(move || {
            for round in 0..rounds {
                *sum.lock().unwrap() += 1;
                if round % 64 == 0 {
                    gusty::yield_now();
                }
            }
        })
    };
    let handles: Vec<_> = (0..8).map(add).collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
    assert_eq!(*sum.lock().unwrap(), 8 * rounds);
}

/// Sums that the compiler vectorises: registers wider than a word must survive.
#[inline(never)]
fn vector_sums(words: &[u32], pause: impl Fn()) -> u64 {
    let mut total = 0;
    for chunk in words.chunks(1_024) {
        let part = chunk.iter().fold(0_u32, |sum, &word| sum.wrapping_add(word.wrapping_mul(7)));
        pause();
        total += u64::from(part);
    }
    total
}

#[gusty::test]
fn wide_registers_survive() {
    let words: Arc<Vec<u32>> = Arc::new((0..64 << 10).collect());
    let expected = vector_sums(&words, || ());
    let handles: Vec<_> = (0..16)
        .map(|_| {
            let words = words.clone();
            gusty::spawn(move || (0..20).map(|_| vector_sums(&words, gusty::yield_now)).collect())
        })
        .collect();
    for handle in handles {
        let sums: Vec<u64> = handle.join().unwrap();
        assert!(sums.iter().all(|&sum| sum == expected), "{sums:?} {expected}");
    }
}

#[inline(never)]
fn floats(seed: f64, rounds: u32) -> f64 {
    let mut values = [seed, seed * 0.5, seed * 0.25, seed * 0.125];
    for _ in 0..rounds {
        gusty::yield_now();
        for value in &mut values {
            *value = value.mul_add(1.000_1, 0.5).sqrt();
        }
    }
    values.iter().sum()
}

#[gusty::test]
fn floating_point_survives() {
    let handles: Vec<_> =
        (0..64).map(|i| gusty::spawn(move || floats(f64::from(i), 200))).collect();
    let alone: Vec<f64> = (0..64).map(|i| floats(f64::from(i), 200)).collect();
    for (handle, expected) in handles.into_iter().zip(alone) {
        assert_eq!(handle.join().unwrap().to_bits(), expected.to_bits());
    }
}

#[gusty::test]
fn a_lot_of_allocation_from_many_goroutines() {
    let work = |seed: usize| {
        gusty::spawn(move || {
            let mut kept: Vec<Vec<usize>> = Vec::new();
            for round in 0..scaled(2_000) {
                kept.push(vec![seed; (seed * 31 + round * 17) % 500]);
                if round % 3 == 0 {
                    let old = kept.swap_remove(round * 7 % kept.len());
                    assert!(old.iter().all(|&word| word == seed));
                }
                if round % 5 == 0 {
                    gusty::yield_now();
                }
            }
            kept.iter().flatten().all(|&word| word == seed)
        })
    };
    let handles: Vec<_> = (0..16).map(work).collect();
    handles.into_iter().for_each(|handle| assert!(handle.join().unwrap()));
}
