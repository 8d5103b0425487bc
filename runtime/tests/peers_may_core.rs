//! Job: what may's suite checks of coroutines and of its queue of selected events, from goroutines,
//!   plain threads and both, with 1, 2, 4, 8 and 64 Ps. An arm of its `select!` is an operation here.

mod common;
#[path = "peers_may/crew.rs"]
mod crew;

use crew::{LONG, SHORT, cases, linger};
use gusty::chan::{self, TryRecvError, unbounded};
use gusty::context::{self, Error};
use gusty::sync::Arc;
use gusty::sync::atomic::{AtomicUsize, Ordering};
use gusty::time::{Duration, Instant, sleep_ctx};
use gusty::{Builder, select};

#[test]
fn a_parked_helper_is_called_off() {
    cases("a_parked_helper_is_called_off", |crew| {
        let (ctx, cancel) = context::with_cancel(&context::background());
        let (here, is_here) = chan::bounded(0);
        let helper = crew.spawn(move || -> Result<(), Error> {
            here.send(()).unwrap();
            sleep_ctx(&ctx, LONG)?;
            unreachable!("it was called off");
        });
        is_here.recv().unwrap();
        cancel.cancel();
        assert_eq!(helper.join(), Err(Error::Cancelled));
    });
}

#[test]
fn helpers_have_helpers_and_wait_for_them() {
    cases("helpers_have_helpers_and_wait_for_them", |crew| {
        let parent = crew.spawn(move || {
            let children: Vec<_> = (0..10)
                .map(|i| {
                    crew.spawn(move || {
                        gusty::yield_now();
                        i
                    })
                })
                .collect();
            children.into_iter().map(|child| child.join()).sum::<i32>()
        });
        assert_eq!(parent.join(), 45);
    });
}

#[test]
fn children_outlive_their_parent() {
    cases("children_outlive_their_parent", |crew| {
        let (tx, rx) = unbounded();
        let parent = crew.spawn(move || {
            for i in 0..10 {
                let tx = tx.clone();
                crew.spawn(move || {
                    linger();
                    tx.send(i).unwrap();
                });
            }
        });
        parent.join();
        assert_eq!(rx.iter().sum::<i32>(), 45);
    });
}

#[test]
fn a_builder_s_name_and_stack_are_the_goroutine_s() {
    /// Touches a page in each of so many frames.
    fn deep(frames: usize) -> usize {
        let page = std::hint::black_box([1_u8; 4096]);
        if frames == 0 { 0 } else { usize::from(page[frames]) + deep(frames - 1) }
    }
    cases("a_builder_s_name_and_stack_are_the_goroutine_s", |_| {
        let builder = Builder::new().name("deep").stack_size(4 << 20);
        let handle = builder.spawn(|| (gusty::current().name() == Some("deep"), deep(500)));
        assert_eq!(handle.unwrap().join().unwrap(), (true, 500));
    });
}

#[test]
fn tokens_are_kept_and_limited_parks_end() {
    cases("tokens_are_kept_and_limited_parks_end", |_| {
        let steps = Arc::new(AtomicUsize::new(0));
        let theirs = steps.clone();
        let handle = gusty::spawn(move || {
            gusty::current().unpark();
            gusty::park(); // the token is there
            theirs.store(1, Ordering::SeqCst);
            let from = Instant::now();
            gusty::park_timeout(SHORT);
            assert!(from.elapsed() >= SHORT, "nobody unparks it yet");
            theirs.store(2, Ordering::SeqCst);
            gusty::park();
            theirs.store(3, Ordering::SeqCst);
        });
        common::until(|| steps.load(Ordering::SeqCst) == 2);
        handle.goroutine().unpark();
        handle.join().unwrap();
        assert_eq!(steps.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_thousand_sleep_side_by_side() {
    cases("a_thousand_sleep_side_by_side", |_| {
        gusty::scope(|scope| {
            for _ in 0..common::scaled(1000) {
                scope.spawn(|| {
                    let from = Instant::now();
                    gusty::sleep(10 * SHORT);
                    assert!(from.elapsed() >= 10 * SHORT);
                });
            }
        });
    });
}

#[test]
fn what_runs_side_by_side_is_joined() {
    cases("what_runs_side_by_side_is_joined", |crew| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
        let sender = crew.spawn(move || {
            tx2.send("second").unwrap();
            linger();
            tx1.send(1).unwrap();
        });
        gusty::scope(|scope| {
            scope.spawn(|| gusty::sleep(SHORT));
            scope.spawn(|| assert_eq!(rx1.recv(), Ok(1)));
            scope.spawn(|| assert_eq!(rx2.recv(), Ok("second")));
        });
        sender.join();
        assert!(rx1.try_recv().is_err() && rx2.try_recv().is_err());
    });
}

#[test]
fn events_are_polled_until_their_sources_have_ended() {
    cases("events_are_polled_until_their_sources_have_ended", |crew| {
        let squares: Arc<Vec<usize>> = Arc::new((0..10).map(|x| x * x).collect());
        let (tx, events) = chan::bounded(0);
        for token in 0..10 {
            let (squares, tx) = (squares.clone(), tx.clone());
            crew.spawn(move || tx.send((token, squares[token])).unwrap());
        }
        drop(tx);
        let mut seen: Vec<_> = events.iter().collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(squares.iter().copied().enumerate()));
    });
}

/// Whoever leaves a queue of events early calls its sources off.
#[test]
fn sources_end_with_who_polls_them() {
    cases("sources_end_with_who_polls_them", |crew| {
        let ended = Arc::new(AtomicUsize::new(0));
        let (tx, events) = chan::bounded(0);
        let sources: Vec<_> = (0..10)
            .map(|token| {
                let (tx, ended) = (tx.clone(), ended.clone());
                crew.spawn(move || {
                    while tx.send(token).is_ok() {}
                    ended.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        assert_eq!(events.iter().take(5).count(), 5);
        drop(events);
        sources.into_iter().for_each(|source| source.join());
        assert_eq!(ended.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn each_operation_is_selected_once_it_is_possible() {
    cases("each_operation_is_selected_once_it_is_possible", |_| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
        let poll = || {
            select! {
                recv(rx1) -> got => got.map(|text: &str| text.len()),
                recv(rx2) -> got => got,
                default => Ok(0),
            }
        };
        tx1.send("hello").unwrap();
        assert_eq!(poll(), Ok(5));
        tx2.send(100).unwrap();
        assert_eq!(poll(), Ok(100));
        assert_eq!(poll(), Ok(0), "each was there once");
    });
}

#[test]
fn what_was_not_selected_stays() {
    cases("what_was_not_selected_stays", |crew| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
        let (go_on, goes_on) = unbounded();
        let sender = crew.spawn(move || {
            tx2.send("second").unwrap();
            goes_on.recv().unwrap();
            tx1.send(42).unwrap();
        });
        let index = select! {
            recv(chan::after(LONG)) -> _ => 0,
            recv(rx1) -> got => got.map_or(9, |_: i32| 1),
            recv(rx2) -> got => got.map_or(9, |_| 2),
        };
        assert_eq!(index, 2);
        go_on.send(()).unwrap();
        assert_eq!(rx1.recv(), Ok(42));
        sender.join();
    });
}

#[test]
fn a_poll_ends_when_its_time_is_over() {
    cases("a_poll_ends_when_its_time_is_over", |_| {
        let selected = select! {
            recv(chan::after(LONG)) -> _ => true,
            default(SHORT) => false,
        };
        assert!(!selected);
    });
}

#[test]
fn a_loop_of_selects_takes_everything_before_it_is_told_to_stop() {
    cases("a_loop_of_selects_takes_everything_before_it_is_told_to_stop", |crew| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), chan::bounded(0));
        let sender = crew.spawn(move || {
            (1..6).for_each(|i| tx1.send(10 * i).unwrap());
            // Until they are all taken.
            common::until(|| tx1.is_empty());
            tx2.send(()).unwrap();
        });
        let mut got = Vec::new();
        loop {
            select! {
                recv(rx1) -> value => if let Ok(value) = value { got.push(value) },
                recv(rx2) -> _ => break,
            }
        }
        sender.join();
        assert_eq!(got, [10, 20, 30, 40, 50]);
        assert_eq!(rx1.try_recv(), Err(TryRecvError::Disconnected));
    });
}

/// A helper's waits of several kinds, one after the other, each ended by somebody else.
#[test]
fn waits_of_several_kinds_follow_each_other() {
    cases("waits_of_several_kinds_follow_each_other", |crew| {
        let (tx, rx) = chan::bounded(0);
        let waiter = crew.spawn(move || {
            let first = rx.recv();
            let second = rx.recv_timeout(Duration::MAX).ok();
            let third = select! { recv(rx) -> got => got };
            (first, second, third)
        });
        (1..4).for_each(|i| tx.send(i).unwrap());
        assert_eq!(waiter.join(), (Ok(1), Some(2), Ok(3)));
    });
}
