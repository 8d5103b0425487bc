//! Job: what may's suite checks of its semaphore, flag, wait group and barrier, from goroutines, plain
//!   threads and both, with 1, 2, 4, 8 and 64 Ps. Its flag, which is set once, is a `OnceLock` here;
//!   cancelling a coroutine is ending the context that it waits with.

mod common;
#[path = "peers_may/crew.rs"]
mod crew;

use crew::{LONG, SHORT, cases, linger};
use gusty::chan::{self, TryRecvError};
use gusty::context::{self, Error};
use gusty::sync::{Arc, Barrier, OnceLock, Semaphore, WaitGroup};

const HELPERS: usize = 10;

#[test]
fn a_permit_from_elsewhere_ends_a_wait() {
    cases("a_permit_from_elsewhere_ends_a_wait", |crew| {
        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = semaphore.clone();
        let giver = crew.spawn(move || theirs.add_permits(1));
        semaphore.acquire().forget();
        giver.join();
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn as_many_pass_as_there_are_permits() {
    cases("as_many_pass_as_there_are_permits", |crew| {
        let semaphore = Arc::new(Semaphore::new(HELPERS / 2));
        let (tx, rx) = chan::unbounded();
        for i in 0..HELPERS {
            let (semaphore, tx) = (semaphore.clone(), tx.clone());
            crew.spawn(move || {
                semaphore.acquire().forget();
                tx.send(i).unwrap();
            });
        }
        drop(tx);
        let mut passed: Vec<_> = rx.iter().take(HELPERS / 2).collect();
        linger();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        (0..HELPERS / 2).for_each(|_| semaphore.add_permits(1));
        passed.extend(rx);
        passed.sort_unstable();
        assert!(passed.into_iter().eq(0..HELPERS));
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn who_is_called_off_takes_no_permit_along() {
    cases("who_is_called_off_takes_no_permit_along", |crew| {
        let semaphore = Arc::new(Semaphore::new(0));
        let (ctx, cancel) = context::with_cancel(&context::background());
        let theirs = semaphore.clone();
        let gives_up = crew.spawn(move || theirs.acquire_ctx(&ctx).map(|permit| permit.forget()));
        linger();
        let theirs = semaphore.clone();
        let next = crew.spawn(move || theirs.acquire().forget());
        linger();
        cancel.cancel();
        assert_eq!(gives_up.join(), Err(Error::Cancelled));
        semaphore.add_permits(1);
        next.join();
    });
}

#[test]
fn who_runs_out_of_time_takes_no_permit_along() {
    cases("who_runs_out_of_time_takes_no_permit_along", |crew| {
        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = semaphore.clone();
        let gives_up = crew.spawn(move || theirs.acquire_timeout(SHORT).is_none());
        let theirs = semaphore.clone();
        let next = crew.spawn(move || theirs.acquire().forget());
        assert!(gives_up.join());
        semaphore.add_permits(1);
        next.join();
    });
}

#[test]
fn a_flag_is_seen_by_all_also_by_who_set_it() {
    cases("a_flag_is_seen_by_all_also_by_who_set_it", |crew| {
        let flag = Arc::new(OnceLock::new());
        let theirs = flag.clone();
        let setter = crew.spawn(move || {
            theirs.set(()).unwrap();
            theirs.wait();
        });
        let theirs = flag.clone();
        let other = crew.spawn(move || *theirs.wait());
        flag.wait();
        setter.join();
        other.join();
        assert!(flag.set(()).is_err(), "set for good");
    });
}

#[test]
fn who_is_called_off_leaves_the_flag_to_others() {
    cases("who_is_called_off_leaves_the_flag_to_others", |crew| {
        let flag = Arc::new(OnceLock::new());
        let (ctx, cancel) = context::with_cancel(&context::background());
        let theirs = flag.clone();
        let gives_up = crew.spawn(move || theirs.wait_ctx(&ctx).copied());
        linger();
        let theirs = flag.clone();
        let stays = crew.spawn(move || *theirs.wait());
        cancel.cancel();
        assert_eq!(gives_up.join(), Err(Error::Cancelled));
        flag.set(5).unwrap();
        assert_eq!(stays.join(), 5);
    });
}

#[test]
fn who_runs_out_of_time_leaves_the_flag_to_others() {
    cases("who_runs_out_of_time_leaves_the_flag_to_others", |crew| {
        let flag = Arc::new(OnceLock::new());
        let theirs = flag.clone();
        let gives_up = crew.spawn(move || theirs.wait_timeout(SHORT).is_none());
        let theirs = flag.clone();
        let stays = crew.spawn(move || theirs.wait_timeout(LONG).copied());
        assert!(gives_up.join());
        flag.set(6).unwrap();
        assert_eq!(stays.join(), Some(6));
    });
}

#[test]
fn members_of_a_group_wait_for_each_other() {
    cases("members_of_a_group_wait_for_each_other", |crew| {
        let group = Arc::new(WaitGroup::new());
        let (tx, rx) = chan::unbounded();
        group.add(HELPERS + 1);
        for _ in 0..HELPERS {
            let (group, tx) = (group.clone(), tx.clone());
            crew.spawn(move || {
                group.done();
                group.wait();
                tx.send(()).unwrap();
            });
        }
        drop(tx);
        linger();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "one is missing");
        group.done();
        group.wait();
        assert_eq!(rx.iter().count(), HELPERS);
    });
}

#[test]
fn one_group_holds_another_back() {
    cases("one_group_holds_another_back", |crew| {
        let (ended, gate) = (Arc::new(WaitGroup::new()), Arc::new(WaitGroup::new()));
        let (tx, rx) = chan::unbounded();
        gate.add(1);
        for _ in 0..HELPERS {
            ended.add(1);
            let (ended, gate, tx) = (ended.clone(), gate.clone(), tx.clone());
            crew.spawn(move || {
                gate.wait();
                tx.send(()).unwrap();
                ended.done();
            });
        }
        linger();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        gate.done();
        ended.wait();
        assert_eq!(rx.try_iter().count(), HELPERS, "sent before they were done");
    });
}

#[test]
fn a_barrier_opens_for_all_and_has_one_leader() {
    cases("a_barrier_opens_for_all_and_has_one_leader", |crew| {
        let barrier = Arc::new(Barrier::new(HELPERS));
        let (tx, rx) = chan::unbounded();
        for _ in 1..HELPERS {
            let (barrier, tx) = (barrier.clone(), tx.clone());
            crew.spawn(move || tx.send(barrier.wait().is_leader()).unwrap());
        }
        drop(tx);
        linger();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "one is missing");
        let mine = barrier.wait().is_leader();
        let leaders = rx.iter().chain([mine]).filter(|leads| *leads).count();
        assert_eq!(leaders, 1);
    });
}
