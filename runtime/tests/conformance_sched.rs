//! Job: what Go's own tests ask of its scheduler, asked of ours: one test a row of the list of
//!   candidates.
//! Not here: channels and select (`conformance_chan`, `conformance_select`), what needs a process of
//!   its own (`conformance_process`), GOMAXPROCS going up and down (`procs`).

mod common;

use common::{alone, scaled, until, watched};
use gusty::runtime::{dump, gomaxprocs, num_goroutine};
use gusty::{JoinHandle, chan, go, spawn, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// One test at a time, with `procs` Ps and no goroutine left over from the one before.
fn with_procs(name: &str, procs: usize, f: impl FnOnce()) {
    let _alone = alone();
    watched(name, || {
        until(|| num_goroutine() == 0);
        let before = gomaxprocs(procs);
        f();
        gomaxprocs(before);
    });
}

/// The others get the P's thread only from the kernel: this goroutine keeps its P.
fn spin_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// `n` counters, and closures that count one each.
fn counters(n: usize) -> (Arc<Vec<AtomicUsize>>, impl Fn(usize) -> JoinHandle<()>) {
    let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..n).map(|_| AtomicUsize::new(0)).collect());
    let theirs = counts.clone();
    let start = move |i: usize| {
        let counts = theirs.clone();
        spawn(move || {
            counts[i].fetch_add(1, Ordering::SeqCst);
        })
    };
    (counts, start)
}

fn total(counts: &[AtomicUsize]) -> usize {
    counts.iter().map(|count| count.load(Ordering::SeqCst)).sum()
}

/// Row 30 (TestStopTheWorldDeadlock): the number of Ps changes and dumps are taken while goroutines
/// spawn their successors without end.
#[test]
fn row_30_resizing_while_somebody_always_spawns() {
    fn endless(stop: Arc<AtomicBool>, ended: Arc<AtomicUsize>) {
        if stop.load(Ordering::SeqCst) {
            ended.fetch_add(1, Ordering::SeqCst);
        } else {
            go!(move || endless(stop, ended));
        }
    }
    with_procs("row_30", 4, || {
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..6 {
            let (stop, ended) = (stop.clone(), ended.clone());
            go!(move || endless(stop, ended));
        }
        for i in 0..scaled(200) {
            let procs = [1, 2, 4, 8, 64][i % 5];
            spawn(move || gomaxprocs(procs)).join().unwrap();
            assert!(dump().contains(&format!("procs {procs}")));
        }
        stop.store(true, Ordering::SeqCst);
        until(|| ended.load(Ordering::SeqCst) == 6);
    });
}

/// Row 31 (TestYieldProgress, also Locked): who yields in a loop lets another one through.
#[test]
fn row_31_a_yield_lets_others_through() {
    with_procs("row_31", 1, || {
        for pinned in [false, true] {
            let (seen, set) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (theirs, mine) = (seen.clone(), set.clone());
            let wait = move || {
                mine.store(true, Ordering::SeqCst);
                until(|| theirs.load(Ordering::SeqCst));
            };
            let waiter = if pinned { go!(pinned, wait) } else { spawn(wait) };
            until(|| set.load(Ordering::SeqCst));
            spawn(move || seen.store(true, Ordering::SeqCst)).join().unwrap();
            waiter.join().unwrap();
        }
    });
}

/// Row 32 (TestYieldLocked): a pinned goroutine yields and sleeps in turn and ends as it is; its
/// thread serves others afterwards.
#[test]
fn row_32_a_pinned_goroutine_just_ends() {
    for procs in [1, 2, 4, 8, 64] {
        with_procs("row_32", procs, || {
            for _ in 0..3 {
                let pinned = go!(pinned, || {
                    // SAFETY: no preconditions.
                    let thread = || unsafe { libc::gettid() };
                    let mine = thread();
                    for _ in 0..10 {
                        yield_now();
                        gusty::sleep(Duration::from_micros(50));
                        assert_eq!(thread(), mine);
                    }
                });
                pinned.join().unwrap();
                let others: Vec<_> = (0..20).map(|i| spawn(move || i)).collect();
                assert!(others.into_iter().map(|one| one.join().unwrap()).eq(0..20));
            }
        });
    }
}

/// Row 35 (TestBlockLocked): a pinned goroutine blocks on a channel, as does its pinned partner.
#[test]
fn row_35_pinned_goroutines_block_on_channels() {
    for procs in [1, 2, 4, 8, 64] {
        with_procs("row_35", procs, || {
            let (tx, rx) = chan::bounded(0);
            let receiver = go!(pinned, move || (0..500).for_each(|i| assert_eq!(rx.recv(), Ok(i))));
            let sender = go!(pinned, move || (0..500).for_each(|i| tx.send(i).unwrap()));
            sender.join().unwrap();
            receiver.join().unwrap();
        });
    }
}

/// Row 41 (TestPingPongHog): on one P two pairs hand each other a value all the time; neither pair
/// keeps the other from its rounds, however long the turns of one are.
#[test]
fn row_41_two_pairs_share_one_p() {
    fn pair(work: u32, rounds: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
        let (ping, pinged) = chan::bounded::<()>(0);
        let (pong, ponged) = chan::bounded::<()>(0);
        let hog = move || assert!((0..work).all(|i| std::hint::black_box(i) < work));
        let first = spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                hog();
                ping.send(()).unwrap();
                ponged.recv().unwrap();
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        });
        let second = spawn(move || {
            for () in pinged {
                hog();
                pong.send(()).unwrap();
            }
        });
        vec![first, second]
    }
    with_procs("row_41", 1, || {
        let (heavy, light) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut all = pair(10_000, heavy.clone(), stop.clone());
        all.extend(pair(0, light.clone(), stop.clone()));
        let enough = scaled(1000);
        until(|| [&heavy, &light].iter().all(|rounds| rounds.load(Ordering::SeqCst) >= enough));
        stop.store(true, Ordering::SeqCst);
        all.into_iter().for_each(|one| one.join().unwrap());
    });
}

/// Row 42 (TestNumGoroutine): the number of goroutines is that of the lines of a dump.
#[test]
fn row_42_the_count_is_the_dump() {
    for procs in [1, 2, 4, 8, 64] {
        with_procs("row_42", procs, || {
            for n in [0, 1, 10, 300] {
                let parked: Vec<_> = (0..n).map(|_| spawn(gusty::park)).collect();
                let lines = dump().lines().filter(|l| l.starts_with("goroutine ")).count();
                assert_eq!((num_goroutine(), lines), (n, n));
                parked.iter().for_each(|one| one.goroutine().unpark());
                parked.into_iter().for_each(|one| one.join().unwrap());
                until(|| num_goroutine() == 0);
            }
        });
    }
}

/// Row 43 (TestSchedLocalQueue): a P's queue at all levels of filling, and beyond what it holds.
#[test]
fn row_43_a_queue_at_every_level() {
    with_procs("row_43", 1, || {
        for n in (0..40).chain([127, 128, 129, 255, 256, 257, 511, 512, 513, 2000]) {
            let (counts, start) = counters(n);
            let parent = spawn(move || (0..n).map(start).collect::<Vec<_>>());
            parent.join().unwrap().into_iter().for_each(|one| one.join().unwrap());
            assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1), "of {n}");
        }
    });
}

/// Row 44 (TestSchedLocalQueueSteal): what others steal from a P that is busy runs once, and all of
/// it but what that P keeps for itself.
#[test]
fn row_44_stealing_loses_and_doubles_nothing() {
    for procs in [2, 4, 8, 64] {
        with_procs("row_44", procs, || {
            for n in [1, 2, 3, 7, 64, 255, 256, 257, 600] {
                let (counts, start) = counters(n);
                let seen = counts.clone();
                let busy = spawn(move || {
                    let started: Vec<_> = (0..n).map(start).collect();
                    spin_until(|| total(&seen) >= n - 1);
                    started
                });
                busy.join().unwrap().into_iter().for_each(|one| one.join().unwrap());
                assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1), "of {n}");
            }
        });
    }
}

/// Row 45 (TestSchedLocalQueueEmpty): a goroutine that the next one pushes out of the first place is
/// seen by idle Ps, every time.
#[test]
fn row_45_who_is_pushed_out_of_the_first_place_is_found() {
    for procs in [2, 4, 8] {
        with_procs("row_45", procs, || {
            for _ in 0..scaled(500) {
                let (counts, start) = counters(2);
                let busy = spawn(move || {
                    let both = [start(0), start(1)];
                    spin_until(|| total(&counts) >= 1);
                    both
                });
                busy.join().unwrap().into_iter().for_each(|one| one.join().unwrap());
            }
        });
    }
}

/// Row 52 (TestNetpollBreak): what is spawned, woken or set to an earlier time by a plain thread
/// breaks a poll that would last an hour.
#[test]
fn row_52_new_work_breaks_a_long_poll() {
    for procs in [1, 2, 4, 8, 64] {
        with_procs("row_52", procs, || {
            let (stop, stopped) = chan::bounded::<()>(0);
            let sleeper = spawn(move || stopped.recv_timeout(Duration::from_secs(3600)));
            let idle = format!("procs {procs}, idle {procs}");
            for i in 0..50 {
                until(|| dump().contains(&idle));
                match i % 3 {
                    0 => spawn(|| {}).join().unwrap(),
                    1 => gusty::sleep(Duration::from_micros(100)),
                    _ => spawn(|| gusty::sleep(Duration::from_micros(100))).join().unwrap(),
                }
            }
            assert!(!sleeper.is_finished());
            drop(stop);
            assert!(sleeper.join().unwrap().is_err());
        });
    }
}

/// Row 60 (TestReadMetricsSched): as many running, runnable and waiting as there are.
#[test]
fn row_60_the_states_are_counted_right() {
    with_procs("row_60", 1, || {
        let stop = Arc::new(AtomicBool::new(false));
        let parked: Vec<_> = (0..7).map(|_| spawn(gusty::park)).collect();
        until(|| dump().matches("[park]").count() == 7);
        let (seen, here) = (stop.clone(), Arc::new(AtomicBool::new(false)));
        let arrived = here.clone();
        let running = spawn(move || {
            arrived.store(true, Ordering::SeqCst);
            spin_until(|| seen.load(Ordering::SeqCst));
        });
        until(|| here.load(Ordering::SeqCst));
        let runnable: Vec<_> = (0..5).map(|_| spawn(|| {})).collect();
        let text = dump();
        let count = |state: &str| {
            text.lines().filter(|l| l.starts_with("goroutine ") && l.contains(state)).count()
        };
        let counted = ["[running]", "[runnable]", "[park]"].map(count);
        stop.store(true, Ordering::SeqCst);
        assert_eq!(counted, [1, 5, 7], "{text}");
        parked.iter().for_each(|one| one.goroutine().unpark());
        parked.into_iter().for_each(|one| one.join().unwrap());
        runnable.into_iter().for_each(|one| one.join().unwrap());
        running.join().unwrap();
    });
}

/// Row 47 (TestPreemptionAfterSyscall): eight goroutines that block their threads again and again,
/// with yields in between and without, all go on, on two Ps.
#[test]
fn row_47_threads_that_block_take_turns() {
    with_procs("row_47", 2, || {
        for (micros, yields) in
            [10, 100, 1000].into_iter().flat_map(|micros| [(micros, true), (micros, false)])
        {
            let rounds: Arc<Vec<AtomicUsize>> = Arc::new((0..8).map(AtomicUsize::new).collect());
            let blocks = |i: usize| {
                let rounds = rounds.clone();
                spawn(move || {
                    while rounds.iter().any(|count| count.load(Ordering::SeqCst) < 15) {
                        std::thread::sleep(Duration::from_micros(micros));
                        rounds[i].fetch_add(1, Ordering::SeqCst);
                        if yields {
                            yield_now();
                        }
                    }
                })
            };
            let all: Vec<_> = (0..8).map(blocks).collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        }
    });
}
