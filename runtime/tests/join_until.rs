//! Job: `join_timeout` and `join_ctx`: the value if it comes first, the handle back if not.

mod common;

use common::{Drops, Rng, alone, scaled, watched};
use gusty::chan;
use gusty::context::{background, with_cancel, with_timeout};
use gusty::time::Duration;
use std::thread;

const LONG: Duration = Duration::from_secs(3600);

fn micros(n: usize) -> Duration {
    Duration::from_micros(n as u64)
}

#[test]
fn the_value_the_panic_or_the_handle() {
    fn scenario() {
        assert_eq!(gusty::spawn(|| 7).join_timeout(LONG).unwrap().unwrap(), 7);
        assert_eq!(gusty::spawn(|| 7).join_ctx(&background()).unwrap().unwrap(), 7);
        let panicked = gusty::spawn(|| panic!("a panic on purpose")).join_timeout(Duration::MAX);
        assert!(panicked.unwrap().is_err());

        let (tx, rx) = chan::bounded(0);
        let mut handle = gusty::spawn(move || rx.recv());
        for us in [0, 1, 300] {
            handle = handle.join_timeout(micros(us)).unwrap_err();
        }
        let (ctx, cancel) = with_cancel(&background());
        gusty::go!(move || cancel.cancel());
        handle = handle.join_ctx(&ctx).unwrap_err();
        handle = handle.join_ctx(&ctx).unwrap_err();
        let (ctx, _cancel) = with_timeout(&background(), micros(200));
        handle = handle.join_ctx(&ctx).unwrap_err();
        tx.send(9).unwrap();
        assert_eq!(handle.join().unwrap(), Ok(9));

        // What has ended is joined even if there is no time, but not for a context that has ended.
        let handle = gusty::spawn(|| 5);
        common::until(|| handle.is_finished());
        let handle = handle.join_ctx(&ctx).unwrap_err();
        assert_eq!(handle.join_ctx(&background()).unwrap().unwrap(), 5);
        let handle = gusty::spawn(|| 6);
        common::until(|| handle.is_finished());
        assert_eq!(handle.join_timeout(Duration::ZERO).unwrap().unwrap(), 6);
    }
    watched("the_value_the_panic_or_the_handle", || {
        gusty::spawn(scenario).join().unwrap();
        thread::spawn(scenario).join().unwrap();
    });
}

#[test]
fn ends_that_race_with_deadlines() {
    fn races(seed: u64) {
        let mut rng = Rng(seed);
        let drops = Drops::new();
        let n = scaled(500);
        for i in 0..n {
            let (nap, limit) = (micros(rng.below(60)), micros(rng.below(60)));
            let tracker = drops.tracker();
            let mut handle = gusty::spawn(move || {
                gusty::sleep(nap);
                tracker
            });
            let (ctx, _cancel) = with_timeout(&background(), limit);
            let joined = loop {
                let tried = match i % 3 {
                    0 if ctx.err().is_none() => handle.join_ctx(&ctx),
                    _ => handle.join_timeout(limit),
                };
                match tried {
                    Ok(result) => break Some(result.unwrap()),
                    Err(back) if i % 4 == 0 => {
                        drop(back); // detached
                        break None;
                    }
                    Err(back) => handle = back,
                }
                gusty::yield_now();
            };
            drop(joined);
        }
        common::until(|| drops.count() == n);
    }
    let _alone = alone();
    watched("ends_that_race_with_deadlines", || {
        let before = gusty::runtime::gomaxprocs(0);
        for procs in [1, 2, 4, 8, 64] {
            gusty::runtime::gomaxprocs(procs);
            let users: Vec<_> = (0..8).map(|i| gusty::spawn(move || races(i))).collect();
            let thread = thread::spawn(|| races(99));
            users.into_iter().for_each(|user| user.join().unwrap());
            thread.join().unwrap();
        }
        gusty::runtime::gomaxprocs(before);
    });
}
