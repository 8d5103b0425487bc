//! Job: nobody allocates or frees in a runtime section, or on the watchdog's thread: the allocator's
//!   lock may be held by a goroutine that was stopped and waits for the very P that would be kept.
//! Not here: that programs survive being stopped in their allocator (`gusty-compat`).
//!
//! Each test drives a part of the API, tables grow past their first size, and the last line of each is that
//! nothing was found.

mod common;
#[path = "section_alloc/detector.rs"]
mod detector;
#[path = "section_alloc/waits.rs"]
mod waits;

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::{scaled, until};
use detector::clean;
use gusty::{runtime, sync};

/// Runs `f` as a goroutine.
fn on_goroutine<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    gusty::spawn(f).join().unwrap()
}

/// Runs `count` goroutines and waits for all.
fn many(count: usize, f: impl Fn(usize) + Send + Sync + 'static) {
    let f = Arc::new(f);
    let all: Vec<_> = (0..count)
        .map(|i| {
            let f = f.clone();
            gusty::spawn(move || f(i))
        })
        .collect();
    all.into_iter().for_each(|handle| handle.join().unwrap());
}

/// Waits for a number, letting others run.
fn reaches(counter: &AtomicUsize, number: usize) {
    until(|| counter.load(Ordering::Relaxed) >= number);
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

fn one_more() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn goroutines_of_all_kinds() {
    clean("goroutines_of_all_kinds", || {
        for size in [16 << 10, 64 << 10, 200 << 10, 1 << 20] {
            many(scaled(2_000), move |i| {
                let builder = gusty::Builder::new().name(format!("g{i}")).stack_size(size);
                let handle = builder.spawn(move || black_box([i; 40])).unwrap();
                match i % 4 {
                    0 => drop(handle),
                    1 => assert_eq!(handle.join().unwrap()[7], i),
                    2 => assert_eq!(handle.goroutine().name(), Some(&*format!("g{i}"))),
                    _ => {
                        let big = black_box(vec![i; 100]);
                        let boxed = gusty::spawn(move || (big, [i; 30]));
                        until(|| boxed.is_finished());
                        drop(boxed);
                    }
                }
            });
        }
        many(scaled(2_000), |_| {
            let outer = gusty::Builder::new().name("short");
            drop(outer.spawn(gusty::yield_now).unwrap());
            let handle = gusty::spawn(|| Box::new(1));
            gusty::yield_now();
            drop(handle);
        });
        COUNT.store(0, Ordering::Relaxed);
        let parked: Vec<_> = (0..scaled(20_000))
            .map(|_| {
                gusty::spawn(|| {
                    one_more();
                    gusty::park();
                })
            })
            .collect();
        reaches(&COUNT, parked.len());
        assert!(runtime::dump().len() > parked.len());
        parked.iter().for_each(|handle| handle.thread().unpark());
        parked.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn panics_and_thread_locals() {
    std::thread_local! {
        static LOCAL: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    struct Yields;
    impl Drop for Yields {
        fn drop(&mut self) {
            gusty::yield_now();
        }
    }
    clean("panics_and_thread_locals", || {
        std::panic::set_hook(Box::new(|info| drop(black_box(info.to_string()))));
        many(scaled(1_000), |i| {
            let handle = gusty::spawn(move || {
                LOCAL.with_borrow_mut(|local| local.resize(i % 100, i));
                let _yields = Yields;
                if i % 2 == 0 {
                    panic!("on purpose {i}");
                }
                gusty::yield_now();
                LOCAL.with_borrow_mut(|local| local.push(i));
                let _ = std::thread::current().id();
            });
            match i % 3 {
                0 => drop(handle),
                _ => assert_eq!(handle.join().is_err(), i % 2 == 0),
            }
        });
    });
}

/// Polls a handle once with a waker that allocates, then waits for that.
struct Woken(mpsc::Sender<()>);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        drop(black_box(vec![0; 10]));
        self.0.send(()).unwrap();
    }
}

#[test]
fn handles_as_futures() {
    clean("handles_as_futures", || {
        many(scaled(2_000), |i| {
            let mut handle = gusty::spawn(move || {
                gusty::yield_now();
                i
            });
            let (tx, rx) = mpsc::channel();
            let waker = Waker::from(Arc::new(Woken(tx)));
            let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            drop(waker);
            match polled {
                Poll::Ready(value) => assert_eq!(value.unwrap(), i),
                Poll::Pending if i % 5 == 0 => drop(handle),
                Poll::Pending => {
                    until(|| rx.try_recv().is_ok());
                    assert_eq!(handle.join().unwrap(), i);
                }
            }
        });
        many(scaled(500), |_| {
            let handle = gusty::spawn(|| gusty::sleep(Duration::from_micros(300)));
            let handle = handle.join_timeout(Duration::from_micros(100));
            drop(handle.map_err(|handle| handle.join()));
        });
    });
}

#[test]
fn scopes_and_groups() {
    clean("scopes_and_groups", || {
        many(scaled(300), |i| {
            let mut values = vec![i; 20];
            gusty::scope(|s| {
                for value in &mut values {
                    s.spawn(move || *value += 1);
                }
            });
            let group: sync::ErrGroup<String> = sync::ErrGroup::new();
            group.set_limit(3);
            for k in 0..10 {
                group.go(move || if k == 5 { Err(format!("{k}")) } else { Ok(()) });
            }
            assert!(group.wait().is_err());
        });
    });
}

#[test]
fn blocking_calls_and_threads() {
    clean("blocking_calls_and_threads", || {
        for _ in 0..3 {
            many(60, |i| {
                if i % 3 == 0 {
                    gusty::lock_os_thread();
                }
                gusty::blocking(|| std::thread::sleep(Duration::from_millis(3)));
                gusty::yield_now();
                gusty::sleep(Duration::from_micros(100));
                if i % 6 == 0 {
                    gusty::unlock_os_thread();
                }
            });
            // Threads that idle end.
            let floor = runtime::gomaxprocs(0) + 2;
            until(|| {
                gusty::sleep(Duration::from_millis(1));
                runtime::num_threads() <= floor
            });
        }
        many(50, |_| {
            let pinned = gusty::Builder::new().pinned().spawn(|| {
                (0..50).for_each(|_| gusty::yield_now());
                gusty::sleep(Duration::from_micros(50));
            });
            drop(pinned.unwrap().join());
        });
    });
}

#[test]
fn gomaxprocs_up_and_down() {
    clean("gomaxprocs_up_and_down", || {
        let busy: Vec<_> = (0..16)
            .map(|_| {
                gusty::spawn(|| {
                    let end = Instant::now() + Duration::from_millis(300);
                    while Instant::now() < end {
                        let handle = gusty::spawn(|| gusty::sleep(Duration::from_micros(50)));
                        gusty::yield_now();
                        handle.join().unwrap();
                    }
                })
            })
            .collect();
        for procs in [1, 2, 4, 40, 3, 64, 1, 300, 2] {
            runtime::gomaxprocs(procs);
            drop(runtime::dump());
            let _ = (runtime::metrics(), runtime::num_goroutine(), runtime::num_threads());
            gusty::sleep(Duration::from_millis(10));
        }
        busy.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// The watchdog asks, takes Ps, looks for deadlocks and trims stacks.
#[test]
fn the_watchdog() {
    clean("the_watchdog", || {
        many(scaled(3_000), |_| gusty::sleep(Duration::from_millis(20)));
        let busy: Vec<_> = (0..4)
            .map(|i| {
                gusty::spawn(move || {
                    let end = Instant::now() + Duration::from_millis(200);
                    let mut kept = Vec::new();
                    while Instant::now() < end {
                        kept.push(black_box(vec![i; 10]));
                        kept.truncate(100);
                    }
                })
            })
            .collect();
        busy.into_iter().for_each(|handle| handle.join().unwrap());
        std::thread::sleep(Duration::from_millis(1_500)); // idle long enough for a trim and looks
        on_goroutine(|| ());
    });
}
