//! Job: what std knows and does by thread: identity, tokens, locks, output, programs, names.

use std::collections::HashSet;
use std::io::Write;
use std::net::ToSocketAddrs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

use crate::battery::{Needs, blockable, on_many, survives};
use crate::common::{Child, scaled};

const UNTIED: Needs =
    Needs::FreeThreads("both may be tied to one thread, which one of them blocks");
const SHARED_IDENTITY: Needs = Needs::OwnBlock("std tells threads apart, not goroutines");

#[test]
fn thread_ids_are_distinct_and_stable() {
    survives("std_calls::thread_ids_are_distinct_and_stable", SHARED_IDENTITY, || {
        let here = std::thread::current().id();
        let ids: HashSet<ThreadId> = on_many(200, |_| {
            let id = std::thread::current().id();
            for _ in 0..30 {
                gusty::yield_now();
                assert_eq!(std::thread::current().id(), id);
            }
            id
        })
        .into_iter()
        .collect();
        assert_eq!(ids.len(), 200);
        assert!(!ids.contains(&here));
    });
}

#[test]
fn std_parks_and_unparks_goroutines_by_their_own_tokens() {
    let test = "std_calls::std_parks_and_unparks_goroutines_by_their_own_tokens";
    survives(test, SHARED_IDENTITY, || {
        on_many(50, |_| {
            for _ in 0..20 {
                std::thread::current().unpark();
                gusty::yield_now();
                std::thread::park(); // this goroutine's token is there
            }
        });
    });
}

#[test]
fn a_thread_unparks_goroutines_that_std_parked() {
    survives("std_calls::a_thread_unparks_goroutines_that_std_parked", Needs::Nothing, || {
        let (sender, parked) = mpsc::channel();
        let unparker = std::thread::spawn(move || {
            parked.iter().for_each(|thread: std::thread::Thread| thread.unpark());
        });
        for _ in 0..scaled(200) {
            let sender = sender.clone();
            on_many(blockable(), move |_| {
                gusty::yield_now();
                sender.send(std::thread::current()).unwrap();
                std::thread::park();
            });
        }
        drop(sender);
        unparker.join().unwrap();
    });
}

#[test]
fn a_reentrant_lock_knows_its_goroutine() {
    static BUSY: AtomicUsize = AtomicUsize::new(0);
    let needs = Needs::OwnBlock("another goroutine of the thread gets in, taken for the owner");
    survives("std_calls::a_reentrant_lock_knows_its_goroutine", needs, || {
        // Who waits blocks its thread, so all but one of the threads may wait for the owner.
        on_many(blockable(), |_| {
            for _ in 0..100 {
                let mut out = std::io::stderr().lock();
                assert_eq!(BUSY.fetch_add(1, Ordering::Relaxed), 0);
                gusty::yield_now();
                out.flush().unwrap();
                assert_eq!(BUSY.fetch_sub(1, Ordering::Relaxed), 1);
            }
        });
    });
}

#[test]
fn a_thousand_goroutines_print_whole_lines() {
    for procs in [2, 4, 8] {
        let child = Child::of("std_calls::a_thousand_goroutines_print_whole_lines");
        let ended = child.env("GUSTYDEBUG", "migrate=1").env("GOMAXPROCS", procs).run(|| {
            on_many(1_000, |i| {
                for k in 0..5 {
                    println!("<{i} {k}>");
                    eprintln!("<{i} {k}>");
                    gusty::yield_now();
                }
            });
        });
        ended.succeeded();
        for text in [&ended.stdout, &ended.stderr] {
            // The harness begins the first line of its own.
            let lines: HashSet<&str> =
                text.lines().filter_map(|line| line.get(line.rfind('<')?..)).collect();
            for (i, k) in (0..1_000).flat_map(|i| (0..5).map(move |k| (i, k))) {
                assert!(lines.contains(format!("<{i} {k}>").as_str()), "{i} {k} in pieces");
            }
        }
    }
}

#[test]
fn mutexes_are_held_over_parks() {
    let needs =
        Needs::OwnBlock("a guard must not change threads, nor its waiters block its owner's");
    survives("std_calls::mutexes_are_held_over_parks", needs, || {
        let both = Arc::new((Mutex::new(0), RwLock::new(0)));
        let counted = both.clone();
        let rounds = scaled(200);
        // As many as may wait at the same time: the owner needs a thread to come back on.
        on_many(blockable(), move |_| {
            for _ in 0..rounds {
                let mut sum = counted.0.lock().unwrap();
                let before = *sum;
                gusty::yield_now();
                *sum = before + 1;
                drop(sum);
                let mut sum = counted.1.write().unwrap();
                let before = *sum;
                gusty::yield_now();
                *sum = before + 1;
            }
        });
        let all = blockable() * rounds;
        assert_eq!((*both.0.lock().unwrap(), *both.1.read().unwrap()), (all, all));
    });
}

#[test]
fn short_sections_are_guarded() {
    survives("std_calls::short_sections_are_guarded", Needs::Nothing, || {
        let sum = Arc::new((Mutex::new(0_usize), Condvar::new()));
        let once = Arc::new(OnceLock::new());
        let (sender, receiver) = mpsc::channel();
        on_many(100, {
            let sum = sum.clone();
            move |i| {
                sender.send(i).unwrap();
                gusty::yield_now();
                assert_eq!(*once.get_or_init(|| 5), 5);
                *sum.0.lock().unwrap() += i;
                sum.1.notify_all();
            }
        });
        assert_eq!(receiver.iter().sum::<usize>(), 4_950);
        let guard = sum.1.wait_while(sum.0.lock().unwrap(), |sum| *sum < 4_950).unwrap();
        assert_eq!(*guard, 4_950);
    });
}

#[test]
fn goroutines_wait_on_condvars() {
    survives("std_calls::goroutines_wait_on_condvars", UNTIED, || {
        // Pairs take turns; of each pair one at most waits.
        let pairs = blockable().div_ceil(2);
        let rounds = scaled(500);
        let turns: Vec<_> = (0..pairs).map(|_| (Mutex::new(0), Condvar::new())).collect();
        let turns = Arc::new(turns);
        on_many(2 * pairs, move |i| {
            let (turn, changed) = &turns[i / 2];
            for round in 0..rounds {
                let others = |turn: &mut usize| *turn != 2 * round + i % 2;
                *changed.wait_while(turn.lock().unwrap(), others).unwrap() += 1;
                changed.notify_all();
                gusty::yield_now();
            }
        });
    });
}

#[test]
fn goroutines_wait_on_channels_of_std() {
    survives("std_calls::goroutines_wait_on_channels_of_std", UNTIED, || {
        let (sender, receiver) = mpsc::sync_channel(0);
        let ends = Arc::new(Mutex::new((Some(sender), Some(receiver))));
        let sums = on_many(2, move |i| {
            let numbers = (0..scaled(1_000)).inspect(|_| gusty::yield_now());
            if i == 0 {
                let receiver = ends.lock().unwrap().1.take().unwrap();
                numbers.map(|_| receiver.recv().unwrap()).sum::<usize>()
            } else {
                let sender = ends.lock().unwrap().0.take().unwrap();
                numbers.inspect(|k| sender.send(*k).unwrap()).sum()
            }
        });
        assert_eq!(sums[0], sums[1]);
    });
}

#[test]
fn a_barrier_lets_all_pass() {
    survives("std_calls::a_barrier_lets_all_pass", UNTIED, || {
        // All wait at the same time: one for each thread.
        let all = blockable() + 1;
        let barrier = Arc::new(Barrier::new(all));
        let led = on_many(all, move |_| {
            let rounds = (0..20).inspect(|_| gusty::yield_now());
            rounds.filter(|_| barrier.wait().is_leader()).count()
        });
        assert_eq!(led.into_iter().sum::<usize>(), 20);
    });
}

#[test]
fn threads_are_started_and_joined() {
    survives("std_calls::threads_are_started_and_joined", Needs::Nothing, || {
        on_many(20, |i| {
            gusty::yield_now();
            let started = std::thread::spawn(move || vec![i; 100].into_iter().sum::<usize>());
            gusty::yield_now();
            assert_eq!(started.join().unwrap(), 100 * i);
            let mut words = [0; 3];
            std::thread::scope(|scope| {
                words.iter_mut().for_each(|word| drop(scope.spawn(move || *word = i)));
            });
            assert_eq!(words, [i; 3]);
        });
    });
}

#[test]
fn programs_and_names_and_frames_are_found() {
    survives("std_calls::programs_and_names_and_frames_are_found", Needs::Nothing, || {
        on_many(16, |i| {
            gusty::yield_now();
            let text = format!("goroutine {i}");
            let output = std::process::Command::new("echo").arg(&text).output().unwrap();
            assert_eq!(output.stdout, format!("{text}\n").into_bytes());
            assert!("localhost:80".to_socket_addrs().unwrap().count() > 0);
            let trace = std::backtrace::Backtrace::force_capture().to_string();
            assert!(trace.contains("programs_and_names_and_frames_are_found"), "{trace}");
        });
    });
}

#[test]
fn a_process_ends_while_goroutines_are_parked() {
    let park_some = || {
        (0..200).for_each(|_| drop(gusty::spawn(gusty::park)));
        gusty::sleep(Duration::from_millis(1));
    };
    let ended = Child::of("std_calls::a_process_ends_while_goroutines_are_parked").run(|| {
        park_some();
        gusty::spawn(|| std::process::exit(7)).join().unwrap();
    });
    ended.exited(7);
}

#[test]
fn main_returns_while_goroutines_are_parked() {
    let ended = Child::of("std_calls::main_returns_while_goroutines_are_parked").run(|| {
        (0..200).for_each(|_| drop(gusty::spawn(gusty::park)));
        gusty::sleep(Duration::from_millis(1));
    });
    ended.exited(0);
}
