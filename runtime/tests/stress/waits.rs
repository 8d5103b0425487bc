//! Job: the rounds of a storm that are about waits which something else may end: selects, contexts,
//!   timers, and the locks that others wait for in several ways.
//! Not here: the rounds that need none of that (`rounds`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Rng, until};
use crate::rounds::{Round, Running, somewhere, stumble};
use gusty::chan::{self, Receiver, Select, Sender};
use gusty::context::{self, Context};
use gusty::select;
use gusty::sync::{Condvar, Mutex, Notify, RwLock, Semaphore};
use gusty::time::{self, Timer};

pub(crate) const WAITS: [(&str, Round); 6] = [
    ("selects", selects),
    ("contexts", contexts),
    ("timers", timers),
    ("rwlock", rwlock),
    ("condvar", condvar),
    ("semaphore", semaphore),
];

/// How many operations of these rounds were checked.
pub(crate) static OPERATIONS: AtomicU64 = AtomicU64::new(0);

fn done(operations: usize) {
    OPERATIONS.fetch_add(operations as u64, Ordering::Relaxed);
}

/// Up to so many nanoseconds.
fn moment(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_nanos(rng.next() % most)
}

/// A context that soon ends, by its deadline or by a goroutine, whichever comes first.
fn soon(rng: &mut Rng) -> Context {
    let time = if rng.below(2) == 0 { moment(rng, 50_000) } else { Duration::from_secs(3600) };
    let (ctx, cancel) = context::with_timeout(&context::background(), time);
    let yields = rng.below(8);
    gusty::go!(move || {
        (0..yields).for_each(|_| gusty::yield_now());
        cancel.cancel();
    });
    ctx
}

type Ends = [(Sender<Box<u64>>, Receiver<Box<u64>>); 3];

/// Sends it somewhere, by whatever means.
fn give(ends: &Ends, rng: &mut Rng, value: u64) {
    let [(a, _), (b, _), (c, _)] = ends;
    let value = || Box::new(value);
    loop {
        let sent = match rng.below(5) {
            0 => select! {
                send(a, value()) -> sent => sent.is_ok(),
                send(b, value()) -> sent => sent.is_ok(),
                send(c, value()) -> sent => sent.is_ok(),
            },
            1 => {
                let (mut select, senders) = (Select::new(), [c, a, b]);
                senders.iter().for_each(|tx| assert!(select.send(tx) < 3));
                match select.select_timeout(moment(rng, 30_000)) {
                    Ok(operation) => {
                        let tx = senders[operation.index()];
                        operation.send(tx, value()).is_ok()
                    }
                    Err(_) => false,
                }
            }
            2 => {
                let ctx = soon(rng);
                select! {
                    send(b, value()) -> sent => sent.is_ok(),
                    recv(ctx.done()) -> nothing => nothing.is_ok(),
                }
            }
            3 => c.send_ctx(&soon(rng), value()).is_ok(),
            _ => a.send_timeout(value(), moment(rng, 30_000)).is_ok(),
        };
        if sent {
            return;
        }
    }
}

/// Receives until all are closed and empty: the count and the sum.
fn collect(ends: Ends, rng: &mut Rng) -> (usize, u64) {
    let [a, b, c] = ends.map(|(tx, rx)| {
        drop(tx);
        rx
    });
    let (mut count, mut sum) = (0, 0);
    loop {
        let value = match rng.below(4) {
            0 => select! { recv(a) -> v => v.ok(), recv(b) -> v => v.ok(), recv(c) -> v => v.ok() },
            1 => {
                let (mut select, receivers) = (Select::new(), [&b, &c, &a]);
                receivers.iter().for_each(|rx| assert!(select.recv(rx) < 3));
                let operation = select.select();
                let rx = receivers[operation.index()];
                operation.recv(rx).ok()
            }
            2 => b.recv_ctx(&soon(rng)).ok(),
            _ => select! {
                recv(c) -> v => v.ok(),
                recv(a) -> v => v.ok(),
                default(moment(rng, 30_000)) => None,
            },
        };
        match value {
            Some(value) => (count, sum) = (count + 1, sum + *value),
            // Closed only after the last send: what is there now is all there will be.
            None if [&a, &b, &c].iter().all(|rx| rx.is_closed() && rx.is_empty()) => {
                return (count, sum);
            }
            None => {}
        }
    }
}

/// Everything sent by selects, and beside them, arrives once.
fn selects(rng: &mut Rng) {
    let ends: Ends = [0, 0, 0].map(|_| chan::bounded([0, 0, 1, 3, 50][rng.below(5)]));
    let (senders, messages) = (1 + rng.below(5), rng.below(150));
    let mut sending = Vec::new();
    for sender in 0..senders {
        let (ends, mut theirs) = (ends.clone(), Rng(rng.next()));
        sending.push(somewhere(rng, move || {
            let first = sender * messages;
            (first..first + messages).for_each(|i| give(&ends, &mut theirs, i as u64));
        }));
    }
    let mut receiving = Vec::new();
    for _ in 0..1 + rng.below(5) {
        let (ends, mut theirs) = (ends.clone(), Rng(rng.next()));
        receiving.push(somewhere(rng, move || collect(ends, &mut theirs)));
    }
    sending.into_iter().for_each(Running::join);
    ends.iter().for_each(|(tx, _)| assert!(tx.close()));
    let got = receiving.into_iter().map(Running::join);
    let (count, sum) = got.fold((0, 0), |(n, sum), (m, more)| (n + m, sum + more));
    let all = senders * messages;
    assert_eq!((count, sum), (all, (0..all as u64).sum::<u64>()));
    done(2 * all);
}

/// A random tree of contexts: whoever waits below the one that ends is told why.
fn contexts(rng: &mut Rng) {
    let (root, end) = context::with_cancel(&context::background());
    let mut all = vec![(root, Some(end))];
    for _ in 0..rng.below(20) {
        let above = &all[rng.below(all.len())].0;
        let (below, handle) = context::with_timeout(above, Duration::from_millis(rng.next() % 2));
        all.push((below, Some(handle)));
    }
    let (notify, semaphore) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (begun, mut waiting) = (Arc::new(AtomicUsize::new(0)), Vec::new());
    let (mut owed, mut stoppable) = (0, Vec::new());
    for _ in 0..rng.below(60) {
        let ctx = all[rng.below(all.len())].0.clone();
        let counter = begun.clone();
        let after = context::after_func(&ctx, move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        owed += 1;
        stoppable.push(after);
        let (notify, semaphore, kind) = (notify.clone(), semaphore.clone(), rng.below(5));
        waiting.push(somewhere(rng, move || {
            let hour = Duration::from_secs(3600);
            let error = match kind {
                0 => time::sleep_ctx(&ctx, hour).err(),
                1 => notify.notified_ctx(&ctx).err(),
                2 => semaphore.acquire_ctx(&ctx).err(),
                3 => chan::never::<u8>().recv_ctx(&ctx).err().and_then(|_| ctx.err()),
                _ => ctx.done().recv().err().and_then(|_| ctx.err()),
            };
            assert_eq!(error, ctx.err());
            assert!(error.is_some());
        }));
    }
    let waits = waiting.len();
    for after in stoppable {
        if rng.below(2) == 0 {
            stumble(rng);
            owed -= usize::from(after.stop());
        }
    }
    for _ in 0..rng.below(all.len() + 1) {
        let one = rng.below(all.len());
        drop(all[one].1.take());
        stumble(rng);
    }
    drop(all.swap_remove(0).1); // the root, and with it all
    waiting.into_iter().for_each(Running::join);
    until(|| all.iter().all(|(ctx, _)| ctx.err().is_some())); // another may be just ending one
    until(|| begun.load(Ordering::Relaxed) == owed);
    assert_eq!(semaphore.available_permits(), 0);
    done(2 * waits + all.len());
}

/// Each arming of a timer is received, or run, or taken back: exactly one of these.
fn timers(rng: &mut Rng) {
    let timer = Arc::new(Timer::new(moment(rng, 50_000)));
    let receiving: Vec<_> = (0..1 + rng.below(3))
        .map(|_| {
            let fired = timer.chan().clone();
            somewhere(rng, move || fired.iter().count())
        })
        .collect();
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = runs.clone();
    let func = time::after_func(moment(rng, 50_000), move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let (mut armed, mut back) = ([1, 1], [0, 0]);
    let steps = rng.below(60);
    for _ in 0..steps {
        let soon = moment(rng, 30_000);
        match rng.below(4) {
            0 => back[0] += usize::from(timer.stop()),
            1 => back[1] += usize::from(func.stop()),
            2 => (armed[0], back[0]) = (armed[0] + 1, back[0] + usize::from(timer.reset(soon))),
            _ => (armed[1], back[1]) = (armed[1] + 1, back[1] + usize::from(func.reset(soon))),
        }
        stumble(rng);
    }
    back[0] += usize::from(timer.stop());
    back[1] += usize::from(func.stop());
    drop(timer); // closes its channel
    let received: usize = receiving.into_iter().map(Running::join).sum();
    assert_eq!(received + back[0], armed[0]);
    until(|| runs.load(Ordering::Relaxed) + back[1] >= armed[1]);
    assert_eq!(runs.load(Ordering::Relaxed) + back[1], armed[1]);
    done(steps + armed[0] + armed[1]);
}

/// Halves that only writers change, and readers see equal.
fn rwlock(rng: &mut Rng) {
    let shared = Arc::new((RwLock::new((0_usize, 0_usize)), AtomicUsize::new(0)));
    let (workers, rounds) = (1 + rng.below(8), rng.below(60));
    let mut working = Vec::new();
    for _ in 0..workers {
        let (shared, mut theirs) = (shared.clone(), Rng(rng.next()));
        working.push(somewhere(rng, move || {
            for _ in 0..rounds {
                let time = moment(&mut theirs, 30_000);
                let (lock, kind) = (&shared.0, theirs.below(8));
                let writer = match kind {
                    0 | 1 => Some(lock.write().unwrap()),
                    2 => lock.write_timeout(time).ok(),
                    3 => lock.write_ctx(&soon(&mut theirs)).ok().map(Result::unwrap),
                    _ => None,
                };
                if let Some(mut both) = writer {
                    both.0 += 1;
                    stumble(&mut theirs);
                    both.1 += 1;
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let reader = match kind {
                    4 | 5 => Some(lock.read().unwrap()),
                    6 => lock.read_timeout(time).ok(),
                    7 => lock.read_ctx(&soon(&mut theirs)).ok().map(Result::unwrap),
                    _ => None,
                };
                if let Some(both) = reader {
                    stumble(&mut theirs);
                    assert_eq!(both.0, both.1);
                }
            }
        }));
    }
    working.into_iter().for_each(Running::join);
    let writes = shared.1.load(Ordering::Relaxed);
    assert_eq!(*shared.0.try_write().unwrap(), (writes, writes));
    done(workers * rounds);
}

/// A queue of few places under a mutex, whose users wait with and without limits.
fn condvar(rng: &mut Rng) {
    let queue = Arc::new((Mutex::new((Vec::new(), false)), Condvar::new(), Condvar::new()));
    let (places, producers, items) = (1 + rng.below(4), 1 + rng.below(4), rng.below(100));
    let mut producing = Vec::new();
    for producer in 0..producers {
        let queue = queue.clone();
        producing.push(somewhere(rng, move || {
            for i in 0..items {
                let full = |(items, _): &mut (Vec<u64>, bool)| items.len() >= places;
                let mut state = queue.1.wait_while(queue.0.lock().unwrap(), full).unwrap();
                state.0.push((producer * items + i) as u64);
                queue.2.notify_one();
            }
        }));
    }
    let mut consuming = Vec::new();
    for _ in 0..1 + rng.below(4) {
        let (queue, mut theirs) = (queue.clone(), Rng(rng.next()));
        consuming.push(somewhere(rng, move || {
            let (mut count, mut sum) = (0, 0);
            let mut state = queue.0.lock().unwrap();
            loop {
                if let Some(item) = state.0.pop() {
                    (count, sum) = (count + 1, sum + item);
                    queue.1.notify_one();
                } else if state.1 {
                    return (count, sum);
                } else {
                    state = match theirs.below(3) {
                        0 => queue.2.wait(state).unwrap(),
                        1 => queue.2.wait_timeout(state, moment(&mut theirs, 40_000)).unwrap().0,
                        _ => queue.2.wait_ctx(state, &soon(&mut theirs)).unwrap().0,
                    };
                }
            }
        }));
    }
    producing.into_iter().for_each(Running::join);
    queue.0.lock().unwrap().1 = true;
    queue.2.notify_all();
    let got = consuming.into_iter().map(Running::join);
    let (count, sum) = got.fold((0, 0), |(n, sum), (m, more)| (n + m, sum + more));
    let all = producers * items;
    assert_eq!((count, sum), (all, (0..all as u64).sum::<u64>()));
    done(2 * all);
}

/// Never more permits in use than there are, and all of them back in the end.
fn semaphore(rng: &mut Rng) {
    let permits = 1 + rng.below(5);
    let shared = Arc::new((Semaphore::new(permits), AtomicUsize::new(0)));
    let (workers, rounds) = (1 + rng.below(10), rng.below(60));
    let mut working = Vec::new();
    for _ in 0..workers {
        let (shared, mut theirs) = (shared.clone(), Rng(rng.next()));
        working.push(somewhere(rng, move || {
            let (semaphore, used) = &*shared;
            for _ in 0..rounds {
                let n = 1 + theirs.below(permits);
                let permit = match theirs.below(4) {
                    0 => semaphore.try_acquire_many(n),
                    1 => semaphore.acquire_many_timeout(n, moment(&mut theirs, 40_000)),
                    2 => semaphore.acquire_many_ctx(&soon(&mut theirs), n).ok(),
                    _ => Some(semaphore.acquire_many(n)),
                };
                if let Some(permit) = permit {
                    assert!(used.fetch_add(n, Ordering::SeqCst) + n <= permits);
                    stumble(&mut theirs);
                    used.fetch_sub(n, Ordering::SeqCst);
                    drop(permit);
                }
            }
        }));
    }
    working.into_iter().for_each(Running::join);
    assert_eq!((shared.0.available_permits(), shared.1.load(Ordering::SeqCst)), (permits, 0));
    done(workers * rounds);
}
