//! Job: one program, compiled twice, over `std::thread` and over `gusty::thread`; and the few things
//!   in which the two differ.

mod common;

#[path = "thread_mirror/on_gusty.rs"]
mod on_gusty;
#[path = "thread_mirror/on_std.rs"]
#[allow(clippy::duplicate_mod, reason = "the same program over another module: that is the test")]
mod on_std;

use common::watched;
use gusty::thread;
use std::time::{Duration, Instant};

#[test]
fn over_std() {
    for (name, part) in on_std::program::PARTS {
        watched(name, part);
    }
}

#[test]
fn over_gusty_from_a_plain_thread() {
    for (name, part) in on_gusty::program::PARTS {
        watched(name, part);
    }
}

#[gusty::test]
fn over_gusty_from_a_goroutine() {
    for (_, part) in on_gusty::program::PARTS {
        part();
    }
}

/// Every part beside all others: they share nothing.
#[gusty::test]
fn over_gusty_all_at_once() {
    for _ in 0..3 {
        thread::scope(|s| {
            for (_, part) in on_gusty::program::PARTS {
                s.spawn(part);
            }
        });
    }
}

#[test]
fn a_plain_thread_has_the_name_that_std_knows() {
    let named = std::thread::Builder::new().name("plain".into());
    let name = named.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
    assert_eq!(name.join().unwrap().as_deref(), Some("plain"));
    let after_a_park = std::thread::Builder::new().name("parked".into());
    let name = after_a_park.spawn(|| {
        thread::park_timeout(Duration::ZERO);
        let me = thread::current();
        assert_eq!(me.id(), thread::current().id());
        me.name().map(str::to_owned)
    });
    assert_eq!(name.unwrap().join().unwrap().as_deref(), Some("parked"));
    let nameless = std::thread::spawn(|| thread::current().name().map(str::to_owned));
    assert_eq!(nameless.join().unwrap(), None);
}

#[test]
fn parallelism_is_gomaxprocs() {
    let _alone = common::alone();
    let before = gusty::runtime::gomaxprocs(3);
    assert_eq!(thread::available_parallelism().unwrap().get(), 3);
    gusty::runtime::gomaxprocs(before);
}

#[gusty::test]
fn sleep_until_waits_for_an_instant() {
    let deadline = Instant::now() + Duration::from_millis(2);
    thread::sleep_until(deadline);
    assert!(Instant::now() >= deadline);
    thread::sleep_until(deadline); // in the past
}

/// The identity that `thread()` lends out is the header's own, also while others ask for it first.
#[gusty::test]
fn identities_agree_whoever_asks_first() {
    for _ in 0..500 {
        let handle = thread::spawn(|| thread::current().id());
        let (by_handle, kept) = (handle.thread().id(), handle.goroutine());
        let by_itself = handle.join().unwrap();
        assert_eq!((by_handle, kept.id()), (by_itself, by_itself));
        kept.unpark(); // no effect: it has ended
    }
}
