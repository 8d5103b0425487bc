//! Job: thread-local storage that libc makes for a thread on each stack (`GUSTY_TLS=pthread`): what
//!   is true of written blocks is true of these (`own_tls` sees to most of that), and what only they
//!   can get wrong.
//!
//! The whole binary runs at this level: the variable is set before `main`, because the tests run
//! side by side and settings are read once.

mod common;

use std::collections::BTreeSet;
use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Child, scaled};
use gusty::runtime::{TlsLevel, features};

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = choose_level;

extern "C" fn choose_level() {
    // SAFETY: valid strings; there is one thread yet. A child keeps what its parent chose for it.
    unsafe { libc::setenv(c"GUSTY_TLS".as_ptr(), c"pthread".as_ptr(), 0) };
}

/// Runs `f` on `count` goroutines and waits for all. Each has its stack before the first runs `f`.
fn all_at_once(count: usize, f: impl Fn(usize) + Clone + Send + 'static) {
    let (gate, wait) = gusty::chan::unbounded::<()>();
    let (tell, begun) = gusty::chan::unbounded();
    let start = |i| {
        let (f, wait, tell) = (f.clone(), wait.clone(), tell.clone());
        gusty::spawn(move || {
            tell.send(()).unwrap();
            assert!(wait.recv().is_err());
            f(i);
        })
    };
    let handles: Vec<_> = (0..count).map(start).collect();
    (0..count).for_each(|_| begun.recv().unwrap());
    drop(gate);
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

#[test]
fn the_level_is_told() {
    let features = features();
    assert_eq!(features.tls, TlsLevel::Pthread);
    assert!(features.tls.is_own() && features.tls_surplus && !features.tls_reason.is_empty());
}

/// Compiles a file of `tls`; `None` if there is no C compiler.
fn library(name: &str) -> Option<PathBuf> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name);
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lib{name}-levels.so"));
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&target).arg(source.with_extension("c"));
    assert!(compile.status().ok()?.success());
    Some(target)
}

#[test]
fn the_level_is_chosen_where_blocks_cannot_be_written() {
    let Some(library) = library("wrong_size") else { return };
    for surplus in ["eat", "keep"] {
        let child = Child::of("the_level_is_chosen_where_blocks_cannot_be_written")
            .env("GUSTY_TLS", "own")
            .env("GUSTY_TLS_SURPLUS", surplus)
            .env("LD_PRELOAD", library.display());
        let ended = child.run(|| {
            assert_eq!(features().tls, TlsLevel::Pthread, "{}", features().tls_reason);
            assert!(!features().tls_reason.is_empty());
            std::thread_local! {
                static COUNT: AtomicUsize = const { AtomicUsize::new(5) };
            }
            for _ in 0..3 {
                all_at_once(100, |i| {
                    COUNT.with(|count| assert_eq!(count.fetch_add(i, Ordering::Relaxed), 5));
                    gusty::yield_now();
                    COUNT.with(|count| assert_eq!(count.load(Ordering::Relaxed), 5 + i));
                });
            }
        });
        ended.succeeded();
    }
}

#[test]
fn libraries_that_insist_on_room_are_served() {
    type Next = extern "C" fn() -> c_int;
    let Some(path) = library("initial") else { return };
    let path = CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
    // Goroutines that are there before, and find the variables afterwards.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let call = || {
        // SAFETY: the address of a function with this signature.
        let next: Next = unsafe { std::mem::transmute(NEXT.load(Ordering::Acquire)) };
        for k in 0..10 {
            assert_eq!(next(), 77 + k);
            gusty::yield_now();
        }
    };
    let (opened, wait) = gusty::chan::unbounded::<()>();
    let start = |_| {
        let wait = wait.clone();
        gusty::spawn(move || {
            assert!(wait.recv().is_err());
            call();
        })
    };
    let waiting: Vec<_> = (0..200).map(start).collect();
    let open = gusty::spawn(move || {
        // SAFETY: the library has no constructors.
        let next = unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            assert!(!handle.is_null());
            libc::dlsym(handle, c"initial_next".as_ptr())
        };
        NEXT.store(next.expose_provenance(), Ordering::Release);
    });
    open.join().unwrap();
    drop(opened);
    waiting.into_iter().for_each(|handle| handle.join().unwrap());
    // New stacks, and used ones.
    (0..2).for_each(|_| all_at_once(300, move |_| call()));
}

#[test]
fn ids_change_while_blocks_are_made() {
    let ended = Child::of("ids_change_while_blocks_are_made").env("GOMAXPROCS", 4).run(|| {
        static DONE: AtomicBool = AtomicBool::new(false);
        let changer = std::thread::spawn(|| {
            let mut changes = 0;
            while !DONE.load(Ordering::Acquire) || changes == 0 {
                // SAFETY: to what it is already: allowed to everybody.
                assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
                changes += 1;
                // libc's lock, which makers of threads need too, is not fair: without a break they
                // would hardly get it.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        all_at_once(scaled(2_000), |_| ());
        DONE.store(true, Ordering::Release);
        changer.join().unwrap();
    });
    ended.succeeded();
}

#[test]
fn a_forked_child_leaves_the_stacks_alone() {
    const WORDS: usize = 1_000;
    all_at_once(1, |_| {
        let (end, wait) = gusty::chan::unbounded::<()>();
        let (tell, places) = gusty::chan::unbounded::<usize>();
        let start = |i: usize| {
            let (wait, tell) = (wait.clone(), tell.clone());
            gusty::spawn(move || {
                let pattern = std::hint::black_box([i; WORDS]);
                tell.send(pattern.as_ptr().expose_provenance()).unwrap();
                assert!(wait.recv().is_err());
                assert!(std::hint::black_box(&pattern).iter().all(|word| *word == i));
            })
        };
        let handles: Vec<_> = (1..=100).map(start).collect();
        let places: Vec<usize> = (1..=100).map(|_| places.recv().unwrap()).collect();
        // SAFETY: the child uses malloc and threads, which libc makes usable in it, and `_exit`;
        // the patterns belong to goroutines that wait.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let start = |_| std::thread::spawn(|| vec![1_u8; 10_000].len());
                let threads: Vec<_> = (0..50).map(start).collect();
                let ran = threads.into_iter().all(|thread| thread.join().is_ok());
                let whole = places.iter().all(|place| {
                    let pattern = std::ptr::with_exposed_provenance::<[usize; WORDS]>(*place);
                    (*pattern).iter().all(|word| *word == (*pattern)[0])
                });
                libc::_exit(if ran && whole { 42 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 42 << 8, "the child's status");
        }
        drop(end);
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn the_own_handle_is_of_use() {
    all_at_once(50, |_| {
        let here = 0_u8;
        gusty::yield_now();
        // SAFETY: valid arguments throughout; the attributes are initialised by the first call.
        unsafe {
            let me = libc::pthread_self();
            let mut attributes = MaybeUninit::uninit();
            assert_eq!(libc::pthread_getattr_np(me, attributes.as_mut_ptr()), 0);
            let (mut base, mut size) = (std::ptr::null_mut::<c_void>(), 0);
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut base, &raw mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            assert!((base.addr()..base.addr() + size).contains(&(&raw const here).addr()));
            assert!((base.addr()..base.addr() + size).contains(&(me as usize)));
            let mut cpus = MaybeUninit::<libc::cpu_set_t>::zeroed();
            let bytes = size_of_val(&cpus);
            assert_eq!(libc::pthread_getaffinity_np(me, bytes, cpus.as_mut_ptr()), 0);
            assert_eq!(libc::pthread_kill(me, 0), 0);
            assert!(libc::sched_getcpu() >= 0);
        }
    });
}

#[test]
fn every_number_is_another() {
    // Recursive locks know their owner by it.
    let numbers = gusty::chan::unbounded();
    all_at_once(200, {
        let numbers = numbers.0.clone();
        move |_| {
            // SAFETY: a zeroed mutex is an unlocked one of the default kind; locked, it holds its
            // owner's number, of the kinds that look at owners. This one is the goroutine's own.
            unsafe {
                let mut kind = MaybeUninit::uninit();
                let mut mutex = MaybeUninit::<libc::pthread_mutex_t>::zeroed();
                libc::pthread_mutexattr_init(kind.as_mut_ptr());
                libc::pthread_mutexattr_settype(kind.as_mut_ptr(), libc::PTHREAD_MUTEX_ERRORCHECK);
                libc::pthread_mutex_init(mutex.as_mut_ptr(), kind.as_ptr());
                assert_eq!(libc::pthread_mutex_lock(mutex.as_mut_ptr()), 0);
                let owner = mutex.as_ptr().cast::<c_int>().add(2).read();
                gusty::yield_now();
                assert_eq!(libc::pthread_mutex_lock(mutex.as_mut_ptr()), libc::EDEADLK);
                assert_eq!(libc::pthread_mutex_unlock(mutex.as_mut_ptr()), 0);
                numbers.send(owner).unwrap();
            }
        }
    });
    let numbers: BTreeSet<c_int> = (0..200).map(|_| numbers.1.recv().unwrap()).collect();
    assert_eq!(numbers.len(), 200);
    assert!(*numbers.first().unwrap() > 1 << 22, "a number that a kernel thread may have");
}

#[test]
fn without_threads_goroutines_wait_for_stacks() {
    let test = "without_threads_goroutines_wait_for_stacks";
    let ended = Child::of(test).env("GOMAXPROCS", 1).run(|| {
        all_at_once(5, |_| ());
        gusty::spawn(|| {
            forbid_threads();
            static RAN: AtomicUsize = AtomicUsize::new(0);
            let run = |_| {
                gusty::spawn(|| {
                    gusty::yield_now();
                    RAN.fetch_add(1, Ordering::Relaxed);
                })
            };
            let handles: Vec<_> = (0..50).map(run).collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
            assert_eq!(RAN.load(Ordering::Relaxed), 50);
        })
        .join()
        .unwrap();
    });
    ended.succeeded().says(&["no stack for goroutine", "pthread_create", "RLIMIT_NPROC"]);
}

#[test]
fn without_threads_and_stacks_nothing_goes_on() {
    let test = "without_threads_and_stacks_nothing_goes_on";
    let ended = Child::of(test).env("GOMAXPROCS", 1).run(|| {
        gusty::spawn(|| {
            forbid_threads();
            drop(gusty::Builder::new().stack_size(4 << 20).spawn(|| ()));
        })
        .join()
        .unwrap();
        gusty::spawn(gusty::park).join().unwrap();
    });
    ended.killed_by(libc::SIGABRT).says(&["no stack for goroutine", "pthread_create"]);
}

/// Makes `clone` and `clone3` fail with EAGAIN on this thread from now on.
fn forbid_threads() {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let is = |number: libc::c_long, jt, jf| {
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, number as u32)
    };
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number is first
        is(libc::SYS_clone, 1, 0),
        is(libc::SYS_clone3, 0, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid and outlives the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

#[test]
fn a_process_ends_with_blocks_in_use() {
    let ended = Child::of("a_process_ends_with_blocks_in_use").run(|| {
        all_at_once(100, |i| {
            if i == 50 {
                std::process::exit(7);
            }
            gusty::park();
        });
    });
    ended.exited(7);
}
