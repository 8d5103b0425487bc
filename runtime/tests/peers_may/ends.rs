//! Job: values that arrive, and sides that go before, while and after.

use super::{Crew, Drops, ROUNDS, RecvError, SendError, cases, channel, linger};

#[test]
fn a_value_goes_from_here_to_here() {
    cases("a_value_goes_from_here_to_here", |_| {
        let (tx, rx) = channel();
        tx.send("only").unwrap();
        assert_eq!(rx.recv(), Ok("only"));
        tx.clone().send("by a clone").unwrap();
        assert_eq!(rx.recv(), Ok("by a clone"));
    });
}

#[test]
fn a_value_goes_from_elsewhere_to_here() {
    cases("a_value_goes_from_elsewhere_to_here", |crew| {
        let (tx, rx) = channel();
        let helper = crew.spawn(move || tx.send(vec![1, 2]));
        assert_eq!(rx.recv().unwrap(), [1, 2]);
        assert!(helper.join().is_ok());
    });
}

#[test]
fn what_nobody_received_is_dropped() {
    cases("what_nobody_received_is_dropped", |_| {
        for handles in [1, 3] {
            let drops = Drops::new();
            let (tx, rx) = channel();
            let senders: Vec<_> = (0..handles).map(|_| tx.clone()).collect();
            drop(tx);
            senders.iter().for_each(|tx| assert!(tx.send(drops.tracker()).is_ok()));
            drop((senders, rx));
            assert_eq!(drops.count(), handles);
        }
    });
}

#[test]
fn a_send_to_nobody_gives_the_value_back() {
    cases("a_send_to_nobody_gives_the_value_back", |_| {
        let (tx, rx) = channel();
        drop(rx);
        assert_eq!(tx.send(5), Err(SendError(5)));
        let late = tx.clone();
        drop(tx);
        assert_eq!(late.send(6), Err(SendError(6)));
    });
}

/// Sends until that fails, with so many handles in turns.
fn sends_until_the_receiver_goes(crew: Crew, handles: usize) {
    let (tx, rx) = channel();
    let receiver = crew.spawn(move || rx.recv());
    let mut senders: Vec<_> = (1..handles).map(|_| tx.clone()).collect();
    senders.push(tx);
    while senders.iter().all(|tx| tx.send(1).is_ok()) {
        gusty::yield_now();
    }
    assert_eq!(receiver.join(), Ok(1));
    assert!(senders.iter().all(|tx| tx.send(1).is_err()), "gone for all, and for good");
}

#[test]
fn the_receiver_goes_while_it_is_sent_to() {
    cases("the_receiver_goes_while_it_is_sent_to", |crew| sends_until_the_receiver_goes(crew, 1));
}

#[test]
fn the_receiver_goes_while_several_send() {
    cases("the_receiver_goes_while_several_send", |crew| sends_until_the_receiver_goes(crew, 2));
}

#[test]
fn a_receive_from_nobody_fails() {
    cases("a_receive_from_nobody_fails", |_| {
        for handles in [1, 2] {
            let (tx, rx) = channel::<u8>();
            drop((1..handles).map(|_| tx.clone()).collect::<Vec<_>>());
            drop(tx);
            assert_eq!((rx.recv(), rx.recv()), (Err(RecvError), Err(RecvError)));
        }
    });
}

#[test]
fn the_sender_goes_while_it_is_received_from() {
    cases("the_sender_goes_while_it_is_received_from", |crew| {
        let (tx, rx) = channel();
        let sender = crew.spawn(move || {
            tx.send(1).unwrap();
            gusty::yield_now();
            tx.send(2).unwrap();
        });
        let mut got = Vec::new();
        while let Ok(value) = rx.recv() {
            got.push(value);
        }
        assert_eq!(got, [1, 2]);
        sender.join();
    });
}

#[test]
fn a_stream_arrives_in_order() {
    cases("a_stream_arrives_in_order", |crew| {
        let (tx, rx) = channel();
        let sender = crew.spawn(move || (0..20 * ROUNDS).try_for_each(|i| tx.send(i)));
        (0..20 * ROUNDS).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
        assert!(sender.join().is_ok());
        assert_eq!(rx.recv(), Err(RecvError));
    });
}

#[test]
fn many_streams_arrive_each_in_order() {
    const SENDERS: usize = 8;
    cases("many_streams_arrive_each_in_order", |crew| {
        let (tx, rx) = channel();
        let receiver = crew.spawn(move || {
            let mut next = [0; SENDERS];
            while let Ok((sender, i)) = rx.recv() {
                assert_eq!(std::mem::replace(&mut next[sender], i + 1), i);
            }
            next
        });
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let tx = tx.clone();
                crew.spawn(move || (0..ROUNDS).for_each(|i| tx.send((sender, i)).unwrap()))
            })
            .collect();
        drop(tx);
        senders.into_iter().for_each(|sender| sender.join());
        assert_eq!(receiver.join(), [ROUNDS; SENDERS]);
    });
}

/// One side is of the runtime and the other is not, whichever.
#[test]
fn goroutines_and_threads_talk_to_each_other() {
    cases("goroutines_and_threads_talk_to_each_other", |_| {
        for (asking, answering) in
            [(Crew::Goroutines, Crew::Threads), (Crew::Threads, Crew::Goroutines)]
        {
            let (ask, asked) = channel();
            let (answer, answered) = channel();
            let client = asking.spawn(move || {
                for i in 0..ROUNDS {
                    ask.send(i).unwrap();
                    assert_eq!(answered.recv(), Ok(2 * i));
                }
            });
            let server = answering.spawn(move || {
                while let Ok(i) = asked.recv() {
                    answer.send(2 * i).unwrap();
                }
            });
            client.join();
            server.join();
        }
    });
}

#[test]
fn a_receiver_that_waited_is_dropped_while_a_late_clone_sends() {
    cases("a_receiver_that_waited_is_dropped_while_a_late_clone_sends", |crew| {
        let (tx, rx) = channel();
        let (done, is_done) = channel();
        let receiver = crew.spawn(move || {
            rx.recv().unwrap();
            drop(rx);
            done.send(()).unwrap();
        });
        linger();
        let late = tx.clone();
        drop(tx);
        late.send(()).unwrap();
        assert_eq!(is_done.recv(), Ok(()));
        assert_eq!(late.send(()), Err(SendError(())));
        receiver.join();
    });
}
