//! Job: contexts: how an end spreads, what it says, what deadlines and values do, and storms of
//!   ends; from goroutines, from plain threads and from both.

mod common;

use common::{Drops, Rng, alone, scaled, watched};
use gusty::chan::TryRecvError;
use gusty::context::{
    self, CancelHandle, Context, Error, background, with_cancel, with_deadline,
    with_deadline_cause, with_timeout, with_timeout_cause, with_value, without_cancel,
};
use gusty::time::{Duration, Instant, sleep_ctx};
use std::io;
use std::sync::Arc;
use std::thread;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_micros(300);
const PROCS: [usize; 5] = [1, 2, 4, 8, 64];

fn open(ctx: &Context) -> bool {
    let open = ctx.err().is_none();
    assert_eq!(ctx.done().try_recv() == Err(TryRecvError::Empty), open);
    assert_eq!(ctx.cause().is_none(), open);
    open
}

fn cause(ctx: &Context) -> String {
    ctx.cause().unwrap().to_string()
}

#[gusty::test]
fn what_never_ends() {
    for ctx in [background(), context::todo(), Context::default(), with_value(&background(), 1)] {
        assert!(open(&ctx));
        assert_eq!(ctx.deadline(), None);
        assert!(!ctx.done().is_closed());
    }
    assert_eq!(format!("{:?}", background()), "Context { err: None, deadline: None, .. }");
}

#[gusty::test]
fn an_error_says_what_happened() {
    assert_eq!(Error::Cancelled.to_string(), "context cancelled");
    assert_eq!(Error::DeadlineExceeded.to_string(), "context deadline exceeded");
    assert!(Error::DeadlineExceeded.is_timeout() && !Error::Cancelled.is_timeout());
    assert_eq!(io::Error::from(Error::DeadlineExceeded).kind(), io::ErrorKind::TimedOut);
    assert_eq!(io::Error::from(Error::Cancelled).kind(), io::ErrorKind::Other);
}

/// Row 94.
#[test]
fn an_end_reaches_all_below_and_none_above() {
    fn scenario() {
        let (root, _root) = with_cancel(&background());
        let (middle, cancel) = with_cancel(&with_value(&root, "a value"));
        let (leaf, _leaf) = with_timeout(&with_value(&middle, 7_u8), LONG);
        let (sibling, _sibling) = with_cancel(&root);
        let done = leaf.done();
        assert!([&root, &middle, &leaf, &sibling].into_iter().all(open));
        cancel.cancel();
        assert!(!open(&middle) && !open(&leaf));
        assert!(open(&root) && open(&sibling));
        assert!(done.is_closed() && done.same_channel(&leaf.done()));
        assert_eq!((leaf.value::<u8>(), leaf.value::<&str>()), (Some(&7), Some(&"a value")));
        cancel.cancel(); // once more does nothing
        cancel.cancel_with("too late");
        assert_eq!(cause(&leaf), "context cancelled");
        let (late, _late) = with_timeout(&leaf, LONG);
        assert!(!open(&late));
    }
    watched("an_end_reaches_all_below_and_none_above", || {
        gusty::spawn(scenario).join().unwrap();
        thread::spawn(scenario).join().unwrap();
    });
}

#[gusty::test]
fn dropping_the_handle_ends_the_context() {
    let (ctx, cancel) = with_cancel(&background());
    let (below, keep) = with_cancel(&ctx);
    drop(cancel);
    assert_eq!((ctx.err(), below.err()), (Some(Error::Cancelled), Some(Error::Cancelled)));
    drop(keep);
}

#[gusty::test]
fn the_cause_is_of_who_came_first() {
    let (root, cancel_root) = with_cancel(&background());
    let (early, cancel_early) = with_cancel(&root);
    let (late, _late) = with_timeout_cause(&root, LONG, "too slow");
    cancel_early.cancel_with(io::Error::other("disk full"));
    cancel_root.cancel_with("shut down");
    assert_eq!(
        (cause(&early), cause(&late), cause(&root)),
        ("disk full".into(), "shut down".into(), "shut down".into())
    );
    assert!(early.cause().unwrap().downcast_ref::<io::Error>().is_some());
    assert!(Arc::ptr_eq(&late.cause().unwrap(), &root.cause().unwrap()));
    let (below, _below) = with_cancel(&early);
    assert_eq!(cause(&below), "disk full");
}

/// Row 95.
#[test]
fn deadlines() {
    fn scenario() {
        let begin = Instant::now();
        let (ctx, _cancel) = with_timeout(&background(), SHORT);
        assert!(ctx.deadline().unwrap() >= begin + SHORT);
        assert!(ctx.done().recv().is_err());
        assert!(Instant::now() >= begin + SHORT, "not before its time");
        assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
        assert_eq!(cause(&ctx), "context deadline exceeded");

        let past = Instant::now();
        let (ctx, _cancel) = with_deadline(&background(), past);
        assert_eq!((ctx.err(), ctx.deadline()), (Some(Error::DeadlineExceeded), Some(past)));
        let (ctx, _cancel) = with_deadline_cause(&background(), past, "closed");
        assert_eq!(cause(&ctx), "closed");
        let (ctx, _cancel) = with_timeout_cause(&background(), SHORT, "too slow");
        assert!(sleep_ctx(&ctx, LONG).is_err());
        assert_eq!((ctx.err(), cause(&ctx)), (Some(Error::DeadlineExceeded), "too slow".into()));

        let (ctx, cancel) = with_timeout(&background(), LONG);
        cancel.cancel();
        assert_eq!(ctx.err(), Some(Error::Cancelled), "cancelled before its deadline");
        let (ctx, _cancel) = with_timeout(&background(), Duration::MAX);
        assert!(open(&ctx));
        assert_eq!(ctx.deadline(), None);
    }
    watched("deadlines", || {
        gusty::spawn(scenario).join().unwrap();
        thread::spawn(scenario).join().unwrap();
    });
}

/// Row 95: the earlier deadline counts, wherever it is.
#[gusty::test]
fn layers_of_deadlines() {
    let (outer, _outer) = with_timeout(&background(), SHORT);
    let (inner, _inner) = with_timeout(&with_cancel(&outer).0, LONG);
    drop((outer.clone(), inner));
    let (inner, _inner) = with_timeout_cause(&with_value(&outer, 1), LONG, "the wrong one");
    assert_eq!(inner.deadline(), outer.deadline());
    assert_eq!(sleep_ctx(&inner, Duration::MAX), Err(Error::DeadlineExceeded));
    assert_eq!(cause(&inner), "context deadline exceeded");

    let (outer, _outer) = with_timeout(&background(), LONG);
    let (inner, _inner) = with_timeout(&outer, SHORT);
    assert!(inner.deadline() < outer.deadline());
    assert!(inner.done().recv().is_err());
    assert!(open(&outer));
}

#[gusty::test]
fn values_are_found_by_type_and_the_nearest_wins() {
    #[derive(PartialEq, Debug)]
    struct User(u32);
    let drops = Drops::new();
    let tracked = with_value(&background(), drops.tracker());
    let ctx = with_value(&with_value(&tracked, User(1)), "text");
    let inner = with_value(&ctx, User(2));
    assert_eq!((ctx.value(), inner.value()), (Some(&User(1)), Some(&User(2))));
    assert_eq!((inner.value::<&str>(), inner.value::<String>()), (Some(&"text"), None));
    drop((tracked, ctx));
    assert_eq!(drops.count(), 0);
    let (below, cancel) = with_cancel(&inner);
    drop(inner);
    let kept = without_cancel(&below);
    cancel.cancel();
    assert!(!open(&below) && open(&kept));
    assert_eq!((kept.value(), kept.deadline()), (Some(&User(2)), None));
    drop(below);
    assert_eq!(drops.count(), 0);
    drop(kept);
    assert_eq!(drops.count(), 1);
}

/// Trees as deep as memory allows: ended and freed without recursion.
#[gusty::test]
fn deep_trees() {
    let depth = scaled(100_000);
    for deadline in [false, true] {
        let (root, cancel) = with_cancel(&background());
        let mut line: Vec<(Context, CancelHandle)> = Vec::new();
        let mut last = root;
        for i in 0..depth {
            let ctx = with_value(&last, i);
            line.push(if deadline && i == 0 {
                with_timeout(&ctx, LONG)
            } else {
                with_cancel(&ctx)
            });
            last = line[i].0.clone();
        }
        cancel.cancel();
        assert!(line.iter().all(|(ctx, _)| ctx.err() == Some(Error::Cancelled)));
        line.drain(..).for_each(|(ctx, cancel)| drop((cancel, ctx)));
        drop(last); // all of them
    }
}

/// A wide tree with a goroutine in each leaf.
#[test]
fn a_storm_of_waiters() {
    let _alone = alone();
    watched("a_storm_of_waiters", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in PROCS {
            gusty::runtime::gomaxprocs(procs);
            let (root, cancel) = with_cancel(&background());
            let waiters: Vec<_> = (0..scaled(5_000))
                .map(|i| {
                    let (ctx, below) = match i % 4 {
                        0 => with_timeout(&root, LONG),
                        1 => with_timeout(&root, SHORT * (i as u32 % 50)),
                        _ => with_cancel(&root),
                    };
                    gusty::spawn(move || {
                        let ended = match i % 3 {
                            0 => ctx.done().recv().is_err(),
                            1 => sleep_ctx(&ctx, LONG).is_err(),
                            _ => sleep_ctx(&ctx, SHORT * 20).is_err() || ctx.done().recv().is_err(),
                        };
                        drop(below);
                        assert!(ctx.err().is_some());
                        ended
                    })
                })
                .collect();
            let thread = {
                let root = root.clone();
                thread::spawn(move || sleep_ctx(&root, LONG))
            };
            gusty::sleep(SHORT * (procs as u32)); // some have ended, some wait, some will
            cancel.cancel();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
            assert_eq!(thread.join().unwrap(), Err(Error::Cancelled));
        }
        gusty::runtime::gomaxprocs(before);
    });
}

/// Row 96: ends from everywhere at the same moment; all agree on one cause.
#[test]
fn simultaneous_ends() {
    let _alone = alone();
    watched("simultaneous_ends", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in PROCS {
            gusty::runtime::gomaxprocs(procs);
            for round in 0..scaled(200) as u64 {
                race(round);
            }
        }
        gusty::runtime::gomaxprocs(before);
    });
}

fn race(seed: u64) {
    let mut rng = Rng(seed);
    let (root, cancel) = with_timeout(&background(), Duration::from_micros(rng.below(100) as u64));
    let cancel = Arc::new(cancel);
    let mut contexts = vec![root.clone()];
    let mut handles = Vec::new();
    for _ in 0..30 {
        let parent = contexts[rng.below(contexts.len())].clone();
        let (ctx, handle) = match rng.below(3) {
            0 => with_timeout(&parent, Duration::from_micros(rng.below(80) as u64)),
            _ => with_cancel(&parent),
        };
        contexts.push(ctx);
        handles.push(handle);
    }
    let contexts = Arc::new(contexts);
    let observers: Vec<_> = (0..4)
        .map(|i| {
            let (contexts, cancel) = (contexts.clone(), cancel.clone());
            gusty::spawn(move || {
                let mut rng = Rng(i);
                for _ in 0..40 {
                    let ctx = &contexts[rng.below(contexts.len())];
                    match rng.below(4) {
                        0 => drop(with_cancel(ctx)),
                        1 => drop(with_timeout(ctx, LONG)),
                        2 => drop(context::after_func(ctx, || ())),
                        // Who finds the channel closed finds an error, and the other way round.
                        _ if ctx.done().is_closed() => assert!(ctx.err().is_some()),
                        _ => {
                            let ended = ctx.err().is_some();
                            assert!(!ended || ctx.done().is_closed());
                        }
                    }
                }
                cancel.cancel_with(format!("observer {i}"));
            })
        })
        .collect();
    let dropper = thread::spawn(move || handles.into_iter().for_each(drop));
    observers.into_iter().for_each(|observer| observer.join().unwrap());
    dropper.join().unwrap();
    assert!(!open(&root), "cancel has returned");
    assert!(contexts.iter().all(|ctx| ctx.err().is_some()), "whoever ended them");
    let (first, again) = (root.cause().unwrap(), root.cause().unwrap());
    assert_eq!(first.to_string(), again.to_string());
}

/// Who cancels may rely on it for all below, also if others have begun to end a part of them.
#[test]
fn a_cancel_returns_when_all_below_have_ended() {
    let _alone = alone();
    watched("a_cancel_returns_when_all_below_have_ended", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in PROCS {
            gusty::runtime::gomaxprocs(procs);
            for round in 0..scaled(100) {
                ends_meet(round % 4);
            }
        }
        gusty::runtime::gomaxprocs(before);
    });
}

/// Ends of the root, of the middle twice, and of one leaf race; `threads` of them on threads.
fn ends_meet(threads: usize) {
    let (root, end_root) = with_cancel(&background());
    let (middle, end_middle) = with_cancel(&root);
    let end_middle = Arc::new(end_middle);
    let mut leaves = vec![with_cancel(&middle)];
    for i in 0..100 {
        let above = leaves[i / 2].0.clone();
        leaves.push(with_cancel(&above));
    }
    let (contexts, mut handles): (Vec<_>, Vec<_>) = leaves.into_iter().unzip();
    let (contexts, one) = (Arc::new(contexts), handles.swap_remove(20));
    let enders: [Box<dyn FnOnce() + Send>; 4] = [
        Box::new(move || end_root.cancel()),
        Box::new({
            let end_middle = end_middle.clone();
            move || end_middle.cancel()
        }),
        Box::new(move || end_middle.cancel()),
        Box::new(move || one.cancel()),
    ];
    let mut on_threads = Vec::new();
    let mut on_goroutines = Vec::new();
    for (i, ender) in enders.into_iter().enumerate() {
        let contexts = contexts.clone();
        let run = move || {
            ender();
            let below = if i < 3 { &contexts[..] } else { &contexts[20..21] };
            assert!(below.iter().all(|ctx| ctx.err().is_some()), "ender {i} has returned");
        };
        if i < threads {
            on_threads.push(thread::spawn(run));
        } else {
            on_goroutines.push(gusty::spawn(run));
        }
    }
    on_goroutines.into_iter().for_each(|one| one.join().unwrap());
    on_threads.into_iter().for_each(|one| one.join().unwrap());
    drop(handles);
}
