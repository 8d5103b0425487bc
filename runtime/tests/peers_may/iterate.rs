//! Job: iterators over what is received, and what a look says in each state.

use super::{ROUNDS, TryRecvError, cases, channel};

#[test]
fn much_may_lie_in_a_channel() {
    cases("much_may_lie_in_a_channel", |_| {
        let (tx, rx) = channel();
        (0..50 * ROUNDS).for_each(|i| tx.send(i).unwrap());
        assert!((0..50 * ROUNDS).eq(rx.iter().take(50 * ROUNDS)));
    });
}

#[test]
fn an_iterator_ends_with_the_senders() {
    cases("an_iterator_ends_with_the_senders", |crew| {
        let (tx, rx) = channel();
        let sum = crew.spawn(move || rx.iter().sum::<i32>());
        (1..4).for_each(|value| tx.send(value).unwrap());
        drop(tx);
        assert_eq!(sum.join(), 6);
    });
}

#[test]
fn a_loop_may_leave_an_iterator() {
    cases("a_loop_may_leave_an_iterator", |crew| {
        let (tx, rx) = channel();
        let (say, said) = channel();
        let counter = crew.spawn(move || {
            let mut sum = 0;
            for value in rx.iter() {
                if sum >= 3 {
                    break;
                }
                sum += value;
            }
            drop(rx);
            say.send(sum).unwrap();
        });
        (0..3).for_each(|_| tx.send(2).unwrap());
        let _ = tx.send(2); // the receiver may be gone
        assert_eq!(said.recv(), Ok(4));
        counter.join();
    });
}

#[test]
fn an_iterator_that_does_not_wait_takes_what_is_there() {
    cases("an_iterator_that_does_not_wait_takes_what_is_there", |crew| {
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        let client = crew.spawn(move || {
            let mut sum = 0;
            while sum < 6 {
                sum += answers.try_iter().take(1).sum::<i32>();
                ask.send(()).unwrap();
                gusty::yield_now();
            }
            sum
        });
        for () in asked.iter() {
            if answer.send(2).is_err() {
                break;
            }
        }
        assert_eq!(client.join(), 6);
    });
}

#[test]
fn iterators_of_the_receiver_and_by_reference() {
    cases("iterators_of_the_receiver_and_by_reference", |_| {
        let (tx, rx) = channel();
        (1..3).for_each(|value| tx.send(value).unwrap());
        drop(tx);
        assert_eq!((&rx).into_iter().next(), Some(1));
        let mut owned = rx.into_iter();
        assert_eq!((owned.next(), owned.next(), owned.next()), (Some(2), None, None));
    });
}

#[test]
fn a_look_follows_what_the_sender_does() {
    cases("a_look_follows_what_the_sender_does", |crew| {
        let (tx, rx) = channel();
        let (go_on, told) = channel();
        let (say, said) = channel();
        let sender = crew.spawn(move || {
            told.recv().unwrap();
            tx.send(1).unwrap();
            say.send(()).unwrap();
            told.recv().unwrap();
            drop(tx);
            say.send(()).unwrap();
        });
        let step = || {
            go_on.send(()).unwrap();
            said.recv().unwrap();
        };
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        step();
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        step();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        sender.join();
    });
}
