//! Job: what libc knows and does by thread: errno, its locks, processes, ids, handles.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::battery::{Needs, on_many, survives};
use crate::common::Child;
use crate::fork::{allocates, in_fork};

#[test]
fn errno_is_kept_over_parks() {
    let needs = Needs::OwnBlock("the next call of any goroutine of the thread overwrites it");
    survives("libc_calls::errno_is_kept_over_parks", needs, || {
        on_many(200, |i| {
            for k in 0..50 {
                // SAFETY: an invalid descriptor and a valid path.
                let (failed, error) = unsafe {
                    match (i + k) % 2 {
                        0 => (libc::close(-1), libc::EBADF),
                        _ => (libc::open(c"/does/not/exist".as_ptr(), 0), libc::ENOENT),
                    }
                };
                assert_eq!(failed, -1);
                gusty::yield_now();
                assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(error));
            }
        });
    });
}

/// A pthread mutex that is never moved or destroyed.
fn mutex(kind: c_int) -> *mut libc::pthread_mutex_t {
    let mutex = Box::leak(Box::new(MaybeUninit::uninit())).as_mut_ptr();
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: both are initialised before their use.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_settype(attributes.as_mut_ptr(), kind);
        assert_eq!(libc::pthread_mutex_init(mutex, attributes.as_ptr()), 0);
    }
    mutex
}

#[test]
fn pthread_mutexes_know_their_owner_over_parks() {
    let needs = Needs::OwnBlock("libc tells threads apart, not goroutines");
    survives("libc_calls::pthread_mutexes_know_their_owner_over_parks", needs, || {
        on_many(50, |_| {
            let checking = mutex(libc::PTHREAD_MUTEX_ERRORCHECK);
            let recursive = mutex(libc::PTHREAD_MUTEX_RECURSIVE);
            for _ in 0..20 {
                // SAFETY: initialised mutexes.
                unsafe {
                    assert_eq!(libc::pthread_mutex_lock(checking), 0);
                    assert_eq!(libc::pthread_mutex_lock(recursive), 0);
                    gusty::yield_now();
                    assert_eq!(libc::pthread_mutex_lock(checking), libc::EDEADLK);
                    assert_eq!(libc::pthread_mutex_lock(recursive), 0);
                    gusty::yield_now();
                    assert_eq!(libc::pthread_mutex_unlock(checking), 0);
                    assert_eq!(libc::pthread_mutex_unlock(checking), libc::EPERM);
                    assert_eq!(libc::pthread_mutex_unlock(recursive), 0);
                    assert_eq!(libc::pthread_mutex_unlock(recursive), 0);
                }
            }
        });
    });
}

#[test]
fn specific_data_is_the_goroutines() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn destroy(value: *mut c_void) {
        gusty::yield_now();
        DESTROYED.fetch_add(value.addr(), Ordering::Relaxed);
    }
    let needs = Needs::OwnBlock("it is the thread's");
    survives("libc_calls::specific_data_is_the_goroutines", needs, || {
        let keys: Vec<_> = (0..40)
            .map(|_| {
                let mut key = 0;
                // SAFETY: valid arguments.
                assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(destroy)) }, 0);
                key
            })
            .collect();
        let last = keys[39];
        for _ in 0..5 {
            let keys = keys.clone();
            on_many(50, move |i| {
                for &key in &keys {
                    // SAFETY: a key made above.
                    unsafe {
                        assert!(libc::pthread_getspecific(key).is_null());
                        libc::pthread_setspecific(key, ptr::without_provenance(1));
                        gusty::yield_now();
                        assert_eq!(libc::pthread_getspecific(key).addr(), 1);
                    }
                }
                if i % 2 == 0 {
                    // SAFETY: a key made above.
                    unsafe { libc::pthread_setspecific(last, ptr::null()) };
                }
            });
        }
        assert_eq!(DESTROYED.load(Ordering::Relaxed), 5 * 50 * 40 - 5 * 25);
    });
}

#[test]
fn a_forked_child_uses_malloc_and_threads() {
    survives("libc_calls::a_forked_child_uses_malloc_and_threads", Needs::Nothing, || {
        on_many(100, |i| {
            gusty::yield_now();
            assert!(i % 10 != 0 || in_fork(allocates));
        });
    });
}

#[test]
fn a_forked_child_is_the_goroutine_that_forked() {
    std::thread_local! {
        static NUMBER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    let needs = Needs::OwnBlock("the child has the thread's thread-locals");
    survives("libc_calls::a_forked_child_is_the_goroutine_that_forked", needs, || {
        on_many(100, |i| {
            NUMBER.set(i);
            let id = std::thread::current().id();
            gusty::yield_now();
            if i % 10 != 0 {
                return;
            }
            let same = in_fork(move || {
                let mine = || NUMBER.get() == i && std::thread::current().id() == id;
                let before = mine();
                let threads = allocates(); // whose blocks may be where the parent's threads were
                // SAFETY: no signal is sent; to what the id is already.
                let (known, changed) = unsafe {
                    let me = libc::pthread_self();
                    (libc::pthread_kill(me, 0) == 0, libc::setgid(libc::getgid()) == 0)
                };
                before && threads && known && changed && mine()
            });
            assert!(same);
        });
    });
}

#[test]
fn ids_of_the_process_change() {
    survives("libc_calls::ids_of_the_process_change", Needs::Nothing, || {
        let stop = Arc::new(AtomicBool::new(false));
        // SAFETY: to what they are already: allowed to everybody.
        let change = || unsafe {
            assert_eq!(libc::setgid(libc::getgid()), 0);
            assert_eq!(libc::setuid(libc::getuid()), 0);
        };
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    change();
                }
            }
        });
        on_many(200, move |i| {
            for _ in 0..20 {
                gusty::yield_now();
                if i % 20 == 0 {
                    change();
                }
            }
        });
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    });
}

#[test]
fn names_are_resolved() {
    survives("libc_calls::names_are_resolved", Needs::Nothing, || {
        on_many(50, |i| {
            // SAFETY: all-zero is a valid request; the list is freed.
            unsafe {
                let mut hints: libc::addrinfo = std::mem::zeroed();
                hints.ai_flags = if i % 2 == 0 { 0 } else { libc::AI_NUMERICHOST };
                let mut list = ptr::null_mut();
                let name = c"localhost".as_ptr();
                gusty::yield_now();
                let error = libc::getaddrinfo(name, ptr::null(), &raw const hints, &raw mut list);
                gusty::yield_now();
                if i % 2 == 0 {
                    assert_eq!(error, 0);
                    libc::freeaddrinfo(list);
                } else {
                    assert_eq!(error, libc::EAI_NONAME); // not a number
                }
            }
        });
    });
}

/// Bounds of the stack that libc tells for the caller.
fn stack_bounds() -> std::ops::Range<usize> {
    // SAFETY: valid arguments; the attributes are initialised by the first call.
    unsafe {
        let mut attributes = std::mem::zeroed();
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes), 0);
        let (mut base, mut size) = (ptr::null_mut(), 0);
        libc::pthread_attr_getstack(&raw const attributes, &raw mut base, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        base.addr()..base.addr() + size
    }
}

#[test]
fn the_stack_is_the_goroutines() {
    let needs = Needs::OwnBlock("libc tells the bounds of the thread's stack");
    survives("libc_calls::the_stack_is_the_goroutines", needs, || {
        on_many(100, |_| {
            let bounds = stack_bounds();
            for _ in 0..10 {
                let local = 0_u8;
                assert!(bounds.contains(&(&raw const local).addr()));
                gusty::yield_now();
                assert_eq!(stack_bounds(), bounds);
            }
        });
    });
}

#[test]
fn calls_on_the_own_handle_answer() {
    survives("libc_calls::calls_on_the_own_handle_answer", Needs::Nothing, || {
        on_many(100, |_| {
            for _ in 0..10 {
                gusty::yield_now();
                // SAFETY: valid arguments throughout.
                unsafe {
                    let me = libc::pthread_self();
                    assert_ne!(libc::pthread_equal(me, libc::pthread_self()), 0);
                    let mut cpus: libc::cpu_set_t = std::mem::zeroed();
                    let bytes = size_of_val(&cpus);
                    assert_eq!(libc::pthread_getaffinity_np(me, bytes, &raw mut cpus), 0);
                    assert!(libc::CPU_COUNT(&cpus) > 0);
                    assert_eq!(libc::pthread_setaffinity_np(me, bytes, &raw const cpus), 0);
                    let mut clock = 0;
                    assert_eq!(libc::pthread_getcpuclockid(me, &raw mut clock), 0);
                    let mut time = std::mem::zeroed();
                    assert_eq!(libc::clock_gettime(clock, &raw mut time), 0);
                    let (mut policy, mut parameters) = (0, std::mem::zeroed());
                    let asked =
                        libc::pthread_getschedparam(me, &raw mut policy, &raw mut parameters);
                    assert_eq!(asked, 0);
                    assert_eq!(libc::pthread_setschedparam(me, policy, &raw const parameters), 0);
                    let mut name = [0; 16];
                    assert_eq!(libc::pthread_getname_np(me, name.as_mut_ptr(), 16), 0);
                    assert_eq!(libc::pthread_setname_np(me, name.as_ptr()), 0);
                    assert_eq!(libc::pthread_kill(me, 0), 0);
                }
            }
        });
    });
}

#[test]
fn ending_the_thread_is_refused_by_name() {
    let test = "libc_calls::ending_the_thread_is_refused_by_name";
    let ended = Child::of(test).run(|| {
        unsafe extern "C" {
            fn pthread_exit(value: *mut c_void) -> !;
        }
        // SAFETY: what is on this stack needs no destructor; the process ends here.
        let _ = gusty::spawn(|| unsafe { pthread_exit(ptr::null_mut()) }).join();
    });
    ended.killed_by(libc::SIGABRT).says(&["pthread_exit", "goroutine"]);
}

#[test]
fn a_thread_may_still_end_itself() {
    survives("libc_calls::a_thread_may_still_end_itself", Needs::Nothing, || {
        extern "C" fn end(value: *mut c_void) -> *mut c_void {
            // SAFETY: what is on this stack needs no destructor.
            unsafe { libc::pthread_exit(value) }
        }
        on_many(10, |i| {
            gusty::yield_now();
            // SAFETY: a function of the right type; the thread is joined once.
            unsafe {
                let (mut thread, mut result) = (0, ptr::null_mut());
                let word = ptr::without_provenance_mut(i + 1);
                assert_eq!(libc::pthread_create(&raw mut thread, ptr::null(), end, word), 0);
                assert_eq!(libc::pthread_join(thread, &raw mut result), 0);
                assert_eq!(result.addr(), i + 1);
            }
        });
    });
}

#[test]
fn handlers_at_exit_run_on_a_goroutine() {
    let test = "libc_calls::handlers_at_exit_run_on_a_goroutine";
    let ended = Child::of(test).env("GUSTYDEBUG", "migrate=1").run(|| {
        extern "C" fn at_exit() {
            eprintln!("goodbye from {:?}", std::thread::current().id());
        }
        // SAFETY: a function that may be called at exit.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
        (0..20).for_each(|_| drop(gusty::spawn(gusty::park)));
        let _ = gusty::spawn(|| {
            gusty::yield_now();
            std::process::exit(3)
        })
        .join();
    });
    ended.exited(3).says(&["goodbye from ThreadId"]);
}
