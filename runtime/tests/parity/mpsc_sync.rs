//! Job: `mpsc::sync_channel` as std's tests know it.

use super::sync::Arc;
use super::sync::mpsc::{
    RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, channel, sync_channel,
};
use super::{Dropped, Drops, LONG, ROUNDS, SHORT, run, thread};

#[test]
fn a_buffer_holds_so_many_and_then_makes_senders_wait() {
    run(|| {
        let (tx, rx) = sync_channel(2);
        assert_eq!((tx.try_send(1), tx.send(2)), (Ok(()), Ok(())));
        assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
        let clone = tx.clone();
        let sender = thread::spawn(move || clone.send(3).unwrap());
        assert_eq!((rx.recv(), rx.recv(), rx.recv()), (Ok(1), Ok(2), Ok(3)));
        sender.join().unwrap();
        drop(rx);
        assert_eq!(tx.try_send(4), Err(TrySendError::Disconnected(4)));
        assert_eq!(tx.send(4), Err(SendError(4)));
        assert_eq!(format!("{tx:?}"), "SyncSender { .. }");
    });
}

#[test]
fn without_a_buffer_a_send_returns_when_the_value_was_received() {
    run(|| {
        let (tx, rx) = sync_channel(0);
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        let (done, is_done) = channel();
        let sender = thread::spawn(move || {
            tx.send(2).unwrap();
            done.send(()).unwrap();
            tx
        });
        (0..50).for_each(|_| thread::yield_now());
        assert_eq!(is_done.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(rx.recv(), Ok(2));
        is_done.recv().unwrap();
        let tx = sender.join().unwrap();
        // A receiver that waits makes `try_send` succeed, sooner or later.
        let receiver = thread::spawn(move || rx.recv());
        while tx.try_send(3).is_err() {
            thread::yield_now();
        }
        assert_eq!(receiver.join().unwrap(), Ok(3));
    });
}

#[test]
fn a_rendezvous_from_either_side_first() {
    run(|| {
        for bound in [0, 1] {
            let (tx, rx) = sync_channel(bound);
            let sender = thread::spawn(move || (0..ROUNDS).for_each(|i| tx.send(i).unwrap()));
            for i in 0..ROUNDS {
                if i % 16 == 0 {
                    thread::yield_now();
                }
                assert_eq!(rx.recv(), Ok(i));
            }
            sender.join().unwrap();
            assert_eq!(rx.recv(), Err(RecvError));
        }
    });
}

#[test]
fn a_sender_that_waits_learns_that_the_receiver_is_gone() {
    run(|| {
        for bound in [0, 1] {
            let (tx, rx) = sync_channel(bound);
            let sender = thread::spawn(move || {
                let mut i = 0;
                loop {
                    match tx.send(i) {
                        Ok(()) => i += 1,
                        Err(SendError(refused)) => return (i, refused),
                    }
                }
            });
            assert_eq!(rx.recv(), Ok(0));
            (0..10).for_each(|_| thread::yield_now());
            drop(rx);
            let (i, refused) = sender.join().unwrap();
            assert_eq!(i, refused);
        }
    });
}

#[test]
fn values_of_waiting_senders_are_dropped_by_those() {
    run(|| {
        let drops = Drops::default();
        let (tx, rx) = sync_channel(1);
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let (tx, value) = (tx.clone(), Dropped(drops.clone()));
                thread::spawn(move || tx.send(value).is_ok())
            })
            .collect();
        drop(tx);
        (0..10).for_each(|_| thread::yield_now());
        drop(rx);
        let sent = senders.into_iter().map(|sender| sender.join().unwrap());
        assert!(sent.filter(|sent| *sent).count() <= 1);
        assert_eq!(drops.count(), 4);
    });
}

#[test]
fn many_senders_lose_nothing() {
    run(|| {
        for bound in [0, 1, 7] {
            let (tx, rx) = sync_channel(bound);
            for _ in 0..8 {
                let tx = tx.clone();
                thread::spawn(move || (0..ROUNDS / 8).for_each(|_| tx.send(1).unwrap()));
            }
            drop(tx);
            assert_eq!(rx.iter().sum::<usize>(), ROUNDS / 8 * 8);
        }
    });
}

#[test]
fn timeouts_that_race_with_senders_lose_nothing() {
    run(|| {
        let (tx, rx) = sync_channel(0);
        let sender = thread::spawn(move || {
            for i in 0..50 {
                thread::sleep(SHORT / 20);
                tx.send(i).unwrap();
            }
        });
        let mut next = 0;
        loop {
            match rx.recv_timeout(SHORT / 20) {
                Ok(i) => {
                    assert_eq!(i, next);
                    next += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert_eq!(next, 50);
        sender.join().unwrap();
        assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn two_that_answer_each_other() {
    run(|| {
        let (ask, asked) = sync_channel(0);
        let (answer, answered) = sync_channel(0);
        let worker = thread::spawn(move || {
            for n in asked {
                answer.send(n + 1).unwrap();
            }
        });
        for n in 0..ROUNDS {
            ask.send(n).unwrap();
            assert_eq!(answered.recv(), Ok(n + 1));
        }
        drop(ask);
        worker.join().unwrap();
    });
}

#[test]
fn errors_turn_into_each_other_and_say_what_happened() {
    run(|| {
        assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
        assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
        assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
        let shared = Arc::new(SendError(1));
        assert_eq!(shared.to_string(), "sending on a closed channel");
    });
}
