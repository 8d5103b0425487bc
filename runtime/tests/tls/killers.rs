//! What breaks when goroutines share their thread's thread-locals. Every test parks often, so that
//! goroutines change threads and threads change goroutines.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::{CString, c_int};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;

const GOROUTINES: usize = 200;

/// Runs `f` on that many goroutines at once and waits for all.
fn on_many<R: Send + 'static>(f: impl Fn(usize) -> R + Clone + Send + 'static) -> Vec<R> {
    let start = |i| {
        let f = f.clone();
        gusty::spawn(move || f(i))
    };
    let handles: Vec<_> = (0..GOROUTINES).map(start).collect();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

#[test]
fn thread_locals_over_parks() {
    std::thread_local! {
        static SEEN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }
    on_many(|i| {
        for k in 0..300 {
            SEEN.with_borrow_mut(|seen| seen.push(i * k));
            COUNT.set(COUNT.get() + 1);
            if k % 3 == 0 {
                gusty::yield_now();
            }
        }
        assert_eq!(COUNT.get(), 300);
        SEEN.with_borrow(|seen| assert!(seen.iter().copied().eq((0..300).map(|k| i * k))));
    });
}

#[test]
fn a_borrow_held_over_parks() {
    std::thread_local! {
        static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    }
    on_many(|_| {
        TEXT.with_borrow_mut(|text| {
            for _ in 0..50 {
                text.push('x');
                gusty::yield_now();
            }
            assert_eq!(text.len(), 50);
        });
    });
}

#[test]
fn errno_over_parks() {
    on_many(|i| {
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
}

#[test]
fn thread_ids_are_distinct_and_stable() {
    let ids: HashSet<ThreadId> = on_many(|_| {
        let id = std::thread::current().id();
        for _ in 0..30 {
            gusty::yield_now();
            assert_eq!(std::thread::current().id(), id);
        }
        id
    })
    .into_iter()
    .collect();
    assert_eq!(ids.len(), GOROUTINES);
}

#[test]
fn parking_while_a_panic_unwinds() {
    struct ParksInDrop;
    impl Drop for ParksInDrop {
        fn drop(&mut self) {
            (0..5).for_each(|_| gusty::yield_now());
            assert!(std::thread::panicking());
        }
    }
    on_many(|i| {
        for _ in 0..10 {
            if i % 2 == 0 {
                let result = std::panic::catch_unwind(|| {
                    let _guard = ParksInDrop;
                    std::panic::resume_unwind(Box::new(i));
                });
                assert_eq!(*result.unwrap_err().downcast::<usize>().unwrap(), i);
            }
            gusty::yield_now();
            assert!(!std::thread::panicking());
        }
    });
}

#[test]
fn thread_locals_are_dropped_once_and_begin_anew() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    std::thread_local! {
        static COUNTED: Counted = {
            MADE.fetch_add(1, Ordering::Relaxed);
            Counted
        };
        static PLAIN: Cell<u32> = const { Cell::new(9) };
    }
    const ROUNDS: usize = 50;
    for _ in 0..ROUNDS {
        on_many(|_| {
            COUNTED.with(|_| ());
            assert_eq!(PLAIN.replace(1), 9);
            gusty::yield_now();
            assert_eq!(PLAIN.get(), 1);
        });
    }
    let all = ROUNDS * GOROUTINES;
    assert_eq!((MADE.load(Ordering::Relaxed), DROPPED.load(Ordering::Relaxed)), (all, all));
}

#[test]
fn memory_crosses_threads() {
    static SHARED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    on_many(|i| {
        let mut own = Vec::new();
        for k in 0..300 {
            let size = (i * 7919 + k * 104_729) % 3000;
            own.push(vec![(size % 251) as u8; size]);
            if k % 5 == 0 {
                gusty::yield_now();
            }
            if own.len() > 20 {
                let block = own.swap_remove(k % 20);
                assert!(block.iter().all(|byte| usize::from(*byte) == block.len() % 251));
                let mut shared = SHARED.lock().unwrap();
                shared.push(block);
                if shared.len() > 50 {
                    shared.clear();
                }
            }
        }
    });
}

#[test]
fn fork_with_malloc_and_a_thread_in_the_child() {
    let statuses = on_many(|i| {
        if i % 20 != 0 {
            return 42;
        }
        gusty::yield_now();
        // SAFETY: the child uses malloc and threads, which libc makes usable in it, and `_exit`.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let text = format!("{}", vec![1u8; 100_000].len());
                let length = std::thread::spawn(move || text.len()).join();
                libc::_exit(if length.is_ok_and(|length| length == 6) { 42 } else { 1 });
            }
            let mut status: c_int = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            libc::WEXITSTATUS(status)
        }
    });
    assert!(statuses.iter().all(|status| *status == 42));
}

#[test]
fn ids_of_the_process_change() {
    on_many(|i| {
        gusty::yield_now();
        if i % 20 == 0 {
            // SAFETY: to what it is already: allowed to everybody.
            assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
        }
    });
}

/// Compiles a library of this directory; `None` if there is no C compiler.
fn library(name: &str, flags: &[&str]) -> Option<CString> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name);
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lib{name}.so"));
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC"]).args(flags).arg("-o").arg(&target);
    let status = compile.arg(source.with_extension("c")).status().ok()?;
    assert!(status.success());
    Some(CString::new(target.into_os_string().into_encoded_bytes()).unwrap())
}

/// Opens a library while goroutines exist, and checks that each finds the initial value and keeps
/// its own, on a new and on a used stack.
fn check_library(name: &str, flags: &[&str], initial: c_int) {
    type Next = extern "C" fn() -> c_int;
    let Some(path) = library(name, flags) else { return };
    on_many(|_| gusty::yield_now());
    let symbol = CString::new(format!("{name}_next")).unwrap();
    // SAFETY: the library has no constructors; the function has this signature.
    let next = gusty::spawn(move || unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null());
        std::mem::transmute::<*mut std::ffi::c_void, Next>(libc::dlsym(handle, symbol.as_ptr()))
    })
    .join()
    .unwrap();
    for _ in 0..3 {
        on_many(move |_| {
            for k in 0..10 {
                assert_eq!(next(), initial + k);
                gusty::yield_now();
            }
        });
    }
}

#[test]
fn a_library_with_dynamic_thread_locals() {
    check_library("dynamic", &[], 55);
}

#[test]
fn a_library_with_descriptors_for_thread_locals() {
    check_library("descriptor", &["-mtls-dialect=gnu2"], 33);
}
