//! Job: one value at most: every order in which a send, a receive and the two ends may happen.

use super::{Crew, ROUNDS, Receiver, RecvError, Sender, TryRecvError, cases, channel};

#[test]
fn a_side_may_go_first_without_use() {
    cases("a_side_may_go_first_without_use", |_| {
        let (tx, rx) = channel::<Box<u8>>();
        drop(rx);
        drop(tx);
        let (tx, rx) = channel::<Box<u8>>();
        drop(tx);
        drop(rx);
    });
}

#[test]
fn a_boxed_value_arrives_or_comes_back() {
    cases("a_boxed_value_arrives_or_comes_back", |_| {
        let (tx, rx) = channel();
        tx.send(Box::new(10)).unwrap();
        assert_eq!(rx.recv(), Ok(Box::new(10)));
        drop(rx);
        assert_eq!(*tx.send(Box::new(11)).unwrap_err().0, 11);
        let (tx, rx) = channel::<Box<u8>>();
        drop(tx);
        assert_eq!(rx.recv(), Err(RecvError));
    });
}

#[test]
fn a_look_takes_what_is_there_and_says_what_is_missing() {
    cases("a_look_takes_what_is_there_and_says_what_is_missing", |_| {
        let (tx, rx) = channel();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        tx.send(3).unwrap();
        assert_eq!(rx.try_recv(), Ok(3));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        tx.send(4).unwrap();
        drop(tx);
        assert_eq!(rx.try_recv(), Ok(4));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn a_receive_waits_for_a_send() {
    cases("a_receive_waits_for_a_send", |crew| {
        let (tx, rx) = channel();
        let receiver = crew.spawn(move || rx.recv());
        tx.send(Box::new(7)).unwrap();
        assert_eq!(receiver.join(), Ok(Box::new(7)));
    });
}

#[test]
fn a_receive_waits_for_the_end() {
    cases("a_receive_waits_for_the_end", |crew| {
        let (tx, rx) = channel::<Box<u8>>();
        let closer = crew.spawn(move || drop(tx));
        let receiver = crew.spawn(move || rx.recv());
        assert_eq!(receiver.join(), Err(RecvError));
        closer.join();
    });
}

#[test]
fn both_sides_go_at_once() {
    cases("both_sides_go_at_once", |crew| {
        for _ in 0..ROUNDS {
            let (tx, rx) = channel::<Box<u8>>();
            let other = crew.spawn(move || drop(rx));
            drop(tx);
            other.join();
        }
    });
}

#[test]
fn the_receiver_goes_at_the_send() {
    cases("the_receiver_goes_at_the_send", |crew| {
        for _ in 0..ROUNDS {
            let (tx, rx) = channel();
            let closer = crew.spawn(move || drop(rx));
            let sender = crew.spawn(move || tx.send(Box::new(1)).map_err(|error| *error.0));
            assert!(matches!(sender.join(), Ok(()) | Err(1)));
            closer.join();
        }
    });
}

#[test]
fn the_sender_goes_at_the_receive() {
    cases("the_sender_goes_at_the_receive", |crew| {
        for _ in 0..ROUNDS {
            let (tx, rx) = channel::<Box<u8>>();
            let receiver = crew.spawn(move || rx.recv());
            let closer = crew.spawn(move || drop(tx));
            assert_eq!(receiver.join(), Err(RecvError));
            closer.join();
        }
    });
}

#[test]
fn the_receive_meets_the_send() {
    cases("the_receive_meets_the_send", |crew| {
        for i in 0..ROUNDS {
            let (tx, rx) = channel();
            let sender = crew.spawn(move || tx.send(Box::new(i)).unwrap());
            assert_eq!(rx.recv(), Ok(Box::new(i)));
            sender.join();
        }
    });
}

/// The one after `i` sends, or receives, and passes its side on.
fn send_and_pass_on(crew: Crew, tx: Sender<Box<usize>>, i: usize) {
    if i < 10 {
        crew.spawn(move || {
            tx.send(Box::new(i)).unwrap();
            send_and_pass_on(crew, tx, i + 1);
        });
    }
}

fn receive_and_pass_on(crew: Crew, rx: Receiver<Box<usize>>, i: usize, done: Sender<()>) {
    crew.spawn(move || match i {
        10 => {
            assert_eq!(rx.recv(), Err(RecvError));
            done.send(()).unwrap();
        }
        _ => {
            assert_eq!(rx.recv(), Ok(Box::new(i)));
            receive_and_pass_on(crew, rx, i + 1, done);
        }
    });
}

#[test]
fn both_sides_go_from_one_to_the_next() {
    cases("both_sides_go_from_one_to_the_next", |crew| {
        for _ in 0..ROUNDS / 10 {
            let (tx, rx) = channel();
            let (done, is_done) = channel();
            send_and_pass_on(crew, tx, 0);
            receive_and_pass_on(crew, rx, 0, done);
            assert_eq!(is_done.recv(), Ok(()));
        }
    });
}
