//! Goroutines that stay on one thread, and goroutines without thread-locals of their own, among
//! ordinary ones.

mod common;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::Child;
use gusty::runtime::{TlsLevel, features};
use gusty::{Builder, chan, go};

fn thread() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

/// `count` goroutines that each ask `rounds` times, over parks of all kinds, where they are.
fn threads_of_pinned(count: usize, rounds: usize) -> HashSet<i32> {
    let handles: Vec<_> = (0..count)
        .map(|i| {
            go!(pinned, move || {
                let mine = thread();
                let (tx, rx) = chan::bounded(0);
                let peer = gusty::spawn(move || (0..rounds).for_each(|k| tx.send(k).unwrap()));
                for k in 0..rounds {
                    assert_eq!(rx.recv(), Ok(k));
                    assert_eq!(thread(), mine);
                    match (i + k) % 3 {
                        0 => gusty::yield_now(),
                        1 if k % 16 == 1 => gusty::sleep(Duration::from_micros(50)),
                        _ => {}
                    }
                    assert_eq!(thread(), mine);
                }
                peer.join().unwrap();
                assert_eq!(thread(), mine);
                mine
            })
        })
        .collect();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

#[gusty::test]
fn pinned_goroutines_stay_on_their_thread() {
    let threads = threads_of_pinned(40, 200);
    assert!(!threads.is_empty());
}

#[test]
fn more_threads_than_ps_take_turns() {
    for procs in [1, 2, 4] {
        let ended =
            Child::of("more_threads_than_ps_take_turns").env("GOMAXPROCS", procs).run(|| {
                assert!(!threads_of_pinned(30, 100).is_empty());
                let old = gusty::runtime::gomaxprocs(8);
                threads_of_pinned(30, 100);
                gusty::runtime::gomaxprocs(1); // those threads now share one P
                threads_of_pinned(30, 100);
                gusty::runtime::gomaxprocs(old);
            });
        ended.succeeded();
    }
}

#[test]
fn pinned_goroutines_of_several_threads_share_one_p() {
    Child::of("pinned_goroutines_of_several_threads_share_one_p").run(share_one_p).succeeded();
}

fn share_one_p() {
    let old = gusty::runtime::gomaxprocs(4);
    let stop = Arc::new(AtomicBool::new(false));
    let turns: Arc<[AtomicUsize; 16]> = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
    let handles: Vec<_> = (0..16)
        .map(|i| {
            let (stop, turns) = (stop.clone(), turns.clone());
            go!(pinned, move || {
                let mine = thread();
                while !stop.load(Ordering::Relaxed) {
                    turns[i].fetch_add(1, Ordering::Relaxed);
                    gusty::yield_now();
                    assert_eq!(thread(), mine);
                }
            })
        })
        .collect();
    let wait_for = |more: usize| {
        let before: Vec<usize> = turns.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        while turns.iter().zip(&before).any(|(n, b)| n.load(Ordering::Relaxed) < b + more) {
            gusty::yield_now();
        }
    };
    wait_for(100);
    gusty::runtime::gomaxprocs(1);
    wait_for(100); // everybody gets on, whichever thread they are on
    gusty::runtime::gomaxprocs(old);
    wait_for(100);
    stop.store(true, Ordering::Relaxed);
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

#[gusty::test]
fn a_pinned_goroutine_wakes_from_timers_and_from_other_threads() {
    let (to, from) = chan::bounded::<u32>(0);
    let pinned = go!(pinned, move || {
        let mine = thread();
        gusty::sleep(Duration::from_millis(2));
        assert_eq!(thread(), mine);
        let mut sum = 0;
        while let Ok(n) = from.recv() {
            assert_eq!(thread(), mine);
            sum += n;
        }
        sum
    });
    let outside = std::thread::spawn(move || (0..1000).for_each(|n| to.send(n).unwrap()));
    assert_eq!(pinned.join().unwrap(), 499_500);
    outside.join().unwrap();
}

std::thread_local! {
    static MARK: Cell<u64> = const { Cell::new(0) };
}

/// Not inlined into code that parks: the contract of `light`.
#[inline(never)]
fn mark() -> u64 {
    MARK.get()
}

#[inline(never)]
fn set_mark(value: u64) {
    MARK.set(value);
}

/// Whether ordinary goroutines have thread-locals of their own, so that there is a difference.
fn own_thread_locals() -> bool {
    features().tls == TlsLevel::Own
}

#[gusty::test]
fn light_goroutines_leave_the_thread_locals_of_ordinary_ones_alone() {
    if !own_thread_locals() {
        return;
    }
    let ordinary: Vec<_> = (1..=50)
        .map(|i| {
            gusty::spawn(move || {
                set_mark(i);
                for _ in 0..200 {
                    gusty::yield_now();
                    assert_eq!(mark(), i);
                }
            })
        })
        .collect();
    let light: Vec<_> = (0..50)
        .map(|_| {
            // SAFETY: keeps nothing of a thread-local over a park.
            go!(unsafe light, || {
                for _ in 0..200 {
                    set_mark(u64::MAX);
                    gusty::yield_now();
                }
            })
        })
        .collect();
    ordinary.into_iter().chain(light).for_each(|handle| handle.join().unwrap());
    assert_eq!(gusty::spawn(mark).join().unwrap(), 0, "a new goroutine begins anew");
}

#[gusty::test]
fn light_and_ordinary_goroutines_follow_each_other_on_stacks() {
    for round in 0..2_000 {
        let plain = gusty::spawn(move || {
            set_mark(7);
            mark()
        });
        // SAFETY: keeps nothing of a thread-local over a park.
        let light = go!(unsafe light, name = "light", move || {
            if round % 3 == 0 {
                gusty::yield_now();
            }
            gusty::current().name().map(str::to_owned)
        });
        assert_eq!(plain.join().unwrap(), 7);
        assert_eq!(light.join().unwrap().as_deref(), Some("light"));
    }
}

#[gusty::test]
fn a_light_goroutine_may_panic_and_park_while_unwinding() {
    if !own_thread_locals() {
        return; // others on its thread would see it panic
    }
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            (0..3).for_each(|_| gusty::yield_now());
            assert!(std::thread::panicking());
        }
    }
    let others: Vec<_> = (0..20)
        .map(|_| {
            gusty::spawn(|| {
                for _ in 0..100 {
                    assert!(!std::thread::panicking());
                    gusty::yield_now();
                }
            })
        })
        .collect();
    for _ in 0..10 {
        // SAFETY: keeps nothing of a thread-local over a park; the runtime sees to the panic count.
        let light = go!(unsafe light, || {
            let _parks = Parks;
            std::panic::resume_unwind(Box::new(3_u8));
        });
        let payload = light.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<u8>(), Some(&3));
    }
    others.into_iter().for_each(|handle| handle.join().unwrap());
}

#[gusty::test]
fn pinned_and_light_at_once() {
    // SAFETY: keeps nothing of a thread-local over a park.
    let builder = unsafe { Builder::new().pinned().light() };
    let handle = builder.spawn(|| {
        let mine = thread();
        (0..100).for_each(|_| gusty::yield_now());
        assert_eq!(thread(), mine);
    });
    handle.unwrap().join().unwrap();
}

/// Locking changes nothing for a goroutine that stays on its thread, nor does unlocking free it.
#[gusty::test]
fn a_pinned_goroutine_that_locks_and_unlocks_stays_and_shares_its_thread() {
    let pinned = |rounds: usize| {
        go!(pinned, move || {
            let mine = thread();
            for _ in 0..rounds {
                gusty::lock_os_thread();
                // Those on the same thread go on: nobody would end otherwise.
                go!(pinned, gusty::yield_now).join().unwrap();
                assert_eq!(thread(), mine);
                gusty::unlock_os_thread();
                gusty::unlock_os_thread();
                gusty::yield_now();
                assert_eq!(thread(), mine);
            }
        })
    };
    let handles: Vec<_> = (0..8).map(|_| pinned(50)).collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}
