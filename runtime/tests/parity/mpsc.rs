//! Job: `mpsc::channel` as std's tests know it.

use super::sync::mpsc::{
    IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryIter,
    TryRecvError, channel,
};
use super::{Dropped, Drops, LONG, ROUNDS, SHORT, run, thread};
use std::fmt::Debug;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

#[test]
fn values_arrive_in_order_from_here_and_elsewhere() {
    run(|| {
        let (tx, rx) = channel();
        tx.send(1).unwrap();
        assert_eq!(rx.recv(), Ok(1));
        let shared = tx.clone();
        thread::spawn(move || (0..100).for_each(|i| shared.send(i).unwrap())).join().unwrap();
        drop(tx);
        assert_eq!(rx.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        assert_eq!(rx.recv(), Err(RecvError));
    });
}

#[test]
fn what_is_in_a_channel_is_dropped_with_its_receiver() {
    run(|| {
        let drops = Drops::default();
        let (tx, rx) = channel();
        for _ in 0..100 {
            assert!(tx.send(Dropped(drops.clone())).is_ok());
        }
        drop(rx.recv());
        assert_eq!(drops.count(), 1);
        drop(rx);
        assert_eq!(drops.count(), 100);
        let refused = tx.send(Dropped(drops.clone()));
        assert_eq!(drops.count(), 100);
        drop(refused);
        drop(tx);
        assert_eq!(drops.count(), 101);
    });
}

#[test]
fn a_side_that_is_gone_is_an_error_for_the_other() {
    run(|| {
        let (tx, rx) = channel::<i32>();
        drop(rx);
        assert_eq!((tx.send(1), tx.clone().send(2)), (Err(SendError(1)), Err(SendError(2))));
        let (tx, rx) = channel::<i32>();
        drop((tx.clone(), tx));
        assert_eq!((rx.recv(), rx.try_recv()), (Err(RecvError), Err(TryRecvError::Disconnected)));
    });
}

#[test]
fn a_receiver_that_goes_while_they_send_stops_the_senders() {
    run(|| {
        let (tx, rx) = channel();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let tx = tx.clone();
                thread::spawn(move || {
                    while tx.send(1).is_ok() {
                        thread::yield_now();
                    }
                })
            })
            .collect();
        drop(tx);
        assert_eq!(rx.recv(), Ok(1));
        drop(rx);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn a_receiver_that_waits_learns_that_the_senders_are_gone() {
    run(|| {
        for _ in 0..ROUNDS / 10 {
            let (tx, rx) = channel::<u8>();
            let receiver = thread::spawn(move || assert_eq!(rx.recv(), Err(RecvError)));
            thread::yield_now();
            drop(tx);
            receiver.join().unwrap();
        }
    });
}

#[test]
fn many_senders_lose_nothing() {
    run(|| {
        let (tx, rx) = channel();
        let receiver = thread::spawn(move || {
            let received = (0..8 * ROUNDS).map(|_| rx.recv().unwrap()).sum::<usize>();
            assert_eq!(rx.recv(), Err(RecvError));
            received
        });
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let tx = tx.clone();
                thread::spawn(move || (0..ROUNDS).for_each(|_| tx.send(1).unwrap()))
            })
            .collect();
        drop(tx);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!(receiver.join().unwrap(), 8 * ROUNDS);
    });
}

#[test]
fn one_value_between_two_in_every_order_of_events() {
    run(|| {
        for round in 0..ROUNDS / 10 {
            let (tx, rx) = channel::<Box<usize>>();
            match round % 4 {
                0 => {
                    let sender = thread::spawn(move || tx.send(Box::new(10)).unwrap());
                    assert_eq!(*rx.recv().unwrap(), 10);
                    sender.join().unwrap();
                }
                1 => {
                    let receiver = thread::spawn(move || rx.recv().map(|value| *value));
                    drop(tx);
                    assert_eq!(receiver.join().unwrap(), Err(RecvError));
                }
                2 => {
                    let closer = thread::spawn(move || drop(rx));
                    let _ = tx.send(Box::new(1));
                    closer.join().unwrap();
                }
                _ => {
                    tx.send(Box::new(3)).unwrap();
                    let receiver = thread::spawn(move || *rx.recv().unwrap());
                    assert_eq!(receiver.join().unwrap(), 3);
                }
            }
        }
    });
}

#[test]
fn a_receiver_goes_from_one_to_the_next() {
    fn pass_on(rx: Receiver<Box<i32>>, i: i32) {
        if i < 10 {
            thread::spawn(move || {
                assert_eq!(*rx.recv().unwrap(), i);
                pass_on(rx, i + 1);
            });
        }
    }
    run(|| {
        let (tx, rx) = channel();
        pass_on(rx, 0);
        (0..10).for_each(|i| tx.send(Box::new(i)).unwrap());
        while tx.send(Box::new(-1)).is_ok() {
            thread::yield_now(); // until the last one has dropped the receiver
        }
    });
}

#[test]
fn waiting_for_a_limited_time() {
    run(|| {
        let (tx, rx) = channel::<u8>();
        let from = Instant::now();
        assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert!(from.elapsed() >= SHORT);
        assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        tx.send(1).unwrap();
        assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(1));
        let sender = thread::spawn(move || {
            tx.send(2).unwrap();
            tx
        });
        assert_eq!(rx.recv_timeout(Duration::MAX), Ok(2));
        drop(sender.join().unwrap());
        assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    });
}

#[test]
fn timeouts_that_race_with_senders_lose_nothing() {
    run(|| {
        let (tx, rx) = channel();
        for _ in 0..4 {
            let tx = tx.clone();
            thread::spawn(move || {
                for i in 0..20 {
                    if i % 2 == 0 {
                        thread::sleep(Duration::from_micros(100));
                    }
                    tx.send(1usize).unwrap();
                }
            });
        }
        drop(tx);
        let mut received = 0;
        loop {
            match rx.recv_timeout(Duration::from_micros(50)) {
                Ok(n) => received += n,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert_eq!(received, 80);
    });
}

#[test]
fn iterators_end_with_the_senders_or_with_what_is_there() {
    run(|| {
        let (tx, rx) = channel::<i32>();
        assert_eq!(rx.try_iter().next(), None);
        for i in 0..5 {
            tx.send(i).unwrap();
        }
        assert_eq!(rx.try_iter().take(2).collect::<Vec<_>>(), [0, 1]);
        let mut seen = Vec::new();
        for i in &rx {
            seen.push(i);
            if i == 3 {
                break;
            }
        }
        assert_eq!(seen, [2, 3]);
        let sender = thread::spawn(move || tx.send(5).unwrap());
        assert_eq!(rx.into_iter().collect::<Vec<_>>(), [4, 5]);
        sender.join().unwrap();
    });
}

#[test]
fn what_the_sender_left_is_received_before_the_end() {
    run(|| {
        let (tx, rx) = channel();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        thread::spawn(move || (1..=2).for_each(|i| tx.send(i).unwrap())).join().unwrap();
        assert_eq!((rx.try_recv(), rx.recv()), (Ok(1), Ok(2)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn a_destructor_may_use_the_channel_of_its_value() {
    struct SendsOnDrop(Sender<u8>);
    impl Drop for SendsOnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(1);
        }
    }
    run(|| {
        let (tx, rx) = channel();
        let (values, inbox) = channel();
        assert!(values.send(SendsOnDrop(tx)).is_ok());
        drop(inbox);
        assert_eq!(rx.recv(), Ok(1));
        assert_eq!(rx.recv(), Err(RecvError));
    });
}

#[test]
fn what_the_handles_are() {
    fn sent<T: Send + Debug>() {}
    fn shared<T: Send + Sync + Clone + UnwindSafe + RefUnwindSafe>() {}
    fn safe<T: UnwindSafe>() {}
    shared::<Sender<u8>>();
    shared::<SyncSender<u8>>();
    safe::<Receiver<std::cell::Cell<u8>>>();
    sent::<Receiver<u8>>();
    sent::<IntoIter<u8>>();
    fn iterators<'a>(rx: &'a Receiver<u8>) -> (Iter<'a, u8>, TryIter<'a, u8>) {
        (rx.iter(), rx.try_iter())
    }
    let (tx, rx) = channel::<u8>();
    assert_eq!(format!("{tx:?} {rx:?}"), "Sender { .. } Receiver { .. }");
    assert_eq!(format!("{:?}", iterators(&rx).0), "Iter { rx: Receiver { .. } }");
    assert_eq!(format!("{:?}", iterators(&rx).1), "TryIter { rx: Receiver { .. } }");
    assert_eq!(format!("{:?}", rx.into_iter()), "IntoIter { rx: Receiver { .. } }");
}
