//! Job: ordinary programs that must not crash, hang or lie while their goroutines are stopped every
//!   100 us.
//! Not here: results of computations (`preempt_results`), calls that block (`blocking_others`).

mod common;
mod slices;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Child, OnDrop, scaled};
use gusty::{spawn, yield_now};
use slices::{Spinners, sliced};

const PROCS: [usize; 3] = [1, 2, 8];

/// Runs `f` on eight goroutines and waits for them.
fn eight<R: Send + 'static>(f: impl Fn(usize) -> R + Clone + Send + 'static) -> Vec<R> {
    let start = |i| {
        let f = f.clone();
        spawn(move || f(i))
    };
    let handles: Vec<_> = (0..8).map(start).collect();
    handles.into_iter().map(|handle| handle.join().expect("a goroutine panicked")).collect()
}

/// The loops never end: the process ends although they run.
#[test]
#[expect(clippy::empty_loop, reason = "what the loops are for a release build")]
fn main_prints_while_everybody_loops() {
    if !common::once() {
        return;
    }
    for procs in [1, 2, 4] {
        let child = Child::of("main_prints_while_everybody_loops").env("GOMAXPROCS", procs);
        let ended = child.run(|| {
            if gusty::runtime::features().tls != gusty::runtime::TlsLevel::Own {
                println!("it is time");
                return;
            }
            let main = spawn(move || {
                for i in 0..procs {
                    spawn(move || {
                        let mut x = 0u64;
                        loop {
                            if i % 2 == 0 {
                                x = black_box(x + 1);
                            } else {
                                loop {}
                            }
                        }
                    });
                }
                gusty::sleep(Duration::from_millis(300));
                println!("it is time");
            });
            main.join().unwrap();
        });
        ended.succeeded();
        assert!(ended.stdout.contains("it is time"), "{}", ended.stdout);
    }
}

/// The holder is stopped while every thread waits in the lock's futex.
#[test]
fn a_short_section_of_a_std_mutex() {
    if !common::once() {
        return;
    }
    sliced("a_short_section_of_a_std_mutex", &PROCS, || {
        let rounds = scaled(100_000);
        let shared = Arc::new((Mutex::new([0u64; 4]), AtomicBool::new(false)));
        let theirs = shared.clone();
        eight(move |_| {
            for _ in 0..rounds {
                let mut words = theirs.0.lock().unwrap();
                assert!(!theirs.1.swap(true, Ordering::Relaxed), "two hold the lock");
                words.iter_mut().for_each(|word| *word = black_box(*word + 1));
                assert!(theirs.1.swap(false, Ordering::Relaxed));
            }
        });
        assert_eq!(*shared.0.lock().unwrap(), [8 * rounds as u64; 4]);
    });
}

#[test]
fn lines_of_println_are_whole_and_all_there() {
    if !common::once() {
        return;
    }
    let lines = scaled(2_000);
    let ended = sliced("lines_of_println_are_whole_and_all_there", &PROCS, || {
        println!(); // after what the harness has begun to print
        eight(move |i| {
            for k in 0..lines {
                // Many pieces, which another one's must not come between.
                println!("line {i} {k} {:?} end", [i; 20]);
            }
        });
    });
    for ended in ended.iter().filter(|ended| !ended.stderr.contains(slices::SKIPPED)) {
        let mut next = [0; 8];
        for line in ended.stdout.lines().filter(|line| line.starts_with("line ")) {
            let mut words = line.split(' ');
            let mut number = || words.nth(1).and_then(|word| word.parse::<usize>().ok());
            let i = number().expect("who");
            let k = words.next().and_then(|word| word.parse::<usize>().ok()).expect("which");
            assert_eq!(line, format!("line {i} {k} {:?} end", [i; 20]));
            assert_eq!(k, next[i], "out of order");
            next[i] += 1;
        }
        assert_eq!(next, [lines; 8]);
    }
}

#[test]
fn a_ref_cell_in_a_thread_local_is_borrowed_by_one() {
    if !common::once() {
        return;
    }
    thread_local! {
        static MINE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
    sliced("a_ref_cell_in_a_thread_local_is_borrowed_by_one", &PROCS, || {
        let rounds = scaled(1_000_000);
        let sums = eight(move |i| {
            for k in 0..rounds {
                MINE.with_borrow_mut(|mine| {
                    if k % 1_000 == 0 {
                        mine.clear();
                    }
                    mine.push(i);
                    assert_eq!(mine.len(), k % 1_000 + 1);
                });
            }
            MINE.with_borrow(|mine| mine.iter().sum::<usize>())
        });
        let last = (rounds - 1) % 1_000 + 1;
        assert_eq!(sums, (0..8).map(|i| i * last).collect::<Vec<_>>());
    });
}

#[test]
fn a_drop_that_yields_while_unwinding() {
    if !common::once() {
        return;
    }
    sliced("a_drop_that_yields_while_unwinding", &PROCS, || {
        std::panic::set_hook(Box::new(|_| {}));
        let unwinding = Arc::new(AtomicUsize::new(0));
        let shared = unwinding.clone();
        let innocent = Arc::new(Mutex::new(()));
        eight(move |i| {
            for k in 0..scaled(300) {
                if i % 2 == 0 {
                    // Would poison the lock if it were taken for the one that panics.
                    let _guard = innocent.lock().expect("nobody panicked with it");
                    assert!(!std::thread::panicking());
                    (0..2_000).for_each(|n| _ = black_box(n));
                    continue;
                }
                let caught = std::panic::catch_unwind(|| {
                    let _yields = OnDrop(|| {
                        assert!(std::thread::panicking());
                        (0..3).for_each(|_| yield_now());
                        (0..20_000).for_each(|n| _ = black_box(n));
                        assert!(std::thread::panicking());
                        shared.fetch_add(1, Ordering::Relaxed);
                    });
                    std::panic::panic_any(k);
                });
                assert_eq!(caught.unwrap_err().downcast_ref::<usize>(), Some(&k));
                assert!(!std::thread::panicking());
            }
        });
        assert_eq!(unwinding.load(Ordering::Relaxed), 4 * scaled(300));
    });
}

/// Loops in functions all over the text: where the linker puts what is hot, what is cold, what runs at
/// the start, and next to the section of the runtime's own that must not be stopped.
mod places {
    use std::hint::spin_loop;
    use std::sync::atomic::{AtomicBool, Ordering};

    macro_rules! loops_in {
        ($($name:ident $section:literal)*) => {
            $(#[inline(never)]
            #[unsafe(link_section = $section)]
            fn $name(stop: &AtomicBool) {
                while !stop.load(Ordering::Relaxed) {
                    spin_loop();
                }
            })*
            pub(super) const ALL: [fn(&AtomicBool); [$($section),*].len()] = [$($name),*];
        };
    }

    loops_in! {
        hot ".text.hot.loops"
        cold ".text.unlikely.loops"
        early ".text.startup.loops"
        late ".text.zzz_loops"
        before "gusty_nopreemps"
        after "gusty_nopreempu"
        first ".text"
    }
}

#[test]
fn a_hot_loop_anywhere_in_the_text_lets_others_run() {
    if !common::once() {
        return;
    }
    sliced("a_hot_loop_anywhere_in_the_text_lets_others_run", &PROCS, || {
        for place in places::ALL {
            let stop = Arc::new(AtomicBool::new(false));
            let loops: Vec<_> = (0..gusty::runtime::gomaxprocs(0))
                .map(|_| {
                    let stop = stop.clone();
                    spawn(move || place(&stop))
                })
                .collect();
            eight(|_| yield_now());
            stop.store(true, Ordering::Relaxed);
            loops.into_iter().for_each(|one| one.join().unwrap());
        }
    });
}

/// Loops whose body is a short call of the runtime: most of the time they are in its code, or within
/// an instruction of it.
#[test]
fn hot_loops_of_calls_of_the_runtime_let_others_run() {
    if !common::once() {
        return;
    }
    fn drops_its_guard(mutex: &gusty::sync::Mutex<u64>) {
        *mutex.lock().unwrap() += 1;
    }
    sliced("hot_loops_of_calls_of_the_runtime_let_others_run", &PROCS, || {
        type Body = Box<dyn FnMut() + Send>;
        let bodies: [fn() -> Body; 7] = [
            || Box::new(|| _ = black_box(gusty::current().id())),
            || {
                let mutex = gusty::sync::Mutex::new(0);
                Box::new(move || drops_its_guard(&mutex))
            },
            || {
                let (tx, rx) = gusty::chan::bounded(1);
                Box::new(move || {
                    tx.try_send(1).unwrap();
                    assert_eq!(rx.try_recv(), Ok(1));
                })
            },
            || Box::new(|| assert!(gusty::is_goroutine())),
            || Box::new(|| gusty::blocking(|| {})),
            || Box::new(|| _ = black_box(gusty::runtime::gomaxprocs(0))),
            || Box::new(|| gusty::current().unpark()),
        ];
        for body in bodies {
            let stop = Arc::new(AtomicBool::new(false));
            let loops: Vec<_> = (0..gusty::runtime::gomaxprocs(0))
                .map(|_| {
                    let stop = stop.clone();
                    spawn(move || {
                        let mut body = body();
                        while !stop.load(Ordering::Relaxed) {
                            body();
                        }
                    })
                })
                .collect();
            eight(|_| yield_now());
            stop.store(true, Ordering::Relaxed);
            loops.into_iter().for_each(|one| one.join().unwrap());
        }
    });
}

/// Goroutines begin and end, park and wake all the time beside ones that never call anything.
#[test]
fn everything_else_goes_on_beside_loops() {
    if !common::once() {
        return;
    }
    sliced("everything_else_goes_on_beside_loops", &PROCS, || {
        let spinners = Spinners::new(3);
        let (tx, rx) = gusty::chan::bounded(0);
        let sender = spawn(move || (0..20).for_each(|i| tx.send(i).unwrap()));
        assert_eq!(rx.iter().count(), 20);
        sender.join().unwrap();
        for _ in 0..10 {
            assert_eq!(spawn(|| 7).join().unwrap(), 7);
        }
        let mut words = [0; 8];
        gusty::scope(|scope| {
            words.iter_mut().enumerate().for_each(|(i, word)| drop(scope.spawn(move || *word = i)));
        });
        assert_eq!(words, [0, 1, 2, 3, 4, 5, 6, 7]);
        spinners.run_on();
    });
}

/// Maps grow, which moves everything in them, and hold what was put in.
#[test]
fn maps_that_grow_keep_what_they_hold() {
    if !common::once() {
        return;
    }
    sliced("maps_that_grow_keep_what_they_hold", &PROCS, || {
        let sums = eight(|i| {
            let mut map = HashMap::new();
            for k in 0..scaled(200_000) as u64 {
                assert_eq!(map.insert(k, k ^ i as u64), None);
            }
            map.iter().filter(|(k, v)| **v == **k ^ i as u64).count()
        });
        assert_eq!(sums, [scaled(200_000); 8]);
    });
}
