//! Job: streams through bounded channels, limited waits, iterators.

use super::{
    BOUNDS, LONG, ROUNDS, Receiver, RecvError, RecvTimeoutError, SHORT, SendError, Sender,
    TryRecvError, cases, channel, linger, until,
};
use crate::crew::Crew;

#[test]
fn streams_arrive_in_order() {
    cases("streams_arrive_in_order", |crew| {
        for bound in BOUNDS {
            for senders in [1, 8] {
                let (tx, rx) = channel(bound);
                for sender in 0..senders {
                    let tx = tx.clone();
                    crew.spawn(move || (0..ROUNDS).for_each(|i| tx.send((sender, i)).unwrap()));
                }
                drop(tx);
                let mut next = vec![0; senders];
                while let Ok((sender, i)) = rx.recv() {
                    assert_eq!(std::mem::replace(&mut next[sender], i + 1), i);
                }
                assert_eq!(next, vec![ROUNDS; senders]);
            }
        }
    });
}

#[test]
fn as_many_helpers_as_values() {
    cases("as_many_helpers_as_values", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            let helpers: Vec<_> = (0..ROUNDS)
                .map(|i| {
                    let tx = tx.clone();
                    crew.spawn(move || tx.send(i).unwrap())
                })
                .collect();
            let mut got: Vec<_> = (0..ROUNDS).map(|_| rx.recv().unwrap()).collect();
            helpers.into_iter().for_each(|helper| helper.join());
            got.sort_unstable();
            assert!(got.into_iter().eq(0..ROUNDS));
        }
    });
}

#[test]
fn limits_that_pass_lose_nothing() {
    cases("limits_that_pass_lose_nothing", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            for slow in [true, false] {
                let tx = tx.clone();
                crew.spawn(move || {
                    for i in 0..10 {
                        if slow && i % 2 == 0 {
                            gusty::sleep(SHORT / 10);
                        }
                        tx.send(1).unwrap();
                    }
                });
            }
            drop(tx);
            let mut received = 0;
            loop {
                match rx.recv_timeout(SHORT / 20) {
                    Ok(value) => received += value,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            assert_eq!(received, 20);
        }
    });
}

#[test]
fn a_limited_receive_has_a_value_an_end_or_neither() {
    cases("a_limited_receive_has_a_value_an_end_or_neither", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            assert_eq!(rx.recv_timeout(SHORT / 10), Err(RecvTimeoutError::Timeout));
            let sender = crew.spawn(move || tx.send(3).unwrap());
            assert_eq!(rx.recv_timeout(LONG), Ok(3));
            sender.join();
            assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
        }
    });
}

#[test]
fn a_look_follows_what_the_sender_does() {
    cases("a_look_follows_what_the_sender_does", |crew| {
        for bound in [1, 3] {
            let (tx, rx) = channel(bound);
            let (go_on, told) = channel(bound);
            let (say, said) = channel(bound);
            let sender = crew.spawn(move || {
                told.recv().unwrap();
                tx.send(1).unwrap();
                say.send(()).unwrap();
                told.recv().unwrap();
                drop(tx);
                say.send(()).unwrap();
            });
            for seen in [Ok(1), Err(TryRecvError::Disconnected)] {
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                go_on.send(()).unwrap();
                said.recv().unwrap();
                assert_eq!(rx.try_recv(), seen);
            }
            sender.join();
        }
    });
}

#[test]
fn a_try_send_answers_a_try_send() {
    cases("a_try_send_answers_a_try_send", |crew| {
        for _ in 0..ROUNDS {
            let (ask, asked) = channel(3);
            let (answer, answered) = channel(3);
            let server = crew.spawn(move || {
                asked.recv().unwrap();
                answer.try_send("answer").unwrap();
            });
            ask.try_send("question").unwrap();
            assert_eq!(answered.recv(), Ok("answer"));
            server.join();
        }
    });
}

#[test]
fn iterators_end_with_the_senders_or_when_they_are_left() {
    cases("iterators_end_with_the_senders_or_when_they_are_left", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            let (more, rest) = channel(bound);
            let sum = crew.spawn(move || {
                let first: i32 = rx.iter().take(2).sum();
                drop(rx);
                first + rest.iter().sum::<i32>()
            });
            (0..2).for_each(|_| tx.send(2).unwrap());
            while tx.send(0).is_ok() {
                gusty::yield_now();
            }
            (1..4).for_each(|value| more.send(value).unwrap());
            drop(more);
            assert_eq!(sum.join(), 10);
        }
    });
}

fn pass_on(crew: Crew, tx: Sender<usize>, rx: Receiver<usize>, i: usize) {
    if i == 10 {
        return;
    }
    let sender = crew.spawn(move || {
        tx.send(i).unwrap();
        tx
    });
    assert_eq!(rx.recv(), Ok(i));
    crew.spawn(move || pass_on(crew, sender.join(), rx, i + 1)).join();
}

#[test]
fn both_sides_go_from_one_to_the_next() {
    cases("both_sides_go_from_one_to_the_next", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            pass_on(crew, tx, rx, 0);
        }
    });
}

#[test]
fn a_receiver_that_waited_is_dropped_while_a_late_clone_sends() {
    cases("a_receiver_that_waited_is_dropped_while_a_late_clone_sends", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            let receiver = crew.spawn(move || rx.recv());
            linger();
            let late = tx.clone();
            drop(tx);
            late.send(1).unwrap();
            assert_eq!(receiver.join(), Ok(1));
            assert_eq!(late.send(2), Err(SendError(2)));
        }
    });
}

/// A send into no buffer has met its receiver when it returns; one into a buffer need not have.
#[test]
fn a_send_returns_when_there_is_room() {
    cases("a_send_returns_when_there_is_room", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            (0..bound).for_each(|i| tx.send(i).unwrap());
            let sender = crew.spawn(move || {
                tx.send(bound).unwrap();
                tx
            });
            assert!((0..=bound).all(|i| rx.recv() == Ok(i)));
            let tx = sender.join();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            let receiver = crew.spawn(move || (rx.recv(), rx.recv()));
            until(|| tx.try_send(7).is_ok());
            drop(tx);
            assert_eq!(receiver.join(), (Ok(7), Err(RecvError)));
        }
    });
}
