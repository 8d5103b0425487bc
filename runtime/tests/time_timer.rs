//! Job: `Timer`: when it fires, what stop and reset report, and that no value is lost, doubled or
//!   stale; from goroutines, from plain threads and from both.

mod common;

use common::{Child, Rng, alone, scaled, watched};
use gusty::chan::TryRecvError;
use gusty::context::{background, with_timeout};
use gusty::time::{Duration, Instant, Ticker, Timer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const LONG: Duration = Duration::from_secs(3600);
const PROCS: [usize; 5] = [1, 2, 4, 8, 64];

fn micros(n: usize) -> Duration {
    Duration::from_micros(n as u64)
}

/// Starts `f` on a goroutine or on a thread; the result waits for it.
fn start<T: Send + 'static>(
    on_thread: bool,
    f: impl FnOnce() -> T + Send + 'static,
) -> Box<dyn FnOnce() -> T> {
    if on_thread {
        let handle = thread::spawn(f);
        Box::new(move || handle.join().unwrap())
    } else {
        let handle = gusty::spawn(f);
        Box::new(move || handle.join().unwrap())
    }
}

/// Row 84.
#[test]
fn it_fires_once_and_not_before_its_time() {
    watched("it_fires_once_and_not_before_its_time", || {
        for on_thread in [false, true] {
            start(on_thread, || {
                for us in [0, 1, 50, 500, 2_000] {
                    let begin = Instant::now();
                    let timer = Timer::new(micros(us));
                    let fired = timer.recv().unwrap();
                    assert!(fired >= begin + micros(us));
                    assert!(Instant::now() >= fired);
                    assert_eq!(timer.chan().try_recv(), Err(TryRecvError::Empty));
                    assert!(!timer.stop());
                }
            })();
        }
    });
}

/// Row 87.
#[gusty::test]
fn extreme_durations() {
    assert!(Timer::new(Duration::ZERO).chan().try_recv().is_ok());
    for never in [Duration::MAX, Duration::from_nanos(u64::MAX), Duration::from_secs(1 << 40)] {
        let timer = Timer::new(never);
        assert!(timer.chan().try_recv().is_err());
        assert!(timer.reset(Duration::ZERO));
        assert!(timer.recv().is_ok());
        assert!(!timer.reset(never));
        assert!(timer.stop());
    }
}

/// Rows 89 and 92.
#[gusty::test]
fn stop_and_reset_say_whether_a_value_was_outstanding_and_remove_it() {
    let timer = Timer::new(LONG);
    assert!(timer.stop(), "it was set");
    assert!(!timer.stop(), "it was stopped");
    assert!(!timer.reset(LONG), "it was stopped");
    assert!(timer.reset(Duration::ZERO), "it was set");
    assert!(timer.reset(LONG), "nobody had received");
    assert_eq!(timer.chan().try_recv(), Err(TryRecvError::Empty), "stale");
    assert!(timer.reset(Duration::ZERO));
    assert!(timer.stop(), "nobody had received");
    assert_eq!(timer.chan().try_recv(), Err(TryRecvError::Empty), "stale");
    assert!(!timer.reset(Duration::ZERO));
    assert!(timer.recv().is_ok());
    assert!(!timer.stop(), "received");
    assert!(!timer.reset(Duration::ZERO), "received");
    assert_eq!(timer.chan().iter().take(1).count(), 1);
}

/// Row 88: set earlier, it fires at the new time; set later, not at the old one.
#[gusty::test]
fn changed_deadlines_count() {
    let n = scaled(10_000);
    let timers: Vec<_> = (0..n).map(|_| Timer::new(LONG)).collect();
    assert!(timers.iter().all(|timer| timer.reset(micros(100))));
    assert!(timers.iter().all(|timer| timer.recv().is_ok()));

    let begin = Instant::now();
    let mut rng = Rng(1);
    let due: Vec<_> = timers
        .iter()
        .map(|timer| {
            timer.reset(micros(rng.below(200)));
            let later = micros(2_000 + rng.below(3_000));
            timer.reset(later);
            (timer, begin + later)
        })
        .collect();
    for (timer, due) in due {
        assert!(timer.recv().unwrap() >= due);
    }
}

/// Row 90.
#[gusty::test]
fn each_firing_goes_to_one_of_many_receivers() {
    let timer = Timer::new(LONG);
    let received = Arc::new(AtomicUsize::new(0));
    let receivers: Vec<_> = (0..100)
        .map(|_| {
            let (chan, received) = (timer.chan().clone(), received.clone());
            gusty::spawn(move || {
                chan.iter().for_each(|_| _ = received.fetch_add(1, Ordering::SeqCst))
            })
        })
        .collect();
    for i in 1..=200 {
        timer.reset(micros(i % 30));
        common::until(|| received.load(Ordering::SeqCst) == i);
    }
    drop(timer);
    receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
    assert_eq!(received.load(Ordering::SeqCst), 200);
}

/// Rows 85, 89 and 92: each setting ends in one way, received or reported by the next operation as
/// outstanding.
#[test]
fn every_setting_is_received_or_taken_back() {
    let _alone = alone();
    watched("every_setting_is_received_or_taken_back", || {
        let before = gusty::runtime::gomaxprocs(0);
        for (procs, on_thread) in PROCS.into_iter().flat_map(|p| [(p, false), (p, true)]) {
            gusty::runtime::gomaxprocs(procs);
            let users: Vec<_> =
                (0..8).map(|i| start(on_thread, move || account(i, scaled(3_000)))).collect();
            users.into_iter().for_each(|user| user());
        }
        gusty::runtime::gomaxprocs(before);
    });
}

fn account(seed: u64, rounds: usize) {
    let mut rng = Rng(seed);
    let timer = Timer::new(micros(rng.below(50)));
    let receivers: Vec<_> = (0..2)
        .map(|i| {
            let chan = timer.chan().clone();
            start(i == 1 && seed == 0, move || chan.iter().count())
        })
        .collect();
    let (mut set, mut taken_back) = (1, 0);
    for _ in 0..rounds {
        let outstanding = match rng.below(4) {
            0 => timer.stop(),
            _ => {
                set += 1;
                timer.reset(micros(rng.below(40)))
            }
        };
        taken_back += usize::from(outstanding);
        match rng.below(3) {
            0 => gusty::yield_now(),
            1 => gusty::sleep(micros(rng.below(30))),
            _ => {}
        }
    }
    taken_back += usize::from(timer.stop());
    drop(timer);
    let received: usize = receivers.into_iter().map(|receiver| receiver()).sum();
    assert_eq!(received + taken_back, set);
}

/// Row 85: many hands on the same timers.
#[test]
fn concurrent_stops_and_resets() {
    let _alone = alone();
    watched("concurrent_stops_and_resets", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in PROCS {
            gusty::runtime::gomaxprocs(procs);
            let timers: Arc<Vec<Timer>> = Arc::new((0..4).map(|_| Timer::new(LONG)).collect());
            let hands: Vec<_> = (0..8)
                .map(|i| {
                    let timers = timers.clone();
                    start(i % 4 == 0, move || {
                        let mut rng = Rng(i);
                        let mut score = 0isize; // settings made, less those seen to end
                        for _ in 0..scaled(2_000) {
                            let timer = &timers[rng.below(4)];
                            score -= match rng.below(3) {
                                0 => isize::from(timer.stop()),
                                1 => isize::from(timer.chan().try_recv().is_ok()),
                                _ => isize::from(timer.reset(micros(rng.below(20)))) - 1,
                            };
                        }
                        score
                    })
                })
                .collect();
            let open: isize = hands.into_iter().map(|hand| hand()).sum();
            // The four first settings, too.
            let left: isize = timers.iter().map(|timer| isize::from(timer.stop())).sum();
            assert_eq!(open + 4, left, "GOMAXPROCS {procs}");
        }
        gusty::runtime::gomaxprocs(before);
    });
}

#[gusty::test]
fn a_dropped_timer_closes_its_channel() {
    let timer = Timer::new(LONG);
    let chan = timer.chan().clone();
    let waiting = gusty::spawn(move || chan.recv());
    drop(timer);
    assert!(waiting.join().unwrap().is_err());
}

/// Timers of Ps that are taken away go on.
#[test]
fn timers_survive_a_change_of_gomaxprocs() {
    let _alone = alone();
    watched("timers_survive_a_change_of_gomaxprocs", || {
        let before = gusty::runtime::gomaxprocs(8);
        let stop = Arc::new(AtomicBool::new(false));
        let resizer = {
            let stop = stop.clone();
            thread::spawn(move || {
                for procs in PROCS.into_iter().cycle() {
                    gusty::runtime::gomaxprocs(procs);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    thread::yield_now();
                }
            })
        };
        let users: Vec<_> = (0..16)
            .map(|seed| {
                gusty::spawn(move || {
                    let mut rng = Rng(seed);
                    let timers: Vec<_> = (0..100).map(|_| Timer::new(LONG)).collect();
                    for _ in 0..10 {
                        timers.iter().for_each(|timer| _ = timer.reset(micros(rng.below(900))));
                        gusty::yield_now();
                        assert!(timers.iter().all(|timer| timer.recv().is_ok()));
                    }
                })
            })
            .collect();
        users.into_iter().for_each(|user| user.join().unwrap());
        stop.store(true, Ordering::SeqCst);
        resizer.join().unwrap();
        gusty::runtime::gomaxprocs(before);
    });
}

/// Timers go on where no goroutine can be spawned any more.
#[test]
fn the_limit_on_goroutines_is_none_on_timers() {
    let test = "the_limit_on_goroutines_is_none_on_timers";
    let ended = Child::of(test).env("GUSTY_MAX_GOROUTINES", 100).run(|| {
        let ticker = Ticker::new(micros(100));
        let timers: Vec<_> = (0..1_000).map(|_| Timer::new(LONG)).collect();
        let mut parked = Vec::new();
        while let Ok(handle) = gusty::Builder::new().spawn(gusty::park) {
            parked.push(handle);
            assert!(parked.len() <= 100);
        }
        (0..10).for_each(|_| assert!(ticker.recv().is_ok()));
        assert!(timers.iter().all(|timer| timer.reset(micros(200))));
        assert!(timers.iter().all(|timer| timer.recv().is_ok()));
        let (ctx, _cancel) = with_timeout(&background(), micros(100));
        assert!(ctx.done().recv().is_err());
    });
    ended.succeeded();
}
