//! Job: select: what is chosen, what happens to values that are late or never come, grammar.
//! Not here: storms (`chan_select_storm`), moments (`chan_alarm`), Go's tests
//!   (`conformance_select`).

mod common;

use common::{until, watched};
use gusty::chan::{self, Receiver, RecvError, Select, SendError, Sender, TryRecvError};
use gusty::{go, select, select_biased, spawn, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);

/// Waits until so many goroutines and threads are in a select.
fn until_selecting(n: usize) {
    until(|| gusty::runtime::dump().matches("[select]").count() >= n);
}

/// Tests that look for a parked select must not see those of others.
fn alone(name: &str, f: impl FnOnce()) {
    let _one = common::alone();
    watched(name, f);
}

fn gave_up() -> bool {
    true
}

fn no_value() -> u8 {
    panic!("no value")
}

#[test]
fn a_value_that_is_late_reaches_whoever_came_for_it() {
    alone("a_value_that_is_late_reaches_whoever_came_for_it", || {
        for on_thread in [false, true] {
            for capacity in [0, 1] {
                let (tx, rx) = chan::bounded(capacity);
                if capacity == 1 {
                    tx.send(0).unwrap();
                }
                let nothing = chan::never::<u8>();
                let selecting = spawn(move || {
                    select! {
                        send(tx, { yield_now(); 7 }) -> sent => sent,
                        recv(nothing) -> _ => unreachable!(),
                    }
                });
                until_selecting(1);
                let receive = move || {
                    let mut got = vec![rx.recv(), rx.recv()];
                    got.truncate(1 + capacity);
                    got
                };
                let got = if on_thread {
                    thread::spawn(receive).join().unwrap()
                } else {
                    spawn(receive).join().unwrap()
                };
                assert_eq!(selecting.join().unwrap(), Ok(()));
                assert_eq!(got.last(), Some(&Ok(7)));
            }
        }
    });
}

#[test]
fn a_receiver_is_sent_back_by_a_select_that_gives_up() {
    alone("a_receiver_is_sent_back_by_a_select_that_gives_up", || {
        let (tx, rx) = chan::bounded::<u8>(0);
        let receivers: Vec<_> = (0..3)
            .map(|kind| {
                let rx = rx.clone();
                spawn(move || match kind {
                    0 => rx.recv().unwrap(),
                    1 => rx.recv_timeout(Duration::from_secs(600)).unwrap(),
                    _ => select! {
                        recv(rx) -> value => value.unwrap(),
                        recv(chan::never::<u8>()) -> _ => unreachable!(),
                    },
                })
            })
            .collect();
        for _ in 0..10 {
            // Leaves the select with a receiver in its hands, each time another one.
            #[expect(clippy::never_loop, reason = "what leaves it is what is tested")]
            loop {
                select! {
                    send(tx, if gave_up() { break } else { 1 }) -> _ => unreachable!(),
                    recv(chan::never::<u8>()) -> _ => unreachable!(),
                }
            }
        }
        let select = AssertUnwindSafe(|| {
            select! {
                send(tx, no_value()) -> _ => unreachable!(),
                recv(chan::never::<u8>()) -> _ => unreachable!(),
            }
        });
        assert!(catch_unwind(select).is_err());
        (1..=3).for_each(|i| tx.send(i).unwrap());
        let got: u8 = receivers.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(got, 6);
    });
}

#[test]
fn a_promised_place_comes_back() {
    let (tx, rx) = chan::bounded::<u8>(1);
    let mut select = Select::new();
    select.send(&tx);
    let promised = select.select();
    assert!(tx.try_send(1).is_err(), "the place is promised");
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(promised))).unwrap_err();
    assert_eq!(
        panic.downcast_ref(),
        Some(&"dropped `SelectedOperation` without completing the operation")
    );
    tx.try_send(2).unwrap();
    assert_eq!(rx.recv(), Ok(2));
}

#[test]
fn places_that_are_promised_and_used_keep_everybody_going() {
    alone("places_that_are_promised_and_used_keep_everybody_going", || {
        for capacity in [1, 2, 40, 100] {
            let (tx, rx) = chan::bounded::<usize>(capacity);
            let mut selects: Vec<_> = (0..capacity)
                .map(|_| {
                    let mut select = Select::new();
                    select.send(&tx);
                    select
                })
                .collect();
            let operations: Vec<_> = selects.iter_mut().map(|s| s.try_select().unwrap()).collect();
            assert!(tx.try_send(0).is_err(), "every place is promised");
            let senders: Vec<_> = (0..3)
                .map(|_| tx.clone())
                .map(|tx| spawn(move || tx.send(1_000).unwrap()))
                .collect();
            (0..20).for_each(|_| yield_now());
            for (i, operation) in operations.into_iter().enumerate() {
                if i % 3 == 2 {
                    let unwound = catch_unwind(AssertUnwindSafe(|| drop(operation)));
                    assert!(unwound.is_err());
                } else {
                    operation.send(&tx, i).unwrap();
                }
            }
            let kept = (0..capacity).filter(|i| i % 3 != 2).count();
            let mut got: Vec<_> = (0..kept + 3).map(|_| rx.recv().unwrap()).collect();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            got.sort_unstable();
            assert_eq!(got[kept..], [1_000; 3], "capacity {capacity}");
            senders.into_iter().for_each(|one| one.join().unwrap());
        }
    });
}

#[test]
fn a_channel_closed_in_between_gives_the_value_back() {
    for capacity in [0, 1] {
        let (tx, rx) = chan::bounded::<String>(capacity);
        let other = rx.clone();
        let receiver = (capacity == 0).then(|| thread::spawn(move || other.recv()));
        let mut select = Select::new();
        select.send(&tx);
        let operation = select.select();
        assert!(rx.close());
        let sent = operation.send(&tx, "late".into());
        match receiver {
            // It was promised a value before the channel was closed.
            Some(receiver) => {
                assert_eq!(sent, Ok(()));
                assert_eq!(receiver.join().unwrap(), Ok("late".to_owned()));
            }
            None => assert_eq!(sent, Err(SendError("late".to_owned()))),
        }
    }
}

#[test]
fn closing_wakes_selects_on_both_sides() {
    alone("closing_wakes_selects_on_both_sides", || {
        let ((tx1, rx1), (tx2, rx2)) = (chan::bounded::<u8>(0), chan::bounded::<u8>(0));
        let (a, b, c, d) = (tx1.clone(), rx2.clone(), rx1.clone(), tx2.clone());
        let first = spawn(move || {
            select! { send(a, 1) -> sent => sent.is_err(), recv(b) -> value => value.is_err() }
        });
        until_selecting(1);
        tx1.close();
        assert!(first.join().unwrap());
        let second = spawn(move || {
            select! { recv(chan::never::<u8>()) => false, send(d, 1) -> sent => sent.is_err() }
        });
        until_selecting(1);
        tx2.close();
        assert!(second.join().unwrap());
        assert_eq!((c.recv(), rx2.recv()), (Err(RecvError), Err(RecvError)));
    });
}

#[gusty::test]
fn a_select_in_order_takes_the_first() {
    let ((tx1, rx1), (tx2, rx2)) = (chan::unbounded(), chan::unbounded());
    for _ in 0..100 {
        tx1.send(1).unwrap();
        tx2.send(2).unwrap();
        let got = select_biased! {
            recv(rx1) -> value => value,
            recv(rx2) -> value => value,
            default => unreachable!(),
        };
        assert_eq!(got, Ok(1));
        let mut select = Select::new_biased();
        let (two, _) = (select.recv(&rx2), select.recv(&rx1));
        tx1.send(1).unwrap();
        let operation = select.select();
        assert_eq!(operation.index(), two);
        assert_eq!(operation.recv(&rx2), Ok(2));
        assert_eq!(rx1.recv(), Ok(1));
    }
}

#[gusty::test]
fn time_passes_and_leaves_the_channels_as_they_were() {
    let ((tx1, rx1), (tx2, rx2)) = (chan::bounded(0), chan::bounded(0));
    let start = Instant::now();
    let timed_out = select! {
        recv(rx1) -> _ => false,
        send(tx2, 1) -> _ => false,
        default(SHORT) => true,
    };
    assert!(timed_out && start.elapsed() >= SHORT);
    let mut select = Select::new();
    select.recv(&rx1);
    select.send(&tx2);
    assert!(select.select_deadline(Instant::now() + SHORT).is_err());
    assert!(select.ready_timeout(SHORT).is_err());
    assert!(Select::new().select_timeout(SHORT).is_err() && Select::new().try_ready().is_err());
    assert_eq!(tx1.try_send(1).unwrap_err().into_inner(), 1);
    assert_eq!(rx2.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_watcher_learns_of_everything_that_makes_an_operation_possible() {
    alone("a_watcher_learns_of_everything", || {
        type Act = fn(&Sender<u8>, &Receiver<u8>);
        let acts: [(usize, bool, Act); 5] = [
            (1, true, |tx, _| tx.send(1).unwrap()),
            (0, true, |tx, _| {
                drop(spawn({
                    let tx = tx.clone();
                    move || tx.send(1)
                }))
            }),
            (0, false, |_, rx| {
                drop(spawn({
                    let rx = rx.clone();
                    move || rx.recv()
                }))
            }),
            (1, false, |_, rx| assert!(rx.recv().is_ok())),
            (0, true, |tx, _| assert!(tx.close())),
        ];
        for (capacity, receives, act) in acts {
            let (tx, rx) = chan::bounded::<u8>(capacity);
            if capacity == 1 && !receives {
                tx.send(0).unwrap();
            }
            let (tx2, rx2) = (tx.clone(), rx.clone());
            let watcher = spawn(move || {
                let mut select = Select::new();
                let never = chan::never::<u8>();
                select.recv(&never);
                if receives {
                    select.recv(&rx2)
                } else {
                    select.send(&tx2)
                };
                select.ready()
            });
            until_selecting(1);
            act(&tx, &rx);
            assert_eq!(watcher.join().unwrap(), 1);
            tx.close();
        }
    });
}

#[test]
#[should_panic(expected = "no operations have been added")]
fn a_select_of_nothing_panics() {
    let _ = Select::new().select();
}

#[gusty::test]
fn bodies_act_on_the_code_around() {
    fn first(rx: &Receiver<u8>) -> Result<u8, RecvError> {
        loop {
            let value = select! {
                recv(rx) -> value => match value? {
                    0 => continue,
                    value => value,
                },
                recv(chan::never::<u8>()) -> _ => return Err(RecvError),
            };
            if value > 1 {
                break Ok(value);
            }
        }
    }
    let (tx, rx) = chan::unbounded();
    (0..4).for_each(|i| tx.send(i).unwrap());
    assert_eq!(first(&rx), Ok(2));
    drop(tx);
    assert_eq!(first(&rx), Ok(3));
    assert_eq!(first(&rx), Err(RecvError));
}

#[gusty::test]
fn handles_may_be_anything_that_leads_to_one() {
    struct Ends {
        tx: Sender<u8>,
        rx: Arc<Receiver<u8>>,
    }
    let (tx, rx) = chan::bounded(1);
    let mut ends = Ends { tx, rx: Arc::new(rx) };
    select! {
        send(ends.tx, 1,) -> sent => { sent.unwrap(); ends.tx = chan::bounded(1).0; }
        recv(ends.rx) -> Ok(_) | Err(_) => {}
    }
    let moved = select! {
        recv(*ends.rx,) -> value => (value, ends),
        recv(Box::new(chan::never::<u8>())) => unreachable!(),
        default() => unreachable!(),
    };
    assert_eq!(moved.0, Ok(1));
    let sent = select! { send(moved.1.tx, 2) -> sent => sent, };
    assert_eq!(sent, Err(SendError(2)));
}

#[gusty::test]
fn waiting_does_not_depend_on_how_many_there_are() {
    let channels: Vec<_> = (0..300).map(|_| chan::bounded::<usize>(0)).collect();
    let senders: Vec<_> = channels.iter().map(|(tx, _)| tx.clone()).collect();
    go!(move || (0..300).for_each(|i| senders[(i * 7) % 300].send(i).unwrap()));
    let mut select = Select::new();
    channels.iter().for_each(|(_, rx)| assert!(select.recv(rx) < 300));
    let seen = AtomicUsize::new(0);
    for _ in 0..300 {
        let operation = select.select();
        let index = operation.index();
        let value = operation.recv(&channels[index].1).unwrap();
        assert_eq!((value * 7) % 300, index);
        seen.fetch_add(value, Ordering::Relaxed);
    }
    assert_eq!(seen.into_inner(), 299 * 300 / 2);
}
