//! Job: channels: what they carry and what becomes of it: shapes, drops, errors, handles.

mod common;

use common::watched;
use gusty::chan::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(2);
const CAPACITIES: [usize; 6] = [0, 1, 2, 64, 1000, usize::MAX];

/// Counts drops; panics in the one it is told to.
struct Counted(Arc<AtomicUsize>, bool);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(!self.1, "a destructor that panics");
    }
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
    gusty::yield_now();
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
