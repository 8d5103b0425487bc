//! Job: `Pool`: what is kept and for whom, the guard, the bound. (The shelf's own rules are unit
//!   tests beside it.)

mod common;
mod waiters;

use common::{Drops, Tracker, scaled, watched};
use gusty::spawn;
use gusty::sync::{Pool, PoolGuard};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use waiters::everywhere;

static WORDS: Pool<String> = Pool::new(String::new);

/// Row 83 (TestPool, TestPoolNew): what was put comes back, then `new` makes more.
#[test]
fn what_was_put_comes_back() {
    everywhere("what_was_put_comes_back", || {
        let made = AtomicUsize::new(0);
        let pool = Pool::new(|| made.fetch_add(1, Ordering::Relaxed) + 100);
        assert_eq!((pool.get(), pool.get(), pool.len()), (100, 101, 0));
        pool.put(1);
        pool.put(2);
        assert_eq!(pool.len(), 2);
        let mut both = [pool.get(), pool.get()];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        assert_eq!(pool.get(), 102);
        assert!(pool.is_empty());
    });
}

/// Row 83 (TestPoolStress): an object has one user at a time; none is lost or doubled.
#[test]
fn an_object_has_one_user() {
    watched("an_object_has_one_user", || {
        let pool = Arc::new(Pool::new(|| Box::new(AtomicUsize::new(0))));
        let work = || {
            let pool = pool.clone();
            move || {
                for i in 0..scaled(5_000) {
                    let object = pool.guard();
                    assert_eq!(object.swap(1, Ordering::Relaxed), 0, "somebody else has it");
                    if i % 16 == 0 {
                        gusty::yield_now();
                    }
                    assert_eq!(object.swap(0, Ordering::Relaxed), 1);
                }
            }
        };
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(work())).collect();
        let goroutines: Vec<_> = (0..16).map(|_| spawn(work())).collect();
        threads.into_iter().for_each(|handle| handle.join().unwrap());
        goroutines.into_iter().for_each(|handle| handle.join().unwrap());
        assert!(pool.len() <= 18, "never more than were in use at a time");
    });
}

/// Row 83: what was put on one P's shelf is found from every other.
#[test]
fn others_find_what_was_put_elsewhere() {
    watched("others_find_what_was_put_elsewhere", || {
        let pool = Arc::new(Pool::new(|| 0));
        for i in 1..=64 {
            let theirs = pool.clone();
            spawn(move || theirs.put(i)).join().unwrap();
            assert_eq!(pool.get(), i);
        }
    });
}

#[test]
fn it_keeps_no_more_than_its_limit() {
    everywhere("it_keeps_no_more_than_its_limit", || {
        let drops = Drops::new();
        let pool: Pool<Tracker, _> = Pool::with_limit(4, || drops.tracker());
        let most = 4 * gusty::runtime::gomaxprocs(0);
        let all: Vec<Tracker> = (0..most + 10).map(|_| pool.get()).collect();
        all.into_iter().for_each(|one| pool.put(one));
        assert!((1..=most).contains(&pool.len()));
        assert_eq!(pool.len() + drops.count(), most + 10);
        pool.clear();
        assert_eq!((pool.len(), drops.count()), (0, most + 10));
        pool.put(drops.tracker());
        drop(pool);
        assert_eq!(drops.count(), most + 11);
    });
}

#[test]
fn a_guard_puts_back_unless_a_panic_drops_it() {
    everywhere("a_guard_puts_back_unless_a_panic_drops_it", || {
        let pool = Pool::new(Vec::new);
        {
            let mut guard = pool.guard();
            guard.push(1);
            assert_eq!((guard.len(), format!("{guard:?}")), (1, "[1]".to_owned()));
        }
        assert_eq!(pool.len(), 1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = pool.guard();
            panic!("expected by the test");
        }));
        assert!(panicked.is_err());
        assert_eq!(pool.len(), 0, "nobody knows what state it is in");
        let guard = pool.guard();
        let own: Vec<i32> = PoolGuard::into_inner(guard);
        assert_eq!((own, pool.len()), (Vec::new(), 0));
    });
}

/// Row 83: a `new` that panics, or that uses its own pool, finds no lock held.
#[test]
fn user_code_runs_without_locks() {
    everywhere("user_code_runs_without_locks", || {
        struct Returns(u8);
        impl Drop for Returns {
            fn drop(&mut self) {
                if self.0 > 0 {
                    RETURNS.put(Returns(self.0 - 1));
                }
            }
        }
        static RETURNS: Pool<Returns> = Pool::with_limit(0, || panic!("expected by the test"));
        assert!(catch_unwind(|| RETURNS.get().0).is_err());
        RETURNS.put(Returns(5)); // dropped, and drops the next inside
        assert!(RETURNS.is_empty());
        WORDS.put("word".to_owned());
        assert!(!WORDS.get().contains('x'));
    });
}
