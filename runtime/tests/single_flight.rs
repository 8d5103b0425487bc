//! Job: `SingleFlight`: one call for all, forgetting, panics, giving up. Go's own tests of singleflight
//!   are named where a test is of the same kind.

mod common;
mod waiters;

use common::{scaled, watched};
use gusty::context::{self, Error};
use gusty::spawn;
use gusty::sync::SingleFlight;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use waiters::{everywhere, until_parked};

type Flights = Arc<SingleFlight<&'static str, usize>>;

/// A call of `key` that is under way until the sender is dropped, and returns `value` then.
fn under_way(
    flights: &Flights,
    value: usize,
) -> (gusty::chan::Sender<()>, gusty::JoinHandle<(usize, bool)>) {
    let (tx, rx) = gusty::chan::bounded::<()>(0);
    let (began_tx, began) = gusty::chan::bounded::<()>(1);
    let theirs = flights.clone();
    let leader = spawn(move || {
        theirs.run("key", || {
            began_tx.send(()).unwrap();
            rx.recv().unwrap_err();
            value
        })
    });
    began.recv().unwrap();
    (tx, leader)
}

fn followers(flights: &Flights, n: usize) -> Vec<gusty::JoinHandle<(usize, bool)>> {
    let follow = || {
        let flights = flights.clone();
        spawn(move || flights.run("key", || unreachable!("it follows")))
    };
    let handles: Vec<_> = (0..n).map(|_| follow()).collect();
    until_parked(&handles);
    handles
}

/// As Go's TestDo and TestDoErr: a value, whatever it is.
#[test]
fn alone_it_is_a_plain_call() {
    everywhere("alone_it_is_a_plain_call", || {
        let flights = SingleFlight::new();
        assert_eq!(flights.run("key", || Ok::<_, u8>(1)), (Ok(1), false));
        assert_eq!(flights.run("key", || Err(2)), (Err(2), false));
    });
}

/// As Go's TestDoDupSuppress.
#[test]
fn overlapping_calls_are_one() {
    everywhere("overlapping_calls_are_one", || {
        let flights = Flights::default();
        let (go, leader) = under_way(&flights, 7);
        let followers = followers(&flights, 50);
        assert_eq!(flights.run("other key", || 8), (8, false));
        drop(go);
        assert_eq!(leader.join().unwrap(), (7, true));
        for follower in followers {
            assert_eq!(follower.join().unwrap(), (7, true));
        }
        assert_eq!(flights.run("key", || 9), (9, false), "the call is over");
    });
}

/// As Go's TestForget.
#[test]
fn a_forgotten_call_is_led_anew() {
    everywhere("a_forgotten_call_is_led_anew", || {
        let flights = Flights::default();
        let (go, leader) = under_way(&flights, 1);
        let of_the_first = followers(&flights, 3);
        flights.forget(&"key");
        flights.forget(&"unknown");
        let (go_on, second) = under_way(&flights, 2);
        let of_the_second = followers(&flights, 3);
        drop(go);
        assert_eq!(leader.join().unwrap(), (1, true));
        of_the_first.into_iter().for_each(|f| assert_eq!(f.join().unwrap(), (1, true)));
        drop(go_on);
        assert_eq!(second.join().unwrap(), (2, true), "the end of the first left it in its place");
        of_the_second.into_iter().for_each(|f| assert_eq!(f.join().unwrap(), (2, true)));
    });
}

/// As Go's TestPanicDo.
#[test]
fn a_panic_reaches_all() {
    everywhere("a_panic_reaches_all", || {
        let flights = Flights::default();
        let (tx, rx) = gusty::chan::bounded::<()>(0);
        let (began_tx, began) = gusty::chan::bounded::<()>(1);
        let theirs = flights.clone();
        let leader = spawn(move || {
            theirs.run("key", || {
                began_tx.send(()).unwrap();
                rx.recv().unwrap_err();
                panic_any("expected by the test")
            })
        });
        began.recv().unwrap();
        let followers = followers(&flights, 5);
        drop(tx);
        let payload = leader.join().unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"expected by the test"));
        for follower in followers {
            let payload = follower.join().unwrap_err();
            assert!(payload.downcast_ref::<String>().unwrap().contains("expected by the test"));
        }
        assert_eq!(flights.run("key", || 1), (1, false), "nothing is left of it");
    });
}

#[test]
fn followers_may_give_up() {
    everywhere("followers_may_give_up", || {
        let flights = Flights::default();
        let (go, leader) = under_way(&flights, 5);
        let short = Duration::from_millis(1);
        assert_eq!(flights.run_timeout("key", short, || unreachable!()), None);
        let (ctx, _cancel) = context::with_timeout(&context::background(), short);
        assert_eq!(flights.run_ctx(&ctx, "key", || unreachable!()), Err(Error::DeadlineExceeded));
        assert_eq!(flights.run_ctx(&ctx, "new", || unreachable!()), Err(Error::DeadlineExceeded));
        let rx = flights.run_chan("key", || unreachable!());
        assert!(rx.recv_timeout(short).is_err());
        drop(go);
        assert_eq!(leader.join().unwrap(), (5, true));
        assert_eq!(rx.recv(), Ok((5, true)));
        assert_eq!(flights.run_timeout("key", short, || 6), Some((6, false)));
        assert_eq!(flights.run_ctx(&context::background(), "key", || 7), Ok((7, false)));
    });
}

/// As Go's TestDoChan and TestPanicDoChan.
#[test]
fn results_by_channel() {
    everywhere("results_by_channel", || {
        let flights = Flights::default();
        assert_eq!(flights.run_chan("key", || 3).recv(), Ok((3, false)));
        assert!(flights.run_chan("key", || panic!("expected by the test")).recv().is_err());
    });
}

/// Every value that a caller gets was made by a call that overlapped its own.
#[test]
fn storm() {
    watched("storm", || {
        let flights = Arc::new(SingleFlight::new());
        let calls = Arc::new(AtomicUsize::new(0));
        let work = |id: usize| {
            let (flights, calls) = (flights.clone(), calls.clone());
            move || {
                for i in 0..scaled(500) {
                    let before = calls.load(Ordering::SeqCst);
                    let (value, _) = flights.run((id + i) % 3, || {
                        gusty::yield_now();
                        calls.fetch_add(1, Ordering::SeqCst)
                    });
                    assert!(value + 3 * 64 >= before, "an old value: {value} at {before}");
                    if i % 50 == 0 {
                        flights.forget(&(i % 3));
                    }
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|i| std::thread::spawn(work(i))).collect();
        let goroutines: Vec<_> = (0..20).map(|i| spawn(work(i))).collect();
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        assert!(calls.load(Ordering::SeqCst) > 0);
    });
}

#[gusty::test]
fn a_key_whose_comparison_panics_keeps_nobody_waiting() {
    #[derive(Clone)]
    struct Key(u8);
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    impl PartialEq for Key {
        fn eq(&self, other: &Key) -> bool {
            assert!(self.0 != 9, "expected by the test");
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    let flights: Arc<SingleFlight<Key, u8>> = Arc::default();
    let theirs = flights.clone();
    let (tx, rx) = gusty::chan::bounded::<()>(0);
    let leader = spawn(move || {
        theirs.run(Key(1), || {
            rx.recv().unwrap_err();
            1
        })
    });
    until_parked([&leader]);
    let theirs = flights.clone();
    let follower = spawn(move || theirs.run(Key(1), || unreachable!("it follows")));
    until_parked([&follower]);
    let broken = catch_unwind(AssertUnwindSafe(|| flights.run(Key(9), || 9)));
    assert!(broken.is_err(), "it is compared with itself, when its call ends");
    drop(tx);
    assert_eq!(leader.join().unwrap(), (1, true));
    assert_eq!(follower.join().unwrap(), (1, true));
    assert_eq!(flights.run(Key(1), || 2), (2, false));
}
