//! Job: what the test suite of marl checks and applies here, all of it with 1, 2, 4, 8 and 64 Ps, from
//!   a goroutine and from a plain thread (its "0 workers"). (Its condition variables are with
//!   those of may, `peers_may_locks`.)

mod common;

use common::{alone, scaled, until, watched};
use gusty::chan;
use gusty::spawn;
use gusty::sync::{Notify, Pool, Semaphore, WaitGroup};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(1);

/// Runs `f` with every number of Ps, on a plain thread and on a goroutine.
fn sweep(name: &str, f: fn()) {
    let _alone = alone();
    watched(name, || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            f();
            spawn(f).join().unwrap();
        }
        gusty::runtime::gomaxprocs(before);
    });
}

/// An event that stays set: a channel that is closed.
fn manual_event() -> (chan::Sender<()>, chan::Receiver<()>) {
    chan::bounded(0)
}

/// scheduler: every task runs, also those that tasks start; parked ones come back.
#[test]
fn scheduler_tasks() {
    sweep("scheduler_tasks", || {
        let (group, count) = (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = manual_event();
        for i in 0..100 {
            let (inner, count, gate) = (group.clone(), count.clone(), gate.clone());
            group.go(move || {
                if i % 3 == 0 {
                    gate.recv().unwrap_err(); // a pending fiber, until the event
                }
                let count = count.clone();
                inner.go(move || count.fetch_add(1, Ordering::Relaxed));
            });
        }
        open.close();
        group.wait();
        assert_eq!(count.load(Ordering::Relaxed), 100);
    });
}

/// scheduler: tasks run on the workers' threads, never on that of who waits for them.
#[test]
fn tasks_run_on_workers_only() {
    fn thread() -> i32 {
        // SAFETY: no preconditions.
        unsafe { libc::gettid() }
    }
    sweep("tasks_run_on_workers_only", || {
        let (here, is_thread) = (thread(), !gusty::is_goroutine());
        let group = Arc::new(WaitGroup::new());
        for _ in 0..100 {
            group.go(move || {
                for _ in 0..3 {
                    assert!(!is_thread || thread() != here);
                    gusty::yield_now();
                }
            });
        }
        group.wait();
    });
}

/// event, any: of several events the first that is set ends the wait; those that were set stay so.
#[test]
fn event_any() {
    sweep("event_any", || {
        for first in 0..3 {
            let (setters, events): (Vec<_>, Vec<_>) = (0..3).map(|_| manual_event()).unzip();
            let waiter = events.clone();
            let any = spawn(move || {
                let mut select = chan::Select::new();
                for event in &waiter {
                    select.recv(event);
                }
                select.ready()
            });
            setters[first].close();
            assert_eq!(any.join().unwrap(), first);
            let set: Vec<_> = (0..3).filter(|&i| events[i].is_closed()).collect();
            assert_eq!(set, [first]);
        }
    });
}

/// event, wait_for and wait_until: a wait ends with the event or with its time, and says which.
#[test]
fn event_timeouts() {
    sweep("event_timeouts", || {
        let (set, event) = manual_event();
        assert_eq!(event.recv_timeout(SHORT), Err(chan::RecvTimeoutError::Timeout));
        let soon = std::time::Instant::now() + SHORT;
        assert_eq!(event.recv_deadline(soon), Err(chan::RecvTimeoutError::Timeout));
        let setter = spawn(move || set.close());
        let ended = Err(chan::RecvTimeoutError::Disconnected);
        assert_eq!(event.recv_timeout(Duration::MAX), ended);
        assert_eq!(event.recv_deadline(soon), ended, "it stays set");
        assert!(setter.join().unwrap());
    });
}

/// event, auto: one wake-up for each signal; the signal of nobody is kept.
#[test]
fn event_auto() {
    sweep("event_auto", || {
        let (event, passed) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        assert!(!event.notified_timeout(Duration::ZERO));
        let group = Arc::new(WaitGroup::new());
        for _ in 0..3 {
            let (event, passed) = (event.clone(), passed.clone());
            group.go(move || {
                event.notified();
                passed.fetch_add(1, Ordering::SeqCst);
            });
        }
        for i in 1..=3 {
            event.notify_one();
            until(|| passed.load(Ordering::SeqCst) == i);
        }
        group.wait();
        assert!(!event.notified_timeout(SHORT));
        event.notify_one();
        assert!(event.notified_timeout(Duration::MAX));
    });
}

/// event, manual: once set, it is set for all, before and after.
#[test]
fn event_manual() {
    sweep("event_manual", || {
        let (set, event) = manual_event();
        assert!(event.recv_timeout(SHORT).unwrap_err().is_timeout());
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let event = event.clone();
                spawn(move || event.recv())
            })
            .collect();
        set.close();
        waiters.into_iter().for_each(|waiter| assert!(waiter.join().unwrap().is_err()));
        assert!(event.recv_timeout(SHORT).unwrap_err().is_disconnected());
    });
}

/// event, sequence: each task waits for the event that the one before it sets.
#[test]
fn event_sequence() {
    sweep("event_sequence", || {
        let events: Arc<Vec<Notify>> = Arc::new((0..=100).map(|_| Notify::new()).collect());
        let order = Arc::new(AtomicUsize::new(0));
        for i in (0..100).rev() {
            let (events, order) = (events.clone(), order.clone());
            gusty::go!(move || {
                events[i].notified();
                assert_eq!(order.fetch_add(1, Ordering::Relaxed), i);
                events[i + 1].notify_one();
            });
        }
        events[0].notify_one();
        events[100].notified();
        assert_eq!(order.load(Ordering::Relaxed), 100);
    });
}

/// event, stress: set and waited for at the same moment, over and over.
#[test]
fn event_stress() {
    sweep("event_stress", || {
        for _ in 0..scaled(300) {
            let event = Arc::new(Notify::new());
            let theirs = event.clone();
            let setter = spawn(move || theirs.notify_one());
            event.notified();
            setter.join().unwrap();
        }
    });
}

/// waitgroup: done by one task, by many.
#[test]
fn waitgroup() {
    sweep("waitgroup", || {
        for n in [1, 10, 500] {
            let (group, count) = (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)));
            group.add(n);
            for _ in 0..n {
                let (group, count) = (group.clone(), count.clone());
                gusty::go!(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    group.done();
                });
            }
            group.wait();
            assert_eq!(count.load(Ordering::Relaxed), n);
        }
    });
}

/// ticket: turns are taken in the order of the tickets, whatever the order of the tasks.
#[test]
fn ticket() {
    sweep("ticket", || {
        let turns: Vec<Notify> = (0..=50).map(|_| Notify::new()).collect();
        let turn = AtomicUsize::new(0);
        gusty::scope(|s| {
            for i in (0..50).rev() {
                let (turns, turn) = (&turns, &turn);
                s.spawn(move || {
                    turns[i].notified();
                    assert_eq!(turn.fetch_add(1, Ordering::Relaxed), i);
                    turns[i + 1].notify_one();
                });
            }
            turns[0].notify_one();
        });
        assert_eq!(turn.into_inner(), 50);
    });
}

/// dag: chains, fan-out, fan-in: a node runs once, after all it depends on.
#[test]
fn dag() {
    sweep("dag", || {
        let groups: Vec<WaitGroup> = (0..3).map(|_| WaitGroup::new()).collect();
        let seen: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        groups.iter().for_each(|group| group.add(20));
        gusty::scope(|s| {
            for layer in (0..3).rev() {
                for _ in 0..20 {
                    let (groups, seen) = (&groups, &seen);
                    s.spawn(move || {
                        if layer > 0 {
                            groups[layer - 1].wait();
                            assert_eq!(seen[layer - 1].load(Ordering::Relaxed), 20);
                        }
                        seen[layer].fetch_add(1, Ordering::Relaxed);
                        groups[layer].done();
                    });
                }
            }
        });
        assert_eq!(seen[2].load(Ordering::Relaxed), 20);
    });
}

/// pool, bounded and unbounded: at most so many lent, waiting for one; values destroyed once.
#[test]
fn pool() {
    sweep("pool", || {
        let (objects, places) = (Pool::new(|| Box::new(0_usize)), Semaphore::new(3));
        let lent = AtomicUsize::new(0);
        gusty::scope(|s| {
            for _ in 0..60 {
                s.spawn(|| {
                    let _place = places.acquire();
                    let mut object = objects.guard();
                    assert!(lent.fetch_add(1, Ordering::SeqCst) < 3);
                    gusty::yield_now();
                    **object += 1;
                    lent.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        let uses: usize = (0..objects.len()).map(|_| *objects.get()).sum();
        assert!(uses <= 60 && places.available_permits() == 3);
    });
}

/// blockingcall: what blocks a thread is done by a thread, and the goroutine waits for it.
#[test]
fn blocking_call() {
    sweep("blocking_call", || {
        let handles: Vec<_> = (0..10)
            .map(|i| {
                spawn(move || {
                    let (tx, rx) = chan::bounded(1);
                    std::thread::spawn(move || {
                        std::thread::sleep(SHORT);
                        tx.send(i)
                    });
                    rx.recv().unwrap()
                })
            })
            .collect();
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), i);
        }
    });
}

/// parallelize: several functions at once, back when all are done.
#[test]
fn parallelize() {
    sweep("parallelize", || {
        let done = AtomicUsize::new(0);
        gusty::scope(|s| {
            for bit in 0..3 {
                let done = &done;
                s.spawn(move || done.fetch_or(1 << bit, Ordering::Relaxed));
            }
        });
        assert_eq!(done.into_inner(), 0b111);
    });
}

/// osfiber, StackAlignment: a goroutine's stack is aligned as the ABI wants it, wherever it began.
#[test]
fn stack_alignment() {
    sweep("stack_alignment", || {
        #[repr(align(16))]
        struct Aligned([u8; 16]);
        for _ in 0..20 {
            let aligned = spawn(|| {
                let value = Aligned([7; 16]);
                let at = std::hint::black_box(&raw const value).addr();
                at.is_multiple_of(16) && value.0[3] == 7
            });
            assert!(aligned.join().unwrap());
        }
    });
}
