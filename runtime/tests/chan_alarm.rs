//! Job: `after`, `at`, `tick` and `never`: which moments come, how often, and how selects see them.

use gusty::chan::{self, RecvTimeoutError, Select, TryRecvError};
use gusty::{select, spawn};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);

#[gusty::test]
fn a_moment_comes_once_and_not_early() {
    let start = Instant::now();
    let rx = chan::after(SHORT);
    assert_eq!((rx.len(), rx.capacity(), rx.is_full()), (0, Some(1), false));
    assert!(rx.recv().unwrap() >= start + SHORT && Instant::now() >= start + SHORT);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
    assert!(!rx.close() && !rx.is_closed());
}

#[gusty::test]
fn one_of_many_gets_the_moment() {
    let rx = chan::at(Instant::now() + SHORT);
    let waiting: Vec<_> = (0..8)
        .map(|i| {
            let rx = rx.clone();
            let wait = move || rx.recv_timeout(Duration::from_millis(20)).is_ok();
            (i % 2 == 0, spawn(wait.clone()), thread::spawn(wait))
        })
        .collect();
    let got: usize = waiting
        .into_iter()
        .map(|(_, one, other)| {
            usize::from(one.join().unwrap()) + usize::from(other.join().unwrap())
        })
        .sum();
    assert_eq!(got, 1);
}

#[gusty::test]
fn ticks_keep_their_distance() {
    let start = Instant::now();
    let rx = chan::tick(SHORT);
    for i in 1..=5 {
        let at = rx.recv().unwrap();
        assert!(at >= start + SHORT * i && Instant::now() >= at);
    }
    assert_eq!(chan::tick(Duration::MAX).try_recv(), Err(TryRecvError::Empty));
}

#[gusty::test]
fn missed_ticks_are_left_out() {
    let period = Duration::from_millis(5);
    let rx = chan::tick(period);
    let missed = Instant::now() + 10 * period;
    gusty::sleep_until(missed);
    assert_eq!((rx.len(), rx.is_full()), (1, true));
    assert!(rx.recv().unwrap() < missed, "the oldest one was kept");
    assert!(rx.recv().unwrap() > missed, "and all others were left out");
}

#[gusty::test]
fn a_select_waits_for_the_first_moment() {
    let (_tx, rx) = chan::bounded::<u8>(0);
    let (soon, late) = (chan::after(SHORT), chan::after(Duration::from_secs(3600)));
    let which = select! {
        recv(rx) -> _ => 0,
        recv(late) -> _ => 1,
        recv(soon) -> at => { assert!(at.unwrap() <= Instant::now()); 2 },
        recv(chan::never::<String>()) -> _ => 3,
    };
    assert_eq!(which, 2);
    let mut select = Select::new();
    let never = chan::never::<u8>();
    select.recv(&never);
    select.recv(&late);
    assert!(select.ready_timeout(SHORT).is_err());
    let tick = chan::tick(SHORT);
    let index = select.recv(&tick);
    for _ in 0..3 {
        assert_eq!(select.ready(), index);
        let operation = select.select();
        assert_eq!(operation.index(), index);
        assert!(operation.recv(&tick).is_ok());
    }
}

/// Row 36: a timer fires although two goroutines keep a select busy.
#[gusty::test]
fn row_36_a_moment_comes_while_others_select() {
    let (tx, rx) = chan::bounded::<()>(1);
    let (stop, stopped) = chan::bounded::<()>(0);
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (tx, stopped) = (tx.clone(), stopped.clone());
            spawn(move || {
                loop {
                    select! {
                        recv(stopped) -> _ => return,
                        send(tx, ()) -> _ => {}
                    }
                }
            })
        })
        .collect();
    let timer = chan::after(Duration::from_millis(20));
    loop {
        select! {
            recv(rx) -> _ => {}
            recv(timer) -> _ => break,
        }
    }
    drop(stop);
    drop(rx);
    busy.into_iter().for_each(|one| one.join().unwrap());
}
