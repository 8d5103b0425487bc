//! Job: channels: what arrives, in which order, what comes back, what is dropped; from goroutines,
//!   from plain threads and from both.

mod common;

use common::{until, watched};
use gusty::chan::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);
const CAPACITIES: [usize; 6] = [0, 1, 2, 64, 1000, usize::MAX];

/// Starts `f` on a goroutine or on a thread; the result waits for it.
fn start<T: Send + 'static>(
    on_thread: bool,
    f: impl FnOnce() -> T + Send + 'static,
) -> Box<dyn FnOnce() -> T> {
    if on_thread {
        let handle = thread::spawn(f);
        Box::new(move || handle.join().unwrap())
    } else {
        let handle = gusty::spawn(f);
        Box::new(move || handle.join().unwrap())
    }
}

/// Counts drops; panics in the one it is told to.
struct Counted(Arc<AtomicUsize>, bool);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(!self.1, "a destructor that panics");
    }
}

/// Waits until all these goroutines are parked for `reason`, as a dump shows it.
fn until_parked<'a, T: 'a>(
    handles: impl IntoIterator<Item = &'a gusty::JoinHandle<T>> + Clone,
    reason: &str,
) {
    until(|| {
        let dump = gusty::runtime::dump();
        let lines = dump.lines().filter_map(|line| line.split_inclusive(']').next());
        let parked: HashSet<&str> = lines.collect();
        let line = |id| format!("goroutine {id} [{reason}]");
        let mut handles = handles.clone().into_iter();
        handles.all(|handle| parked.contains(line(handle.goroutine().id()).as_str()))
    });
}

#[test]
fn each_sender_arrives_in_order() {
    watched("each_sender_arrives_in_order", || {
        for capacity in CAPACITIES {
            for kinds in 0..4 {
                let (tx, rx) = chan::bounded(capacity);
                let sent =
                    start(kinds & 1 != 0, move || (0..500).for_each(|i| tx.send(i).unwrap()));
                let got = start(kinds & 2 != 0, move || rx.iter().collect::<Vec<_>>());
                assert_eq!(got(), (0..500).collect::<Vec<_>>(), "capacity {capacity}");
                sent();
            }
        }
    });
}

#[test]
fn eight_by_eight_lose_and_double_nothing() {
    const EACH: u64 = 2_000;
    watched("eight_by_eight_lose_and_double_nothing", || {
        for capacity in CAPACITIES {
            let (tx, rx) = chan::bounded(capacity);
            let senders: Vec<_> = (0..8)
                .map(|s| {
                    let tx: Sender<(u64, u64)> = tx.clone();
                    start(s % 4 == 0, move || (0..EACH).for_each(|i| tx.send((s, i)).unwrap()))
                })
                .collect();
            let receivers: Vec<_> = (0..8)
                .map(|r| {
                    let rx: Receiver<(u64, u64)> = rx.clone();
                    start(r % 4 == 0, move || rx.iter().collect::<Vec<_>>())
                })
                .collect();
            drop((tx, rx));
            senders.into_iter().for_each(|sender| sender());
            let mut seen = HashSet::new();
            for received in receivers.into_iter().map(|receiver| receiver()) {
                let mut last = [None; 8];
                for (s, i) in received {
                    assert!(seen.insert((s, i)), "twice: {s} {i}");
                    // One receiver sees one sender's values in order.
                    assert!(last[s as usize] < Some(i), "order: {s} {i}");
                    last[s as usize] = Some(i);
                }
            }
            assert_eq!(seen.len() as u64, 8 * EACH);
        }
    });
}

#[gusty::test]
fn waiting_receivers_and_senders_are_served_in_order() {
    let (tx, rx) = chan::bounded::<usize>(0);
    let (log, order) = chan::unbounded();
    for i in 0..10 {
        let (rx, log) = (rx.clone(), log.clone());
        let waiter = gusty::spawn(move || log.send((i, rx.recv().unwrap())).unwrap());
        until_parked([&waiter], "chan receive");
    }
    (0..10).for_each(|i| tx.send(i).unwrap());
    let mut got: Vec<_> = order.iter().take(10).collect();
    got.sort_unstable();
    assert!(got.iter().all(|(waiter, value)| waiter == value), "{got:?}");

    for i in 0..10 {
        let tx = tx.clone();
        until_parked([&gusty::spawn(move || tx.send(i).unwrap())], "chan send");
    }
    assert_eq!(rx.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[gusty::test]
fn a_receive_from_a_full_buffer_moves_the_first_waiting_sender_in() {
    let (tx, rx) = chan::bounded(2);
    tx.send(0).unwrap();
    tx.send(1).unwrap();
    for i in 2..5 {
        let tx = tx.clone();
        until_parked([&gusty::spawn(move || tx.send(i).unwrap())], "chan send");
    }
    for i in 0..5 {
        assert_eq!(rx.len(), 2.min(5 - i));
        assert_eq!(rx.recv(), Ok(i));
    }
    assert!(rx.is_empty());
}

#[gusty::test]
fn dropping_all_senders_ends_the_receivers_after_the_last_value() {
    for capacity in [1, 64, usize::MAX] {
        let (tx, rx) = chan::bounded(capacity);
        tx.send(1).unwrap();
        drop(tx.clone());
        assert!(!rx.is_closed());
        drop(tx);
        assert!(rx.is_closed());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(rx.recv(), Err(RecvError));
        assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Disconnected));
    }
    let (tx, rx) = chan::bounded::<u8>(0);
    let waiting = gusty::spawn(move || rx.recv());
    until_parked([&waiting], "chan receive");
    drop(tx);
    assert_eq!(waiting.join().unwrap(), Err(RecvError));
}

#[gusty::test]
fn dropping_all_receivers_gives_values_back_and_drops_the_buffer() {
    let drops = Arc::new(AtomicUsize::new(0));
    let new = || Counted(drops.clone(), false);
    let (tx, rx) = chan::bounded(100);
    (0..100).for_each(|_| tx.send(new()).ok().unwrap());
    let blocked = {
        let (tx, value) = (tx.clone(), new());
        gusty::spawn(move || tx.send(value).map_err(SendError::into_inner))
    };
    until_parked([&blocked], "chan send");
    drop(rx);
    let back = blocked.join().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 100);
    assert!(back.is_err());
    drop(back);
    assert_eq!(drops.load(Ordering::Relaxed), 101);
    assert!(tx.try_send(new()).unwrap_err().is_disconnected());
    assert!(tx.send_timeout(new(), SHORT).unwrap_err().is_disconnected());
    assert_eq!(drops.load(Ordering::Relaxed), 103);
    assert!(tx.is_empty());
}

#[test]
fn close_wakes_both_sides_and_keeps_the_buffer() {
    watched("close_wakes_both_sides_and_keeps_the_buffer", || {
        for on_thread in [false, true] {
            let (tx, rx) = chan::bounded(1);
            tx.send(0).unwrap();
            let sender = {
                let tx = tx.clone();
                start(on_thread, move || tx.send(1))
            };
            assert!(rx.close());
            assert!(!tx.close() && !rx.close());
            assert!(tx.is_closed() && rx.is_closed());
            // It waited, or it came after the close: refused either way.
            assert_eq!(sender(), Err(SendError(1)));
            assert_eq!(tx.send(2), Err(SendError(2)));
            assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)));
            assert_eq!(tx.send_timeout(2, SHORT), Err(SendTimeoutError::Disconnected(2)));
            assert_eq!(rx.recv(), Ok(0));
            assert_eq!(rx.recv(), Err(RecvError));

            let (tx, rx) = chan::bounded::<u8>(0);
            let receiver = start(on_thread, move || rx.recv());
            assert!(tx.close());
            assert_eq!(receiver(), Err(RecvError));
        }
    });
}

#[gusty::test]
fn close_reaches_many_waiters() {
    let n = common::scaled(20_000);
    let (tx, rx) = chan::bounded::<u8>(0);
    let waiters: Vec<_> = (0..n)
        .map(|i| {
            let rx = rx.clone();
            gusty::spawn(move || match i % 2 {
                0 => rx.recv().is_err(),
                _ => rx.recv_timeout(Duration::from_secs(3600)).is_err(),
            })
        })
        .collect();
    until_parked(&waiters, "chan receive");
    tx.close();
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
}

#[test]
fn timeouts_pass_and_leave_the_channel_as_it_was() {
    watched("timeouts_pass_and_leave_the_channel_as_it_was", || {
        for on_thread in [false, true] {
            start(on_thread, || {
                let (tx, rx) = chan::bounded(0);
                let past = Instant::now();
                for _ in 0..3 {
                    assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
                    assert_eq!(rx.recv_deadline(past), Err(RecvTimeoutError::Timeout));
                    assert_eq!(tx.send_timeout(1, SHORT), Err(SendTimeoutError::Timeout(1)));
                    assert_eq!(tx.send_deadline(1, past), Err(SendTimeoutError::Timeout(1)));
                }
                // Nobody is left in the queues: neither would find the other's ghost.
                assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                let long = Duration::from_secs(3600);
                let sender = gusty::spawn(move || tx.send_timeout(2, long));
                assert_eq!(rx.recv_timeout(Duration::MAX), Ok(2));
                assert_eq!(sender.join().unwrap(), Ok(()));
            })();
        }
    });
}

#[gusty::test]
fn deadlines_that_race_with_values_lose_none() {
    let (tx, rx) = chan::bounded::<u32>(0);
    let receiver = gusty::spawn(move || {
        let mut got = Vec::new();
        loop {
            match rx.recv_timeout(Duration::from_micros(20)) {
                Ok(value) => got.push(value),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return got,
            }
        }
    });
    let mut sent = Vec::new();
    for i in 0..2_000 {
        if tx.send_timeout(i, Duration::from_micros(u64::from(i % 40))).is_ok() {
            sent.push(i);
        }
    }
    drop(tx);
    assert_eq!(receiver.join().unwrap(), sent);
}

#[gusty::test]
fn a_panicking_destructor_in_the_buffer_drops_the_rest_and_frees_the_channel() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = chan::unbounded();
    (0..50).for_each(|i| tx.send(Counted(drops.clone(), i == 7)).ok().unwrap());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 50);
    assert!(tx.is_closed());
    assert!(tx.send(Counted(drops.clone(), false)).is_err());
}

#[gusty::test]
fn destructors_may_use_the_channel_they_are_in() {
    struct Replies(Sender<u32>, Option<Sender<Replies>>);
    impl Drop for Replies {
        fn drop(&mut self) {
            self.0.send(1).unwrap();
            if let Some(own) = self.1.take() {
                assert!(own.is_closed() && own.is_empty());
                own.close();
            }
        }
    }
    let (reply, replies) = chan::unbounded();
    let (tx, rx) = chan::bounded(4);
    tx.send(Replies(reply.clone(), Some(tx.clone()))).ok().unwrap();
    tx.send(Replies(reply, Some(tx.clone()))).ok().unwrap();
    drop(tx);
    drop(rx);
    assert_eq!(replies.iter().sum::<u32>(), 2);
}

#[gusty::test]
fn a_destructor_may_wait_for_a_channel_while_its_goroutine_unwinds() {
    struct SendsOnDrop(Sender<&'static str>, Receiver<u8>);
    impl Drop for SendsOnDrop {
        fn drop(&mut self) {
            self.0.send("unwinding").unwrap();
            assert_eq!(self.1.recv(), Ok(7));
        }
    }
    let (tx, rx) = chan::bounded(0);
    let (tx2, rx2) = chan::bounded(0);
    let handle = gusty::spawn(move || {
        let _sends = SendsOnDrop(tx, rx2);
        panic!("expected by the test");
    });
    assert_eq!(rx.recv(), Ok("unwinding"));
    tx2.send(7).unwrap();
    assert!(handle.join().is_err());
}

#[test]
fn values_of_every_shape_arrive_whole() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(4096))]
    struct Page(u64);

    fn run<T: Send + 'static>(make: fn(u64) -> T, check: fn(&T, u64)) {
        for capacity in CAPACITIES {
            let (tx, rx) = chan::bounded(capacity);
            let send = move || (0..40).for_each(|i| tx.send(make(i)).ok().unwrap());
            let sender = gusty::Builder::new().stack_size(16 << 20).spawn(send).unwrap();
            for i in 0..40 {
                check(&rx.recv().unwrap(), i);
            }
            assert!(rx.recv().is_err());
            sender.join().unwrap();
        }
    }
    let all = || {
        run(|_| (), |(), _| ());
        run(Page, |page, i| {
            assert_eq!(page.0, i);
            assert_eq!((&raw const *page).addr() % 4096, 0);
        });
        run(|i| [i; 131_072], |big, i| assert!(big.iter().all(|word| *word == i)));
        run(|i| vec![i.to_string()], |text, i| assert_eq!(text[0], i.to_string()));
    };
    watched("values_of_every_shape_arrive_whole", || {
        thread::Builder::new().stack_size(64 << 20).spawn(all).unwrap().join().unwrap();
    });
}

#[gusty::test]
fn values_in_a_channel_nobody_has_are_dropped_once() {
    for receiver_first in [false, true] {
        for n in [0, 1, 33, 1000] {
            let drops = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = chan::unbounded();
            (0..n).for_each(|_| tx.send(Counted(drops.clone(), false)).ok().unwrap());
            drop(rx.try_recv());
            if receiver_first {
                drop(rx);
                drop(tx);
            } else {
                drop(tx);
                drop(rx);
            }
            assert_eq!(drops.load(Ordering::Relaxed), n);
        }
    }
}

#[test]
fn sizes_and_identity() {
    let (tx, rx) = chan::bounded::<u8>(2);
    assert_eq!((tx.capacity(), rx.capacity()), (Some(2), Some(2)));
    assert!(tx.is_empty() && !tx.is_full());
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert_eq!((tx.len(), rx.len()), (2, 2));
    assert!(tx.is_full() && rx.is_full() && !rx.is_empty());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    let other = chan::bounded::<u8>(0);
    assert!(tx.same_channel(&tx.clone()) && !tx.same_channel(&other.0));
    assert!(rx.same_channel(&rx.clone()) && !rx.same_channel(&other.1));
    assert_eq!((other.0.capacity(), other.0.len()), (Some(0), 0));
    assert!(other.0.is_empty() && other.0.is_full());
    assert_eq!(chan::unbounded::<u8>().0.capacity(), None);
    assert_eq!(
        format!("{tx:?} {rx:?} {:?}", rx.iter()),
        "Sender { .. } Receiver { .. } Iter { .. }"
    );
    drop(tx);
    assert_eq!((&rx).into_iter().chain(rx.clone()).count(), 0);
}

#[test]
fn errors_convert_and_speak() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>(error: E) -> String {
        error.to_string()
    }
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
    assert_eq!(SendTimeoutError::from(SendError(1)), SendTimeoutError::Disconnected(1));
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
    assert!(RecvTimeoutError::Timeout.is_timeout() && TryRecvError::Empty.is_empty());
    let said = [
        is_error(SendError(1)),
        is_error(TrySendError::Full(1)),
        is_error(SendTimeoutError::Timeout(1)),
        is_error(RecvError),
        is_error(TryRecvError::Empty),
        is_error(RecvTimeoutError::Timeout),
    ];
    assert_eq!(said.iter().collect::<HashSet<_>>().len(), said.len());
    assert_eq!(format!("{:?} {:?}", SendError(1), TrySendError::Full(1)), "SendError(..) Full(..)");
}

fn _handles_are_send_and_sync_if_the_values_are_send() {
    fn both<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    both::<Sender<std::cell::Cell<u8>>>();
    both::<Receiver<std::cell::Cell<u8>>>();
}
