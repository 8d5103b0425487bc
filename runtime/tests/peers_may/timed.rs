//! Job: receives that wait for a limited time.

use super::{LONG, ROUNDS, RecvTimeoutError, SHORT, cases, channel, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn what_is_there_is_had_and_nothing_is_waited_for_in_vain() {
    cases("what_is_there_is_had_and_nothing_is_waited_for_in_vain", |_| {
        let (tx, rx) = channel();
        for i in 0..2 {
            tx.send(i).unwrap();
            assert_eq!(rx.recv_timeout(SHORT), Ok(i));
            assert_eq!(rx.recv_timeout(SHORT / 10), Err(RecvTimeoutError::Timeout));
        }
        let clone = tx.clone();
        drop(tx);
        assert_eq!(rx.recv_timeout(SHORT / 10), Err(RecvTimeoutError::Timeout), "one is left");
        drop(clone);
        assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    });
}

/// Receives with so short a limit that it often passes, until the senders are gone.
fn count(rx: &super::Receiver<usize>, limit: Duration) -> usize {
    let mut received = 0;
    loop {
        match rx.recv_timeout(limit) {
            Ok(value) => received += value,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return received,
        }
    }
}

#[test]
fn limits_that_pass_lose_nothing_of_a_slow_sender() {
    cases("limits_that_pass_lose_nothing_of_a_slow_sender", |crew| {
        let (tx, rx) = channel();
        let sender = crew.spawn(move || {
            for i in 0..ROUNDS {
                if i % 2 == 0 {
                    gusty::sleep(SHORT / 10);
                }
                tx.send(1).unwrap();
            }
        });
        assert_eq!(count(&rx, SHORT / 20), ROUNDS);
        sender.join();
    });
}

#[test]
fn limits_that_pass_lose_nothing_of_many_senders() {
    cases("limits_that_pass_lose_nothing_of_many_senders", |crew| {
        let (tx, rx) = channel();
        for i in 0..16 {
            let tx = tx.clone();
            crew.spawn(move || {
                gusty::sleep(i * SHORT / 20);
                tx.send(1).unwrap();
            });
        }
        drop(tx);
        assert_eq!(count(&rx, SHORT / 15), 16);
    });
}

#[test]
fn after_many_senders_the_channel_is_empty_and_goes_on() {
    cases("after_many_senders_the_channel_is_empty_and_goes_on", |crew| {
        let (tx, rx) = channel();
        for _ in 0..5 {
            let tx = tx.clone();
            crew.spawn(move || tx.send(1).unwrap());
        }
        (0..5).for_each(|_| assert_eq!(rx.recv(), Ok(1)));
        assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        tx.send(2).unwrap();
        assert_eq!(rx.recv_timeout(SHORT), Ok(2));
    });
}

#[test]
fn as_many_helpers_as_values() {
    cases("as_many_helpers_as_values", |crew| {
        let (tx, rx) = channel();
        let sent = Arc::new(AtomicUsize::new(0));
        for i in 0..ROUNDS {
            let (tx, sent) = (tx.clone(), sent.clone());
            crew.spawn(move || {
                tx.send(i).unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut got: Vec<_> = (0..ROUNDS).map(|_| rx.recv().unwrap()).collect();
        got.sort_unstable();
        assert!(got.into_iter().eq(0..ROUNDS));
        until(|| sent.load(Ordering::Relaxed) == ROUNDS);
    });
}
