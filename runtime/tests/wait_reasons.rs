//! Job: a dump says of everybody who waits what for.
//! Not here: the rest of a dump (`procs`).

mod common;

use common::until;
use gusty::chan::{self, Select};
use gusty::context;
use gusty::sync::{
    Arc, Barrier, Condvar, Mutex, Notify, Once, OnceLock, RwLock, Semaphore, WaitGroup,
};
use gusty::time::Duration;

/// Waits until the dump says that `wait` waits for `reason`; then ends its wait with `go_on`.
fn waits<T: Send + 'static>(
    reason: &str,
    wait: impl FnOnce() -> T + Send + 'static,
    go_on: impl FnOnce(),
) {
    let waiter = gusty::spawn(wait);
    let line = format!("goroutine {} [{reason}]", waiter.goroutine().id());
    until(|| gusty::runtime::dump().contains(&line));
    go_on();
    waiter.join().unwrap();
}

#[gusty::test]
fn of_channels_and_selects() {
    let (tx, rx) = chan::bounded(0);
    let (tx2, rx2) = (tx.clone(), rx.clone());
    waits("chan receive", move || rx2.recv().unwrap(), || tx.send(1).unwrap());
    waits("chan send", move || tx2.send(1).unwrap(), || assert_eq!(rx.recv(), Ok(1)));
    let (rx2, rx3) = (rx.clone(), rx);
    let select =
        move || gusty::select! { recv(rx2) -> _ => (), recv(chan::never::<u8>()) -> _ => () };
    waits("select", select, || tx.send(1).unwrap());
    let ready = move || {
        let mut select = Select::new();
        select.recv(&rx3);
        select.ready()
    };
    waits("select", ready, || assert!(tx.close()));
}

#[gusty::test]
fn of_locks() {
    let lock = Arc::new((Mutex::new(()), RwLock::new(())));
    let (a, b, c) = (lock.clone(), lock.clone(), lock.clone());
    let held = lock.0.lock().unwrap();
    waits("sync.Mutex.lock", move || drop(a.0.lock().unwrap()), || drop(held));
    let held = lock.1.write().unwrap();
    waits("sync.RwLock.read", move || drop(b.1.read().unwrap()), || drop(held));
    let held = lock.1.read().unwrap();
    waits("sync.RwLock.write", move || drop(c.1.write().unwrap()), || drop(held));
}

#[gusty::test]
fn of_the_rest_of_sync() {
    let condvar = Arc::new((Mutex::new(()), Condvar::new()));
    let theirs = condvar.clone();
    let wait = move || drop(theirs.1.wait(theirs.0.lock().unwrap()).unwrap());
    waits("sync.Condvar.wait", wait, || condvar.1.notify_one());

    let barrier = Arc::new(Barrier::new(2));
    let theirs = barrier.clone();
    waits(
        "sync.Barrier.wait",
        move || assert!(!theirs.wait().is_leader()),
        || assert!(barrier.wait().is_leader()),
    );

    let once = Arc::new((Once::new(), OnceLock::new()));
    let (a, b) = (once.clone(), once.clone());
    waits("sync.Once.wait", move || a.0.wait(), || once.0.call_once(|| ()));
    waits("sync.Once.wait", move || *b.1.wait(), || once.1.set(1).unwrap());

    let group = Arc::new(WaitGroup::new());
    let theirs = group.clone();
    group.add(1);
    waits("sync.WaitGroup.wait", move || theirs.wait(), || group.done());

    let semaphore = Arc::new(Semaphore::new(0));
    let theirs = semaphore.clone();
    let acquire = move || theirs.acquire().forget();
    waits("sync.Semaphore.acquire", acquire, || semaphore.add_permits(1));

    let notify = Arc::new(Notify::new());
    let theirs = notify.clone();
    waits("sync.Notify.wait", move || theirs.notified(), || notify.notify_one());
}

/// A second node, for the context, does not change what is waited for.
#[gusty::test]
fn of_waits_with_a_limit() {
    let (ctx, cancel) = context::with_cancel(&context::background());
    let (_tx, rx) = chan::bounded::<u8>(0);
    let theirs = ctx.clone();
    let (mut cancel, rx2) = (Some(cancel), rx.clone());
    waits("chan receive", move || rx.recv_ctx(&theirs), || drop(cancel.take()));
    let hour = Duration::from_secs(3600);
    waits("chan receive", move || rx2.recv_timeout(hour), || drop(_tx));
    let (ctx, cancel) = context::with_cancel(&context::background());
    waits("sleep", move || gusty::time::sleep_ctx(&ctx, hour), || drop(cancel));
}
