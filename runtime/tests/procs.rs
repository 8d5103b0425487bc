//! Job: the number of Ps and what can be seen of the runtime: GOMAXPROCS up and down under load,
//!   parallelism, counts, dumps.
//! Not here: bad values of `GOMAXPROCS` (`absurd`).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Child, Rng, alone, scaled, until, watched};
use gusty::runtime::{dump, gomaxprocs, num_goroutine, num_threads};

/// One test at a time, each with its own number of Ps, nobody left over from the one before.
fn with_procs<T>(name: &str, procs: usize, f: impl FnOnce() -> T) -> T {
    let _alone = alone();
    watched(name, || {
        until(|| num_goroutine() == 0);
        let before = gomaxprocs(procs);
        let result = f();
        gomaxprocs(before);
        result
    })
}

#[test]
fn the_old_number_is_returned() {
    with_procs("the_old_number_is_returned", 3, || {
        assert_eq!(gomaxprocs(0), 3);
        assert_eq!(gomaxprocs(5), 3);
        assert_eq!(gomaxprocs(5), 5);
        assert_eq!(gomaxprocs(1), 5);
        assert_eq!(gusty::spawn(|| gomaxprocs(0)).join().unwrap(), 1);
        assert_eq!(gomaxprocs(usize::MAX), 1);
        assert_eq!(gomaxprocs(0), 1024, "clamped");
    });
}

/// Goroutines that yield, sleep, spawn and count until they are done with their rounds.
fn workers(count: usize, rounds: usize, done: &Arc<AtomicUsize>) -> Vec<gusty::JoinHandle<()>> {
    let worker = |i: usize| {
        let done = done.clone();
        gusty::spawn(move || {
            for round in 0..rounds {
                match (i + round) % 8 {
                    0 => gusty::sleep(Duration::from_micros(30)),
                    1 => gusty::spawn(gusty::yield_now).join().unwrap(),
                    2 => gusty::park_timeout(Duration::from_micros(10)),
                    _ => gusty::yield_now(),
                }
            }
            done.fetch_add(1, Ordering::SeqCst);
        })
    };
    (0..count).map(worker).collect()
}

#[test]
fn up_and_down_loses_nobody() {
    with_procs("up_and_down_loses_nobody", 1, || {
        let done = Arc::new(AtomicUsize::new(0));
        let handles = workers(100, scaled(2_000), &done);
        let mut rng = Rng(7);
        for _ in 0..1_000 {
            gomaxprocs(1 + rng.below(64));
            std::thread::yield_now();
        }
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(done.load(Ordering::SeqCst), 100);
    });
}

#[test]
fn a_goroutine_changes_it_under_its_own_feet() {
    with_procs("a_goroutine_changes_it", 2, || {
        let done = Arc::new(AtomicUsize::new(0));
        let handles = workers(50, scaled(1_000), &done);
        let changers: Vec<_> = (0..4)
            .map(|seed| {
                gusty::spawn(move || {
                    let mut rng = Rng(seed);
                    for _ in 0..250 {
                        gomaxprocs(1 + rng.below(64));
                        if rng.below(2) == 0 {
                            gusty::yield_now();
                        }
                    }
                })
            })
            .collect();
        changers.into_iter().chain(handles).for_each(|handle| handle.join().unwrap());
        assert_eq!(done.load(Ordering::SeqCst), 50);
    });
}

#[test]
fn timers_of_retired_ps_fire() {
    for _ in 0..20 {
        with_procs("timers_of_retired_ps_fire", 64, || {
            let armed = Arc::new(AtomicUsize::new(0));
            let handles: Vec<_> = (0..500)
                .map(|i| {
                    let armed = armed.clone();
                    gusty::spawn(move || {
                        armed.fetch_add(1, Ordering::SeqCst);
                        gusty::sleep(Duration::from_micros(500 + i * 7));
                    })
                })
                .collect();
            until(|| armed.load(Ordering::SeqCst) == 500);
            gomaxprocs(1);
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
    }
}

#[test]
fn queues_of_retired_ps_run() {
    for _ in 0..50 {
        with_procs("queues_of_retired_ps_run", 8, || {
            let count = Arc::new(AtomicUsize::new(0));
            let parents: Vec<_> = (0..16)
                .map(|_| {
                    let count = count.clone();
                    gusty::spawn(move || {
                        for _ in 0..60 {
                            let count = count.clone();
                            gusty::spawn(move || count.fetch_add(1, Ordering::SeqCst));
                        }
                    })
                })
                .collect();
            gomaxprocs(1);
            parents.into_iter().for_each(|parent| parent.join().unwrap());
            until(|| count.load(Ordering::SeqCst) == 16 * 60);
        });
    }
}

/// Row 33 (TestGoroutineParallelism).
#[test]
fn n_procs_run_n_goroutines_at_once() {
    for n in [1, 2, 3, 8, 64] {
        with_procs("n_procs_run_n", n, || {
            for _ in 0..5 {
                // Each waits, without parking, until all n are there.
                let here = Arc::new(AtomicUsize::new(0));
                let rendezvous = || {
                    let here = here.clone();
                    gusty::spawn(move || {
                        here.fetch_add(1, Ordering::SeqCst);
                        while here.load(Ordering::SeqCst) < n {
                            std::thread::yield_now();
                        }
                    })
                };
                let handles: Vec<_> = (0..n).map(|_| rendezvous()).collect();
                handles.into_iter().for_each(|handle| handle.join().unwrap());
            }
        });
    }
}

/// Row 34 (TestGoroutineParallelism2).
#[test]
fn n_goroutines_of_one_parent_run_at_once() {
    // As above, but spawned on a P, so that the others have to come and steal.
    for n in [2, 3, 8, 33] {
        with_procs("n_goroutines_of_one_parent", n, || {
            let here = Arc::new(AtomicUsize::new(0));
            let meet = move || {
                here.fetch_add(1, Ordering::SeqCst);
                while here.load(Ordering::SeqCst) < n {
                    std::thread::yield_now();
                }
            };
            let parent = gusty::spawn(move || {
                for _ in 1..n {
                    gusty::spawn(meet.clone());
                }
                meet();
            });
            parent.join().unwrap();
        });
    }
}

/// With slices, one that was stopped inside counts as well: so without.
#[test]
fn never_more_than_n_run_at_once() {
    let child = Child::of("never_more_than_n_run_at_once").env("GUSTY_SLICE_US", "off");
    child.run(|| [1, 2, 5].into_iter().for_each(at_most_n_at_once)).succeeded();
}

fn at_most_n_at_once(n: usize) {
    with_procs("never_more_than_n", n, || {
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runner = || {
            let (inside, most) = (inside.clone(), most.clone());
            gusty::spawn(move || {
                for _ in 0..200 {
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    for _ in 0..50 {
                        std::hint::spin_loop();
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    gusty::yield_now();
                }
            })
        };
        let handles: Vec<_> = (0..32).map(|_| runner()).collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        let most = most.load(Ordering::SeqCst);
        assert!((1..=n).contains(&most), "{most} at once with {n} Ps");
    });
}

#[test]
fn the_count_follows_spawn_and_exit() {
    with_procs("the_count_follows", 4, || {
        let handles: Vec<_> = (0..500).map(|_| gusty::spawn(gusty::park)).collect();
        assert_eq!(num_goroutine(), 500);
        handles.iter().take(200).for_each(|handle| handle.goroutine().unpark());
        until(|| num_goroutine() == 300);
        for (i, handle) in handles.into_iter().enumerate() {
            handle.goroutine().unpark();
            if i % 2 == 0 {
                handle.join().unwrap();
            }
        }
        until(|| num_goroutine() == 0);
    });
}

#[test]
fn a_dump_shows_everybody() {
    with_procs("a_dump_shows_everybody", 4, || {
        let stop = Arc::new(AtomicBool::new(false));
        let parked = gusty::spawn(gusty::park);
        let line = line!() - 1;
        let asleep = gusty::spawn(|| gusty::sleep(Duration::from_secs(1)));
        let target = parked.goroutine();
        let joins = gusty::spawn(move || parked.join().unwrap());
        let seen = stop.clone();
        let scoped = gusty::spawn(move || {
            gusty::scope(|s| {
                s.spawn(|| until(|| seen.load(Ordering::SeqCst)));
            });
        });
        let seen = stop.clone();
        let runs = gusty::spawn(move || until(|| seen.load(Ordering::SeqCst)));
        let at = format!("goroutine {} [park]: created at ", target.id());
        until(|| {
            let text = dump();
            let has = |who: &gusty::Goroutine, state| {
                text.contains(&format!("goroutine {} [{state}]", who.id()))
            };
            text.lines().any(|l| l.starts_with(&at) && l.contains(&format!("procs.rs:{line}:")))
                && has(&asleep.goroutine(), "sleep")
                && has(&joins.goroutine(), "join")
                && has(&scoped.goroutine(), "scope end")
                && (has(&runs.goroutine(), "running") || has(&runs.goroutine(), "runnable"))
                && text.contains("procs 4")
        });
        stop.store(true, Ordering::SeqCst);
        target.unpark();
        joins.join().unwrap();
        runs.join().unwrap();
        scoped.join().unwrap();
        asleep.join().unwrap();
        assert!(num_threads() >= 1);
    });
}

#[test]
fn dumps_and_counts_may_be_taken_at_any_time() {
    with_procs("dumps_at_any_time", 4, || {
        let done = Arc::new(AtomicUsize::new(0));
        let handles = workers(50, scaled(500), &done);
        while done.load(Ordering::SeqCst) < 50 {
            assert!(dump().contains("procs 4"));
            assert!(num_goroutine() < 200);
        }
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}
