//! Job: libraries with thread-locals of every kind: linked, opened before and while there are
//!   goroutines, closed.

use std::ffi::{CStr, CString, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::battery::on_many;
use crate::common::{Child, until};

/// A source in this directory.
#[derive(Clone, Copy)]
struct Library {
    name: &'static str,
    flags: &'static [&'static str],
    /// What `NAME_next` returns first.
    initial: c_int,
}

const DYNAMIC: Library = Library { name: "dynamic", flags: &[], initial: 55 };
const INITIAL: Library = Library { name: "initial", flags: &[], initial: 77 };
const DESCRIPTOR: Library =
    Library { name: "descriptor", flags: &["-mtls-dialect=gnu2"], initial: 33 };
const KEEPER: Library = Library { name: "keeper", flags: &[], initial: 0 };

type Next = extern "C" fn() -> c_int;

impl Library {
    /// Compiles it; `None` if there is no C compiler.
    fn compile(&self) -> Option<PathBuf> {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(self.name);
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let unique = target.join(format!("{}-{}.so", self.name, std::process::id()));
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC"]).args(self.flags).arg("-o").arg(&unique);
        let Ok(status) = compile.arg(source.with_extension("c")).status() else {
            eprintln!("skipped: no C compiler");
            return None;
        };
        assert!(status.success());
        // Whole at once: others may be opening the one before.
        let path = target.join(format!("lib{}.so", self.name));
        std::fs::rename(unique, &path).unwrap();
        Some(path)
    }

    /// Opens it; null if that fails. Called on goroutines and threads.
    fn open(&self) -> Option<*mut c_void> {
        let path = CString::new(self.compile()?.as_os_str().as_bytes()).unwrap();
        // SAFETY: the library has no constructors.
        Some(unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) })
    }

    /// # Safety
    /// A handle of this library, or `RTLD_DEFAULT` if it is linked.
    unsafe fn next(&self, handle: *mut c_void) -> Next {
        let symbol = CString::new(format!("{}_next", self.name)).unwrap();
        // SAFETY: as for this function; the library's function has this signature.
        unsafe {
            let next = libc::dlsym(handle, symbol.as_ptr());
            assert!(!next.is_null());
            std::mem::transmute::<*mut c_void, Next>(next)
        }
    }
}

/// Every goroutine finds the initial value and keeps its own, on new stacks and on used ones.
fn check(next: Next, initial: c_int) {
    for _ in 0..4 {
        on_many(200, move |_| {
            for k in 0..10 {
                assert_eq!(next(), initial + k);
                gusty::yield_now();
            }
        });
    }
}

/// Runs `scenario` with each way of treating the room for later libraries.
fn with_and_without_room(test: &'static str, scenario: impl Fn()) {
    for surplus in ["eat", "keep"] {
        let child = Child::of(test).env("GUSTY_TLS_SURPLUS", surplus).env("GOMAXPROCS", 4);
        child.env("GUSTYDEBUG", "migrate=1").run(&scenario).succeeded();
    }
}

#[test]
fn opened_before_the_first_goroutine() {
    with_and_without_room("libraries::opened_before_the_first_goroutine", || {
        let opened: Vec<Next> = [DYNAMIC, INITIAL, DESCRIPTOR]
            .iter()
            .map_while(|library| {
                let handle = library.open()?;
                assert!(!handle.is_null());
                // SAFETY: just opened.
                Some(unsafe { library.next(handle) })
            })
            .collect();
        for (next, library) in opened.into_iter().zip([DYNAMIC, INITIAL, DESCRIPTOR]) {
            assert_eq!(next(), library.initial);
            check(next, library.initial);
        }
    });
}

#[test]
fn opened_by_a_thread_while_goroutines_are_parked() {
    with_and_without_room("libraries::opened_by_a_thread_while_goroutines_are_parked", || {
        on_many(300, |_| gusty::yield_now()); // blocks to be used again
        for library in [DYNAMIC, DESCRIPTOR] {
            let (sender, receiver) = gusty::chan::bounded::<Next>(0);
            let parked: Vec<_> = (0..100)
                .map(|_| {
                    let receiver = receiver.clone();
                    gusty::spawn(move || {
                        let Ok(next) = receiver.recv() else { return };
                        for k in 0..10 {
                            assert_eq!(next(), library.initial + k);
                            gusty::yield_now();
                        }
                    })
                })
                .collect();
            if let Some(handle) = library.open() {
                assert!(!handle.is_null());
                // SAFETY: just opened.
                let next = unsafe { library.next(handle) };
                (0..100).for_each(|_| sender.send(next).unwrap());
                check(next, library.initial);
            }
            drop(sender);
            parked.into_iter().for_each(|handle| handle.join().unwrap());
        }
    });
}

#[test]
fn opened_by_a_goroutine() {
    with_and_without_room("libraries::opened_by_a_goroutine", || {
        on_many(300, |_| gusty::yield_now());
        for library in [DYNAMIC, DESCRIPTOR] {
            let open = move || {
                let handle = library.open()?;
                assert!(!handle.is_null());
                // SAFETY: just opened.
                let next = unsafe { library.next(handle) };
                assert_eq!(next(), library.initial);
                Some(next)
            };
            let Some(next) = gusty::spawn(open).join().unwrap() else { return };
            check(next, library.initial);
        }
    });
}

/// What `dlerror` says, on this goroutine.
fn error() -> String {
    // SAFETY: null or a string that is good until the next call.
    unsafe {
        let text = libc::dlerror();
        assert!(!text.is_null(), "dlopen failed without an error");
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}

#[test]
fn one_that_insists_on_room_is_refused_if_there_is_none() {
    let child = Child::of("libraries::one_that_insists_on_room_is_refused_if_there_is_none");
    let ended = child.run(|| {
        on_many(100, |_| gusty::yield_now());
        let open = || {
            if let Some(handle) = INITIAL.open() {
                assert!(handle.is_null());
                let error = error();
                assert!(error.contains("static TLS"), "{error}");
            }
        };
        open();
        gusty::spawn(open).join().unwrap();
        on_many(100, |_| gusty::yield_now());
    });
    ended.succeeded();
}

#[test]
fn one_that_insists_on_room_gets_it_if_it_is_kept() {
    for by_goroutine in [false, true] {
        let test = "libraries::one_that_insists_on_room_gets_it_if_it_is_kept";
        let child = Child::of(test)
            .env("GUSTY_TLS_SURPLUS", "keep")
            .env("GUSTYDEBUG", "migrate=1")
            .env("BY_GOROUTINE", by_goroutine);
        let ended = child.run(|| {
            let (sender, receiver) = gusty::chan::bounded::<Next>(0);
            let parked: Vec<_> = (0..100)
                .map(|_| {
                    let receiver = receiver.clone();
                    gusty::spawn(move || {
                        if let Ok(next) = receiver.recv() {
                            assert_eq!((next(), next()), (INITIAL.initial, INITIAL.initial + 1));
                        }
                    })
                })
                .collect();
            gusty::yield_now();
            let open = || INITIAL.open().map(|handle| handle.addr());
            let by_goroutine = std::env::var("BY_GOROUTINE").is_ok_and(|is| is == "true");
            let handle = if by_goroutine { gusty::spawn(open).join().unwrap() } else { open() };
            if let Some(handle) = handle {
                assert_ne!(handle, 0);
                // SAFETY: just opened.
                let next = unsafe { INITIAL.next(std::ptr::without_provenance_mut(handle)) };
                (0..100).for_each(|_| sender.send(next).unwrap());
                check(next, INITIAL.initial);
            }
            drop(sender);
            parked.into_iter().for_each(|handle| handle.join().unwrap());
        });
        ended.succeeded();
    }
}

#[test]
fn an_error_of_the_loader_is_the_goroutines() {
    with_and_without_room("libraries::an_error_of_the_loader_is_the_goroutines", || {
        on_many(50, |i| {
            let path = CString::new(format!("/no/such/library{i}.so")).unwrap();
            // SAFETY: a valid path; a null handle.
            unsafe {
                assert!(libc::dlopen(path.as_ptr(), libc::RTLD_NOW).is_null());
                gusty::yield_now();
                let said = error();
                assert!(said.contains(path.to_str().unwrap()), "{said}");
                assert!(libc::dlerror().is_null());
            }
        });
    });
}

#[test]
fn linked_ones() {
    for library in [DYNAMIC, INITIAL, DESCRIPTOR] {
        // A preloaded library is loaded as a linked one is: with the program.
        let in_child = std::env::var_os("LINKED");
        let Some(path) = (match &in_child {
            Some(path) => Some(PathBuf::from(path)),
            None => library.compile(),
        }) else {
            return;
        };
        let path = path.to_str().unwrap().to_owned();
        let child = Child::of("libraries::linked_ones")
            .env("LD_PRELOAD", &path)
            .env("LINKED", &path)
            .env("GUSTYDEBUG", "migrate=1");
        let ended = child.run(|| {
            let all = [DYNAMIC, INITIAL, DESCRIPTOR];
            let linked = all.iter().find(|one| path.ends_with(&format!("lib{}.so", one.name)));
            let linked = linked.unwrap();
            // SAFETY: linked.
            let next = unsafe { linked.next(libc::RTLD_DEFAULT) };
            assert_eq!(next(), linked.initial);
            check(next, linked.initial);
        });
        ended.succeeded();
    }
}

#[test]
fn opened_and_closed_again_and_again() {
    with_and_without_room("libraries::opened_and_closed_again_and_again", || {
        for round in 0..30 {
            let library = [DYNAMIC, DESCRIPTOR][round % 2];
            let Some(handle) = library.open() else { return };
            assert!(!handle.is_null());
            // SAFETY: just opened; closed after its last use.
            unsafe {
                let next = library.next(handle);
                on_many(50, move |_| {
                    for k in 0..3 {
                        assert_eq!(next(), library.initial + k);
                        gusty::yield_now();
                    }
                });
                assert_eq!(libc::dlclose(handle), 0);
            }
        }
    });
}

#[test]
fn one_with_destructors_to_run_stays() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    static REGISTERED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn add(word: *mut c_void) {
        // SAFETY: the library's word.
        SUM.fetch_add(unsafe { *word.cast::<c_long>() } as usize, Ordering::Relaxed);
    }
    with_and_without_room("libraries::one_with_destructors_to_run_stays", || {
        type Register = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void)) -> c_int;
        let Some(handle) = KEEPER.open() else { return };
        assert!(!handle.is_null());
        // SAFETY: the library's function has this signature, and is not used after the library is
        // closed.
        let register = unsafe {
            std::mem::transmute::<*mut c_void, Register>(libc::dlsym(
                handle,
                c"keeper_register".as_ptr(),
            ))
        };
        let (sender, receiver) = gusty::chan::bounded::<()>(0);
        let parked: Vec<_> = (0..20)
            .map(|_| {
                let receiver = receiver.clone();
                gusty::spawn(move || {
                    // SAFETY: `add` may be called once for each.
                    assert_eq!(unsafe { register(add) }, 0);
                    REGISTERED.fetch_add(1, Ordering::Release); // read below
                    receiver.recv().unwrap_err();
                })
            })
            .collect();
        until(|| REGISTERED.load(Ordering::Acquire) == 20); // stored above
        // SAFETY: nothing of it is called any more, but what it registered is still to run.
        assert_eq!(unsafe { libc::dlclose(handle) }, 0);
        drop(sender);
        parked.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(SUM.load(Ordering::Relaxed), 20 * 40);
    });
}
