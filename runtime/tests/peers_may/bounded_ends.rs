//! Job: bounded channels whose sides go before, while and after.

use super::{
    BOUNDS, Crew, Drops, ROUNDS, RecvError, SendError, TryRecvError, TrySendError, cases, channel,
    linger,
};

#[test]
fn a_bound_lets_so_many_in() {
    cases("a_bound_lets_so_many_in", |_| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            (0..bound).for_each(|i| assert_eq!(tx.try_send(i), Ok(())));
            assert_eq!(tx.clone().try_send(9), Err(TrySendError::Full(9)));
            (0..bound).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            drop(rx);
            assert_eq!(tx.try_send(9), Err(TrySendError::Disconnected(9)));
            assert_eq!((tx.send(9), tx.clone().send(8)), (Err(SendError(9)), Err(SendError(8))));
        }
    });
}

#[test]
fn what_nobody_received_is_dropped() {
    cases("what_nobody_received_is_dropped", |crew| {
        for bound in BOUNDS {
            let drops = Drops::new();
            let (tx, rx) = channel(bound);
            (0..bound).for_each(|_| assert!(tx.send(drops.tracker()).is_ok()));
            let (clone, value) = (tx.clone(), drops.tracker());
            let waits = crew.spawn(move || clone.send(value).is_ok());
            linger();
            drop((tx, rx));
            assert!(!waits.join());
            assert_eq!(drops.count(), bound + 1);
        }
    });
}

#[test]
fn a_side_may_go_first_without_use() {
    cases("a_side_may_go_first_without_use", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel::<Box<u8>>(bound);
            drop(rx);
            drop(tx);
            let (tx, rx) = channel::<Box<u8>>(bound);
            let other = crew.spawn(move || drop(rx));
            drop(tx);
            other.join();
        }
    });
}

#[test]
fn what_was_sent_outlives_its_sender() {
    cases("what_was_sent_outlives_its_sender", |_| {
        for bound in [1, 3] {
            let (tx, rx) = channel(bound);
            tx.send(Box::new(4)).unwrap();
            let clone = tx.clone();
            drop((tx, clone));
            assert_eq!(rx.try_recv(), Ok(Box::new(4)));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(rx.recv(), Err(RecvError));
        }
    });
}

/// Sends until that fails, with so many handles in turns.
fn sends_until_the_receiver_goes(crew: Crew, handles: usize) {
    for bound in BOUNDS {
        let (tx, rx) = channel(bound);
        let receiver = crew.spawn(move || rx.recv());
        let senders: Vec<_> = (0..handles).map(|_| tx.clone()).collect();
        while senders.iter().all(|tx| tx.send(1).is_ok()) {}
        assert_eq!(receiver.join(), Ok(1));
        assert_eq!(tx.send(1), Err(SendError(1)));
    }
}

#[test]
fn the_receiver_goes_while_it_is_sent_to() {
    cases("the_receiver_goes_while_it_is_sent_to", |crew| {
        sends_until_the_receiver_goes(crew, 1);
        sends_until_the_receiver_goes(crew, 2);
    });
}

#[test]
fn the_sender_goes_while_it_is_received_from() {
    cases("the_sender_goes_while_it_is_received_from", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            let sender = crew.spawn(move || {
                tx.send(1).unwrap();
                tx.clone().send(2).unwrap();
            });
            assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
            assert_eq!(rx.recv(), Err(RecvError));
            sender.join();
        }
    });
}

#[test]
fn a_waiting_send_learns_that_the_receiver_goes() {
    cases("a_waiting_send_learns_that_the_receiver_goes", |crew| {
        for bound in BOUNDS {
            let (tx, rx) = channel(bound);
            (0..bound).for_each(|i| tx.send(i).unwrap());
            let senders: Vec<_> = [7, 8]
                .map(|value| {
                    let tx = tx.clone();
                    crew.spawn(move || tx.send(value))
                })
                .into();
            let closer = crew.spawn(move || drop(rx));
            let results: Vec<_> = senders.into_iter().map(|sender| sender.join()).collect();
            assert_eq!(results, [Err(SendError(7)), Err(SendError(8))]);
            closer.join();
        }
    });
}

#[test]
fn every_order_of_one_value_and_two_ends() {
    cases("every_order_of_one_value_and_two_ends", |crew| {
        for round in 0..ROUNDS {
            let bound = BOUNDS[round % 3];
            let (tx, rx) = channel(bound);
            let (sends, receives) = match round / 3 % 4 {
                0 => (true, true),
                1 => (true, false),
                2 => (false, true),
                _ => (false, false),
            };
            let sender = crew.spawn(move || sends.then(|| tx.send(Box::new(round)).is_ok()));
            let receiver = crew.spawn(move || receives.then(|| rx.recv().map(|value| *value)));
            match (sender.join(), receiver.join()) {
                (Some(true), Some(Ok(value))) => assert_eq!(value, round),
                (None, Some(Err(RecvError))) | (None, None) => {}
                (Some(sent), None) => assert!(!sent || bound > 0, "nobody met it"),
                other => unreachable!("{other:?}"),
            }
        }
    });
}

#[test]
fn handles_print_as_std_s_do() {
    cases("handles_print_as_std_s_do", |_| {
        let (tx, rx) = channel::<i32>(1);
        let name = std::any::type_name_of_val(&tx);
        let name = name.split('<').next().unwrap().rsplit("::").next().unwrap();
        assert_eq!(format!("{tx:?}"), format!("{name} {{ .. }}"));
        assert_eq!(format!("{rx:?}"), "Receiver { .. }");
    });
}
