//! Job: what `std::thread` promises, as a program that any module with its names can run.
//! Not here: what only one of the two does.

use super::thread::{
    self, AccessError, Builder, JoinHandle, LocalKey, Scope, ScopedJoinHandle, Thread, ThreadId,
};
use std::any::Any;
use std::collections::HashSet;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Every part, by name.
pub(crate) const PARTS: &[(&str, fn())] = &[
    ("signatures", signatures),
    ("values_come_back", values_come_back),
    ("payloads_come_back", payloads_come_back),
    ("a_detached_one_runs", a_detached_one_runs),
    ("is_finished_and_join", is_finished_and_join),
    ("names", names),
    ("ids", ids),
    ("builder_refuses", builder_refuses),
    ("stack_sizes", stack_sizes),
    ("borrowing_without_checks", borrowing_without_checks),
    ("unpark_before_park", unpark_before_park),
    ("one_token", one_token),
    ("tokens_are_per_thread", tokens_are_per_thread),
    ("park_timeout_returns", park_timeout_returns),
    ("park_orders_memory", park_orders_memory),
    ("sleep_takes_its_time", sleep_takes_its_time),
    ("scopes_borrow", scopes_borrow),
    ("scopes_nest", scopes_nest),
    ("scopes_join_all_then_panic", scopes_join_all_then_panic),
    ("a_joined_panic_is_the_joiner_s", a_joined_panic_is_the_joiner_s),
    ("scoped_handles", scoped_handles),
    ("panicking_is_seen_by_destructors", panicking_is_seen_by_destructors),
    ("locals", locals),
    ("parallelism", parallelism),
];

/// Names that must exist with these very signatures; nothing here runs for long.
fn signatures() {
    fn all<T: Send + Sync + Unpin + 'static>() {}
    fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
    all::<Thread>();
    all::<ThreadId>();
    all::<JoinHandle<u8>>();
    all::<JoinHandle<*const u8>>(); // whatever the result is
    all::<ScopedJoinHandle<'static, u8>>();
    all::<Builder>();
    all::<AccessError>();
    unwind_safe::<Thread>();
    unwind_safe::<ThreadId>();
    unwind_safe::<Builder>();
    fn sync<T: Sync>() {}
    sync::<Scope<'static, 'static>>();

    type Made = io::Result<JoinHandle<u8>>;
    type F = fn() -> u8;
    let _: fn(F) -> JoinHandle<u8> = thread::spawn;
    let _: fn() -> Builder = Builder::new;
    let _: fn(Builder, String) -> Builder = Builder::name;
    let _: fn(Builder, usize) -> Builder = Builder::stack_size;
    let _: fn(Builder, F) -> Made = Builder::spawn;
    let _: unsafe fn(Builder, F) -> Made = Builder::spawn_unchecked;
    let _: fn(JoinHandle<u8>) -> thread::Result<u8> = JoinHandle::join;
    let _: fn(&JoinHandle<u8>) -> &Thread = JoinHandle::thread;
    let _: fn(&JoinHandle<u8>) -> bool = JoinHandle::is_finished;
    let _: fn(ScopedJoinHandle<'static, u8>) -> thread::Result<u8> = ScopedJoinHandle::join;
    let _: for<'a> fn(&'a ScopedJoinHandle<'static, u8>) -> &'a Thread = ScopedJoinHandle::thread;
    let _: fn(&ScopedJoinHandle<'static, u8>) -> bool = ScopedJoinHandle::is_finished;
    let _: fn() -> Thread = thread::current;
    let _: fn(&Thread) = Thread::unpark;
    let _: fn(&Thread) -> ThreadId = Thread::id;
    let _: fn(&Thread) -> Option<&str> = Thread::name;
    let _: fn() = thread::park;
    let _: fn(Duration) = thread::park_timeout;
    let _: fn(Duration) = thread::sleep;
    let _: fn() = thread::yield_now;
    let _: fn() -> bool = thread::panicking;
    let _: fn() -> io::Result<NonZero<usize>> = thread::available_parallelism;

    let handle = thread::spawn(|| ());
    for text in [
        format!("{handle:?}"),
        format!("{:?}", handle.thread()),
        format!("{:?}", handle.thread().id()),
        format!("{:?}", Builder::new()),
    ] {
        assert!(!text.is_empty());
    }
    handle.join().unwrap();
}

fn values_come_back() {
    assert_eq!(thread::spawn(|| 6 * 7).join().unwrap(), 42);
    assert_eq!(thread::spawn(|| [7_u64; 1_000]).join().unwrap()[999], 7); // too big for a header
    let handles: Vec<_> = (0..50).map(|i| thread::spawn(move || vec![i; 3])).collect();
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), [i; 3]);
    }
    let inner = thread::spawn(|| thread::spawn(|| "from two below"));
    assert_eq!(inner.join().unwrap().join().unwrap(), "from two below");
}

fn payloads_come_back() {
    fn payload(f: fn()) -> Box<dyn Any + Send> {
        thread::spawn(f).join().unwrap_err()
    }
    #[derive(PartialEq, Debug)]
    struct Own(u64);
    assert_eq!(payload(|| panic!("a literal")).downcast_ref(), Some(&"a literal"));
    let formatted = payload(|| panic!("{} of {}", std::hint::black_box(1), 2));
    assert_eq!(formatted.downcast_ref::<String>().unwrap(), "1 of 2");
    assert_eq!(payload(|| panic_any(Own(5))).downcast_ref(), Some(&Own(5)));
    assert_eq!(*payload(|| panic_any(Box::new(3_u8))).downcast::<Box<u8>>().unwrap(), Box::new(3));
}

fn a_detached_one_runs() {
    let done = Arc::new(AtomicBool::new(false));
    let (theirs, parent) = (done.clone(), thread::current());
    drop(thread::spawn(move || {
        theirs.store(true, Ordering::Release);
        parent.unpark();
    }));
    while !done.load(Ordering::Acquire) {
        thread::park();
    }
}

fn is_finished_and_join() {
    let go = Arc::new(AtomicBool::new(false));
    let theirs = go.clone();
    let handle = thread::spawn(move || {
        while !theirs.load(Ordering::Acquire) {
            thread::park();
        }
    });
    assert!(!handle.is_finished());
    go.store(true, Ordering::Release);
    handle.thread().unpark();
    while !handle.is_finished() {
        thread::yield_now();
    }
    handle.join().unwrap();
}

fn names() {
    let named = Builder::new().name("a name".into()).spawn(thread::current).unwrap();
    assert_eq!(named.thread().name(), Some("a name"));
    let (outer, id) = (named.thread().clone(), named.thread().id());
    let inner = named.join().unwrap();
    assert_eq!((inner.name(), inner.id()), (Some("a name"), id));
    assert_eq!((outer.name(), outer.id()), (Some("a name"), id));
    let nameless = thread::spawn(|| thread::current().name().map(str::to_owned));
    assert_eq!(nameless.thread().name(), None);
    assert_eq!(nameless.join().unwrap(), None);
    let last = Builder::new().name("first".to_owned()).name("last".to_owned());
    assert_eq!(last.spawn(|| ()).unwrap().thread().name(), Some("last"));
    let empty = Builder::new().name(String::new()).spawn(|| ()).unwrap();
    assert_eq!(empty.thread().name(), Some(""));
}

fn ids() {
    let mine = thread::current().id();
    assert_eq!(mine, thread::current().id());
    let handles: Vec<_> = (0..20).map(|_| thread::spawn(|| thread::current().id())).collect();
    let mut seen = HashSet::from([mine]);
    for handle in handles {
        let id = handle.thread().id();
        assert_eq!(handle.join().unwrap(), id);
        assert!(seen.insert(id), "{id:?} is used twice");
    }
}

fn builder_refuses() {
    let name_with_nul = || Builder::new().name("a\0b".into());
    let refused = catch_unwind(move || name_with_nul().spawn(|| ()).map(JoinHandle::join));
    let message = refused.map(|_| ()).expect_err("a name with a NUL");
    assert!(message.downcast_ref::<String>().map_or_else(
        || message.downcast_ref::<&str>().is_some_and(|m| m.contains("null bytes")),
        |m| m.contains("null bytes")
    ));
    // The last name counts.
    let renamed = name_with_nul().name("fine".into());
    renamed.spawn(|| ()).unwrap().join().unwrap();
    let huge = Builder::new().stack_size(usize::MAX).spawn(|| ());
    assert_eq!(huge.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

fn stack_sizes() {
    for size in [0, 1, 100_000, 4 << 20] {
        let handle = Builder::new().stack_size(size).spawn(|| 5).unwrap();
        assert_eq!(handle.join().unwrap(), 5);
    }
    fn deep(n: usize) -> usize {
        let frame = std::hint::black_box([n; 64]);
        if n == 0 { 0 } else { 1 + deep(n - 1) + frame[0] - n }
    }
    let handle = Builder::new().stack_size(16 << 20).spawn(|| deep(5_000)).unwrap();
    assert_eq!(handle.join().unwrap(), 5_000);
}

fn borrowing_without_checks() {
    let values = [1, 2, 3];
    let borrowed: &[i32] = &values;
    // SAFETY: joined on the next line, before `values` is gone.
    let handle = unsafe { Builder::new().spawn_unchecked(|| borrowed.iter().sum::<i32>()) };
    assert_eq!(handle.unwrap().join().unwrap(), 6);
}

fn unpark_before_park() {
    thread::current().unpark();
    thread::park();
    let parked = thread::spawn(|| {
        thread::park();
        1
    });
    parked.thread().unpark();
    assert_eq!(parked.join().unwrap(), 1);
}

/// Two unparks leave one token: the second park lasts.
fn one_token() {
    thread::current().unpark();
    thread::current().unpark();
    thread::park();
    let began = Instant::now();
    thread::park_timeout(Duration::from_millis(5));
    assert!(began.elapsed() >= Duration::from_millis(5));
}

fn tokens_are_per_thread() {
    let stop = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..8)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                while stop.load(Ordering::Acquire) == 0 {
                    thread::park();
                }
                stop.fetch_add(1, Ordering::AcqRel);
            })
        })
        .collect();
    stop.store(1, Ordering::Release);
    handles.iter().for_each(|handle| handle.thread().unpark());
    handles.into_iter().for_each(|handle| handle.join().unwrap());
    assert_eq!(stop.load(Ordering::Acquire), 9);
}

fn park_timeout_returns() {
    thread::park_timeout(Duration::ZERO);
    thread::park_timeout(Duration::from_micros(50));
    let parked = thread::spawn(|| thread::park_timeout(Duration::MAX));
    parked.thread().unpark();
    parked.join().unwrap();
}

fn park_orders_memory() {
    for round in 0..200 {
        let cell = Arc::new((AtomicBool::new(false), AtomicUsize::new(0)));
        let theirs = cell.clone();
        let parent = thread::current();
        let handle = thread::spawn(move || {
            theirs.1.store(round, Ordering::Relaxed);
            theirs.0.store(true, Ordering::Relaxed); // unpark -> park orders both
            parent.unpark();
        });
        while !cell.0.load(Ordering::Relaxed) {
            thread::park();
        }
        assert_eq!(cell.1.load(Ordering::Relaxed), round);
        handle.join().unwrap();
    }
}

fn sleep_takes_its_time() {
    for ms in [0, 1, 3] {
        let (began, pause) = (Instant::now(), Duration::from_millis(ms));
        thread::sleep(pause);
        assert!(began.elapsed() >= pause);
    }
}

fn scopes_borrow() {
    let mut values = vec![1, 2, 3];
    let mut sum = 0;
    let length = thread::scope(|s| {
        s.spawn(|| assert_eq!(values.len(), 3));
        let handle = s.spawn(|| values.iter().sum::<i32>());
        sum += handle.join().unwrap();
        values.len()
    });
    values.push(4);
    assert_eq!((values.len(), sum, length), (4, 6, 3));
}

fn scopes_nest() {
    let count = AtomicUsize::new(0);
    thread::scope(|outer| {
        for _ in 0..4 {
            outer.spawn(|| {
                thread::scope(|inner| {
                    for _ in 0..4 {
                        inner.spawn(|| count.fetch_add(1, Ordering::Relaxed));
                    }
                });
                outer.spawn(|| count.fetch_add(100, Ordering::Relaxed));
            });
        }
    });
    assert_eq!(count.into_inner(), 416);
}

fn scopes_join_all_then_panic() {
    let done = AtomicUsize::new(0);
    let child = catch_unwind(AssertUnwindSafe(|| {
        thread::scope(|s| {
            s.spawn(|| panic!("expected by the test"));
            for _ in 0..5 {
                s.spawn(|| {
                    thread::sleep(Duration::from_millis(1));
                    done.fetch_add(1, Ordering::Relaxed)
                });
            }
        });
    }));
    assert!(child.is_err());
    let body = catch_unwind(AssertUnwindSafe(|| {
        thread::scope(|s| {
            s.spawn(|| {
                thread::yield_now();
                done.fetch_add(10, Ordering::Relaxed)
            });
            panic_any("the body's own");
        });
    }));
    assert_eq!(body.unwrap_err().downcast_ref(), Some(&"the body's own"));
    assert_eq!(done.into_inner(), 15);
}

fn a_joined_panic_is_the_joiner_s() {
    let value = thread::scope(|s| {
        let bad = s.spawn(|| -> u8 { panic_any("joined") });
        assert_eq!(bad.join().unwrap_err().downcast_ref(), Some(&"joined"));
        3
    });
    assert_eq!(value, 3);
}

fn scoped_handles() {
    thread::scope(|s| {
        let named = Builder::new().name("scoped".into()).spawn_scoped(s, thread::current).unwrap();
        assert_eq!(named.thread().name(), Some("scoped"));
        let id = named.thread().id();
        assert!(!format!("{named:?} {s:?}").is_empty());
        assert_eq!(named.join().unwrap().id(), id);
        let quick = s.spawn(|| ());
        while !quick.is_finished() {
            thread::yield_now();
        }
        let parked = s.spawn(thread::park);
        parked.thread().unpark();
    });
}

fn panicking_is_seen_by_destructors() {
    struct Tells(Arc<Mutex<Vec<bool>>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(thread::panicking());
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    for panics in [false, true] {
        let tells = Tells(seen.clone());
        let handle = thread::spawn(move || {
            let _tells = tells;
            assert!(!panics, "expected by the test");
        });
        assert_eq!(handle.join().is_err(), panics);
    }
    assert_eq!(*seen.lock().unwrap(), [false, true]);
    assert!(!thread::panicking());
}

thread_local! {
    static LOCAL: AtomicUsize = const { AtomicUsize::new(0) };
}

fn locals() {
    let key: &'static LocalKey<AtomicUsize> = &LOCAL;
    let within_one_call = |local: &AtomicUsize| {
        local.store(3, Ordering::Relaxed);
        local.load(Ordering::Relaxed)
    };
    assert_eq!(key.with(within_one_call), 3);
    let read: std::result::Result<usize, AccessError> = key.try_with(within_one_call);
    assert_eq!(read.unwrap(), 3);
    assert_eq!(thread::spawn(move || key.with(within_one_call)).join().unwrap(), 3);
}

fn parallelism() {
    assert!(thread::available_parallelism().unwrap().get() >= 1);
}
