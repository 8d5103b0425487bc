//! Job: what Go's own tests ask of select, asked of ours: one test a row of the list of candidates.
//! Not here: channels by themselves (`conformance_chan`).

mod common;

use common::scaled;
use gusty::chan::{self, Receiver, RecvError, Select, SendError, Sender};
use gusty::{go, select, spawn, yield_now};
use std::cell::RefCell;
use std::time::Duration;

/// Row 3: of two channels one of which is always ready, a select never sees neither.
#[gusty::test]
fn row_3_a_select_sees_one_moment() {
    for _ in 0..scaled(100_000) {
        let (tx1, rx1) = chan::bounded(1);
        let (tx2, rx2) = chan::bounded(1);
        tx1.send(1).unwrap();
        let (other, other2) = (rx1.clone(), rx2.clone());
        let seen = spawn(move || {
            select! {
                recv(other) -> _ => true,
                recv(other2) -> _ => true,
                default => false,
            }
        });
        tx2.send(1).unwrap();
        select! {
            recv(rx1) -> _ => {}
            default => {}
        }
        assert!(seen.join().unwrap(), "saw no channel ready");
        drop(rx2);
    }
}

/// Row 4: the same, where closing makes the second one ready.
#[gusty::test]
fn row_4_a_select_sees_one_moment_of_closing() {
    for _ in 0..scaled(100_000) {
        let (tx1, rx1) = chan::bounded(1);
        let (tx2, rx2) = chan::bounded::<u8>(0);
        tx1.send(1).unwrap();
        let (other, other2) = (rx1.clone(), rx2.clone());
        let seen = spawn(move || {
            select! {
                recv(other) -> _ => true,
                recv(other2) -> _ => true,
                default => false,
            }
        });
        tx2.close();
        select! {
            recv(rx1) -> _ => {}
            default => {}
        }
        assert!(seen.join().unwrap(), "saw no channel ready");
        drop(rx2);
    }
}

/// Row 5: two selects that send and receive on one channel meet each other, never themselves.
#[gusty::test]
fn row_5_no_select_meets_itself() {
    for capacity in [0, 10] {
        let (tx, rx) = chan::bounded(capacity);
        let meet = |me: usize, tx: Sender<usize>, rx: Receiver<usize>| {
            move || {
                for _ in 0..1000 {
                    if me == 0 {
                        select! {
                            send(tx, me) -> _ => {}
                            recv(rx) -> from => assert!(capacity != 0 || from != Ok(me)),
                        }
                    } else {
                        select! {
                            recv(rx) -> from => assert!(capacity != 0 || from != Ok(me)),
                            send(tx, me) -> _ => {}
                        }
                    }
                }
                // The last one has no partner any more: let it go.
                tx.close();
            }
        };
        let both = [0, 1].map(|me| spawn(meet(me, tx.clone(), rx.clone())));
        both.into_iter().for_each(|one| one.join().unwrap());
    }
}

/// Row 6: sends, receives and selects on four channels with different buffers, all at once.
#[gusty::test]
fn row_6_everything_at_once() {
    let n = scaled(20_000);
    let channels: Vec<_> = [0, 0, 2, 3].map(chan::bounded::<usize>).into();
    let mut all = Vec::new();
    for (tx, rx) in channels.clone() {
        all.push(spawn(move || (0..n).for_each(|i| tx.send(i).unwrap())));
        all.push(spawn(move || (0..n).for_each(|_| assert!(rx.recv().is_ok()))));
    }
    let senders: Vec<_> = channels.iter().map(|(tx, _)| tx.clone()).collect();
    all.push(spawn(move || {
        let mut left = [n; 4];
        while left != [0; 4] {
            let mut select = Select::new();
            let open: Vec<_> = (0..4).filter(|&i| left[i] > 0).collect();
            for &i in &open {
                select.send(&senders[i]);
            }
            let operation = select.select();
            let i = open[operation.index()];
            left[i] -= 1;
            operation.send(&senders[i], left[i]).unwrap();
        }
    }));
    let receivers: Vec<_> = channels.iter().map(|(_, rx)| rx.clone()).collect();
    all.push(spawn(move || {
        let mut left = [n; 4];
        while left != [0; 4] {
            let never = chan::never();
            let [a, b, c, d]: [&Receiver<usize>; 4] =
                std::array::from_fn(|i| if left[i] > 0 { &receivers[i] } else { &never });
            let i = select! {
                recv(a) -> value => value.map(|_| 0),
                recv(b) -> value => value.map(|_| 1),
                recv(c) -> value => value.map(|_| 2),
                recv(d) -> value => value.map(|_| 3),
            };
            left[i.unwrap()] -= 1;
        }
    }));
    all.into_iter().for_each(|one| one.join().unwrap());
    assert!(channels.iter().all(|(tx, _)| tx.is_empty()));
}

/// Row 7: of two that are always possible each is chosen in half of the cases: within 10 sigma.
#[gusty::test]
fn row_7_the_choice_is_even() {
    let trials = 10_000;
    let (tx1, rx1) = chan::bounded::<()>(0);
    let (tx2, rx2) = chan::bounded::<()>(0);
    drop((tx1, tx2));
    let mut first = 0;
    for _ in 0..trials {
        select! {
            recv(rx1) -> _ => first += 1,
            recv(rx2) -> _ => {}
        }
    }
    let sigma = f64::from(trials).sqrt() / 2.0;
    let off = f64::from(first) - f64::from(trials) / 2.0;
    assert!(off.abs() < 10.0 * sigma, "{first} of {trials}");
}

/// Row 8: two sends on one channel are chosen at random, whether the select waits or not.
#[gusty::test]
fn row_8_sends_on_one_channel_mix() {
    for capacity in [0, 1, 100] {
        let (tx, rx) = chan::bounded(capacity);
        let sender = spawn(move || {
            for _ in 0..1000 {
                select! {
                    send(tx, 0) -> _ => {}
                    send(tx, 1) -> _ => {}
                }
            }
        });
        let ones = rx.iter().filter(|&n| n == 1).count();
        sender.join().unwrap();
        assert!((300..=700).contains(&ones), "{ones} of 1000 at capacity {capacity}");
    }
}

/// Row 10: a channel may come up twice, and the queue is whole afterwards.
#[gusty::test]
fn row_10_one_channel_twice() {
    let (tx, rx) = chan::bounded(0);
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (other, rx) = (rx.clone(), rx.clone());
            spawn(move || {
                select! {
                    recv(rx) -> value => value.unwrap(),
                    recv(other) -> value => value.unwrap(),
                    recv(rx) -> value => value.unwrap(),
                }
            })
        })
        .collect();
    (0..4).for_each(|i| tx.send(i).unwrap());
    let mut got: Vec<i32> = receivers.into_iter().map(|one| one.join().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3]);
}

/// Row 11: values behind fat pointers, also twice in one select.
#[gusty::test]
fn row_11_values_behind_fat_pointers() {
    let (tx, rx) = chan::bounded::<Box<dyn std::any::Any + Send>>(1);
    tx.send(Box::new(3_i32)).unwrap();
    select! {
        send(tx, Box::new(4_i32)) -> _ => unreachable!("full"),
        send(tx, Box::new(5_u8)) -> _ => unreachable!("full"),
        default => {}
    }
    assert_eq!(rx.recv().unwrap().downcast_ref(), Some(&3_i32));
    select! {
        send(tx, Box::new("four")) -> sent => sent.unwrap(),
        send(tx, Box::new("four")) -> sent => sent.unwrap(),
    }
    assert_eq!(rx.recv().unwrap().downcast_ref(), Some(&"four"));
}

/// Row 16: one select never performs two operations.
#[gusty::test]
fn row_16_one_operation_a_select() {
    let n = scaled(100_000);
    let channels: Vec<_> = (0..4).map(|_| chan::bounded::<usize>(0)).collect();
    let senders: Vec<_> = channels.iter().map(|(tx, _)| tx.clone()).collect();
    let receivers: Vec<_> = channels.into_iter().map(|(_, rx)| rx).collect();
    go!(move || {
        let [a, b, c, d] = &senders[..] else { unreachable!() };
        for i in 0..n {
            select! {
                send(a, i) -> _ => {}
                send(b, i) -> _ => {}
                send(c, i) -> _ => {}
                send(d, i) -> _ => {}
            }
        }
    });
    let (merged, out) = chan::bounded(0);
    for rx in receivers {
        let merged = merged.clone();
        go!(move || rx.iter().for_each(|i| merged.send(i).unwrap()));
    }
    drop(merged);
    let mut seen = vec![false; n];
    for i in out {
        assert!(!std::mem::replace(&mut seen[i], true), "{i} was sent twice");
    }
    assert!(seen.into_iter().all(|seen| seen));
}

/// Row 20: operations that are left out by `never`, one by one.
#[gusty::test]
fn row_20_operations_are_left_out() {
    fn sends(n: i32, to: [Option<&Sender<i32>>; 2]) -> usize {
        let mut select = Select::new();
        for tx in to.iter().flatten() {
            select.send(tx);
        }
        let mut sent = 0;
        while let Ok(operation) = select.select_timeout(Duration::ZERO) {
            let tx = to.iter().flatten().nth(operation.index()).unwrap();
            operation.send(tx, n).unwrap();
            sent += 1;
        }
        sent
    }
    let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(1), chan::bounded(1));
    assert_eq!(sends(1, [Some(&tx1), Some(&tx2)]), 2);
    assert_eq!((rx1.recv(), rx2.recv()), (Ok(1), Ok(1)));
    assert_eq!(sends(2, [Some(&tx1), None]), 1);
    assert_eq!(sends(3, [None, Some(&tx2)]), 1);
    assert_eq!(sends(4, [Some(&tx1), None]), 0);
    assert_eq!((rx1.recv(), rx2.recv()), (Ok(2), Ok(3)));
    let never = chan::never::<i32>();
    select! {
        recv(never) -> _ => unreachable!(),
        recv(rx1) -> _ => unreachable!(),
        default => {}
    }
}

/// Row 21: selects leave nothing behind in a channel that is never used: its queue stays empty, so
/// that dropping it and using it later work.
#[gusty::test]
fn row_21_selects_leave_nothing_behind() {
    let (tx, rx) = chan::bounded(0);
    let (idle, nothing) = chan::bounded::<u8>(0);
    let n = scaled(100_000);
    go!(move || (0..n).for_each(|i| tx.send(i).unwrap()));
    for i in 0..n {
        select! {
            recv(rx) -> value => assert_eq!(value, Ok(i)),
            recv(nothing) -> _ => unreachable!(),
        }
    }
    assert!(idle.try_send(1).is_err(), "somebody is still queued");
}

/// Row 22: what blocks, what fails and what goes through.
#[gusty::test]
fn row_22_what_blocks() {
    fn blocks(f: impl FnOnce() + Send + 'static) -> bool {
        let (tx, rx) = chan::bounded(1);
        go!(move || {
            f();
            let _ = tx.send(());
        });
        (0..50).for_each(|_| yield_now());
        rx.recv_timeout(Duration::from_millis(20)).is_err()
    }
    let (tx, rx) = chan::bounded::<u8>(0);
    let (tx2, rx2) = (tx.clone(), rx.clone());
    assert!(blocks(|| assert!(chan::never::<u8>().recv().is_ok())));
    assert!(blocks(move || assert!(rx2.recv().is_err())));
    rx.close();
    let (tx, rx) = chan::bounded::<u8>(0);
    assert!(blocks(move || assert!(tx.send(1).is_err())));
    drop((tx2, rx));
    let (tx, rx) = chan::bounded(1);
    assert!(!blocks(move || tx.send(1_u8).unwrap()));
    assert!(!blocks(move || assert_eq!(rx.recv(), Ok(1))));
    let (tx, rx) = chan::bounded::<u8>(0);
    assert!(blocks(move || select! {
        send(tx, 1) -> _ => unreachable!("a select met itself"),
        recv(rx) -> _ => unreachable!("a select met itself"),
    }));
    assert!(blocks(|| select! {
        recv(chan::never::<u8>()) -> _ => unreachable!(),
    }));
    let (tx, rx) = chan::bounded::<u8>(0);
    rx.close();
    assert!(!blocks(move || select! {
        send(tx, 1) -> sent => assert_eq!(sent, Err(SendError(1))),
    }));
    assert!(!blocks(move || select! {
        recv(rx) -> value => assert_eq!(value, Err(RecvError)),
    }));
}

/// Row 23: handles are evaluated in order, and all of them; the value of the chosen send follows, and
/// no other: there the grammar's first user differs from Go.
#[gusty::test]
fn row_23_the_order_of_evaluation() {
    let log = RefCell::new(Vec::new());
    let note = |what: &'static str| log.borrow_mut().push(what);
    let ((tx, rx), (tx2, rx2)) = (chan::bounded(1), chan::bounded(1));
    tx.send(0).unwrap();
    select! {
        send({ note("full"); &tx }, { note("no value"); 1 }) -> _ => unreachable!(),
        recv({ note("empty"); &rx2 }) -> _ => unreachable!(),
        send({ note("room"); &tx2 }, { note("value"); 2 }) -> _ => note("body"),
        recv({ note("never"); chan::never::<u8>() }) -> _ => unreachable!(),
    }
    assert_eq!(*log.borrow(), ["full", "empty", "room", "never", "value", "body"]);
    assert_eq!((rx.recv(), rx2.recv()), (Ok(0), Ok(2)));
}

/// Row 24: a select that loses leaves the queue in order for those behind it.
#[gusty::test]
fn row_24_those_behind_a_select_stay_queued() {
    for _ in 0..100 {
        let (tx1, rx1) = chan::bounded::<u8>(0);
        let (tx2, rx2) = chan::bounded::<u8>(0);
        let (a, b) = (rx1.clone(), rx1.clone());
        let first = spawn(move || a.recv());
        yield_now();
        let selecting = spawn(move || {
            select! {
                recv(b) -> value => value,
                recv(rx2) -> value => value,
            }
        });
        yield_now();
        let last = spawn(move || rx1.recv());
        yield_now();
        tx2.send(7).unwrap();
        assert_eq!(selecting.join().unwrap(), Ok(7));
        tx1.send(1).unwrap();
        tx1.send(2).unwrap();
        let mut got = [first, last].map(|one| one.join().unwrap().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    }
}

/// Row 25: nine pairs of ways to send and to receive, where the value is not used.
#[gusty::test]
fn row_25_a_value_that_nobody_uses() {
    let never = chan::never::<u8>();
    for send in 0..3 {
        for recv in 0..3 {
            let (tx, rx) = chan::bounded::<u8>(0);
            let sender = spawn(move || match send {
                0 => tx.send(1).unwrap(),
                1 => select! { send(tx, 1) -> sent => sent.unwrap() },
                _ => select! {
                    recv(chan::never::<u8>()) -> _ => {}
                    send(tx, 1) -> sent => sent.unwrap(),
                },
            });
            match recv {
                0 => assert!(rx.recv().is_ok()),
                1 => select! { recv(rx) => {} },
                _ => select! { recv(never) => {}, recv(rx) => {} },
            }
            sender.join().unwrap();
        }
    }
}
