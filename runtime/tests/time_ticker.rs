//! Job: `Ticker`: ticks in phase, none too early, none queued up, none after a stop.

mod common;

use common::{Rng, alone, scaled, watched};
use gusty::chan::{RecvError, TryRecvError};
use gusty::time::{Duration, Instant, Ticker};
use std::panic::catch_unwind;
use std::thread;

const LONG: Duration = Duration::from_secs(3600);
const PERIOD: Duration = Duration::from_micros(500);

/// Row 91.
#[test]
fn ticks_come_one_after_the_other_and_not_before_their_time() {
    fn tick() {
        let begin = Instant::now();
        let ticker = Ticker::new(PERIOD);
        let mut last = begin;
        for i in 1..=20 {
            let tick = ticker.recv().unwrap();
            assert!(tick >= begin + PERIOD * i, "tick {i}");
            assert!(tick > last);
            last = tick;
        }
    }
    watched("ticks_come_one_after_the_other_and_not_before_their_time", || {
        gusty::spawn(tick).join().unwrap();
        thread::spawn(tick).join().unwrap();
    });
}

/// Row 91: what a slow receiver misses is gone.
#[gusty::test]
fn a_slow_receiver_finds_one_tick() {
    let ticker = Ticker::new(Duration::from_micros(10));
    for _ in 0..5 {
        common::until(|| !ticker.chan().is_empty());
        let begin = Instant::now();
        common::until(|| begin.elapsed() > PERIOD); // dozens of ticks
        assert!(ticker.chan().len() <= 1);
        assert!(ticker.recv().is_ok());
    }
}

/// Row 92.
#[gusty::test]
fn no_tick_after_a_stop_and_no_old_one_after_a_reset() {
    let ticker = Ticker::new(Duration::from_nanos(1));
    for _ in 0..scaled(500) {
        common::until(|| !ticker.chan().is_empty());
        ticker.stop();
        assert_eq!(ticker.chan().try_recv(), Err(TryRecvError::Empty));
        gusty::yield_now();
        assert_eq!(ticker.chan().try_recv(), Err(TryRecvError::Empty));
        ticker.reset(Duration::from_nanos(1));
    }
    common::until(|| !ticker.chan().is_empty());
    ticker.reset(LONG);
    assert_eq!(ticker.chan().try_recv(), Err(TryRecvError::Empty));
    let begin = Instant::now();
    ticker.reset(PERIOD);
    for i in 1..5 {
        assert!(ticker.recv().unwrap() >= begin + PERIOD * i);
    }
}

/// Row 91.
#[gusty::test]
fn a_period_of_zero_is_refused() {
    assert!(catch_unwind(|| Ticker::new(Duration::ZERO)).is_err());
    let ticker = Ticker::new(Duration::MAX);
    assert!(catch_unwind(|| ticker.reset(Duration::ZERO)).is_err());
    assert!(ticker.chan().try_recv().is_err());
    ticker.reset(PERIOD);
    assert!(ticker.recv().is_ok());
}

/// Row 90.
#[gusty::test]
fn many_receivers_share_the_ticks_and_a_drop_ends_them() {
    let ticker = Ticker::new(Duration::from_micros(50));
    let receivers: Vec<_> = (0..50)
        .map(|_| {
            let chan = ticker.chan().clone();
            gusty::spawn(move || {
                let first = chan.recv();
                (first, chan.iter().count())
            })
        })
        .collect();
    common::until(|| {
        let dump = gusty::runtime::dump();
        dump.lines().filter(|line| line.contains("[chan receive]")).count() >= 50
    });
    let latest = Instant::now();
    while ticker.recv().is_ok_and(|tick| tick < latest) {}
    drop(ticker);
    for receiver in receivers {
        let (first, _) = receiver.join().unwrap();
        assert!(matches!(first, Ok(_) | Err(RecvError)));
    }
}

/// Row 85.
#[test]
fn tickers_come_and_go() {
    let _alone = alone();
    watched("tickers_come_and_go", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            let users: Vec<_> = (0..16)
                .map(|seed| {
                    gusty::spawn(move || {
                        let mut rng = Rng(seed);
                        for _ in 0..scaled(300) {
                            let ticker =
                                Ticker::new(Duration::from_nanos(1 + rng.below(50_000) as u64));
                            for _ in 0..rng.below(3) {
                                ticker.recv().unwrap();
                            }
                            match rng.below(3) {
                                0 => ticker.stop(),
                                1 => {
                                    ticker.reset(Duration::from_nanos(1 + rng.below(9_000) as u64))
                                }
                                _ => {}
                            }
                        }
                    })
                })
                .collect();
            users.into_iter().for_each(|user| user.join().unwrap());
        }
        gusty::runtime::gomaxprocs(before);
    });
}
