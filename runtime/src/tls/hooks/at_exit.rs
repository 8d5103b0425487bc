//! Job: note what has to be undone when a goroutine ends.
//! Layer: L0 (machine)
//! Not here: undoing it (`dtors`, `keys`).
//! Invariants
//!   AE1  A library with a destructor still to run on a goroutine is not unloaded: it is made
//!        permanent at the first registration. (glibc counts them instead, per thread.) It is the
//!        library of the variable; the destructor may be a function of another one.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{locale_t, pthread_key_t};

use super::next::next;
use crate::tls::dtors::{self, Dtor};
use crate::tls::keys::{self, KeyDtor};
use crate::tls::words::{self, USED_KEYS, USED_LOCALE};

/// Registers a destructor of a thread-local; std's and C++'s runtimes call it.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn __cxa_thread_atexit_impl(
    dtor: Dtor,
    object: *mut c_void,
    library: *mut c_void,
) -> c_int {
    if !words::on_goroutine() {
        let next = next!(c"__cxa_thread_atexit_impl": fn(Dtor, *mut c_void, *mut c_void) -> c_int);
        // SAFETY: as for this function.
        return unsafe { next(dtor, object, library) };
    }
    keep_loaded(library);
    dtors::register(dtor, object);
    0
}

/// Do calls of the whole process come here? Not if the runtime is part of a library that was
/// opened by a program without it.
pub(in crate::tls) fn in_place() -> bool {
    // SAFETY: a valid name.
    let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_thread_atexit_impl".as_ptr()) };
    // Not by the address of our function, which may be resolved to libc's as calls are.
    let (theirs, ours) = (library_of(first), library_of(in_place as *const c_void));
    ours.is_some() && theirs.map(|info| info.dli_fbase) == ours.map(|info| info.dli_fbase)
}

/// What the loader knows of the library that `address` is in.
fn library_of(address: *const c_void) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::uninit();
    // SAFETY: `info` has the room, and is filled in on success.
    unsafe { (libc::dladdr(address, info.as_mut_ptr()) != 0).then(|| info.assume_init()) }
}

/// Makes the library that `library` is an address in permanent, unless it is ours (AE1).
fn keep_loaded(library: *mut c_void) {
    unsafe extern "C" {
        static __dso_handle: u8;
    }
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let ours = &raw const __dso_handle;
    if library.addr() == ours.addr() || library.addr() == LAST.load(Ordering::Relaxed) {
        return;
    }
    if let Some(info) = library_of(library) {
        let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        // SAFETY: the name is the loader's; the library is loaded, so nothing of it runs now.
        unsafe { libc::dlopen(info.dli_fname, flags) };
    }
    LAST.store(library.addr(), Ordering::Relaxed); // a hint; doing it twice is harmless
}

/// Makes a key for thread-specific data.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn pthread_key_create(key: *mut pthread_key_t, dtor: Option<KeyDtor>) -> c_int {
    let next = next!(c"pthread_key_create": fn(*mut pthread_key_t, Option<KeyDtor>) -> c_int);
    // SAFETY: as for this function; on success the key was stored.
    unsafe {
        let result = next(key, dtor);
        if result == 0 {
            keys::created(*key, dtor);
        }
        result
    }
}

/// The same for C11 threads.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn tss_create(key: *mut pthread_key_t, dtor: Option<KeyDtor>) -> c_int {
    let next = next!(c"tss_create": fn(*mut pthread_key_t, Option<KeyDtor>) -> c_int);
    // SAFETY: as for this function; on success the key was stored.
    unsafe {
        let result = next(key, dtor);
        if result == 0 {
            keys::created(*key, dtor);
        }
        result
    }
}

/// Sets this thread's or goroutine's value of a key.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn pthread_setspecific(key: pthread_key_t, value: *const c_void) -> c_int {
    if !value.is_null() && words::on_goroutine() {
        keys::mark(USED_KEYS);
    }
    let next = next!(c"pthread_setspecific": fn(pthread_key_t, *const c_void) -> c_int);
    // SAFETY: as for this function.
    unsafe { next(key, value) }
}

/// The same for C11 threads.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn tss_set(key: pthread_key_t, value: *mut c_void) -> c_int {
    if !value.is_null() && words::on_goroutine() {
        keys::mark(USED_KEYS);
    }
    let next = next!(c"tss_set": fn(pthread_key_t, *mut c_void) -> c_int);
    // SAFETY: as for this function.
    unsafe { next(key, value) }
}

/// Chooses the locale of this thread or goroutine.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn uselocale(locale: locale_t) -> locale_t {
    if !locale.is_null() && locale != keys::GLOBAL_LOCALE && words::on_goroutine() {
        keys::mark(USED_LOCALE);
    }
    let next = next!(c"uselocale": fn(locale_t) -> locale_t);
    // SAFETY: as for this function.
    unsafe { next(locale) }
}

/// Ends the calling thread. A goroutine has no thread of its own to end.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C-unwind" fn pthread_exit(value: *mut c_void) -> ! {
    if words::on_goroutine() {
        const TEXT: &str = "fatal error: pthread_exit on a goroutine: return from it instead\n";
        // SAFETY: valid memory.
        unsafe { libc::write(2, TEXT.as_ptr().cast(), TEXT.len()) };
        std::process::abort();
    }
    type Function = unsafe extern "C-unwind" fn(*mut c_void) -> !;
    static NEXT: super::next::Next = super::next::Next::new(c"pthread_exit");
    // SAFETY: libc's function of this name has this signature; the rest as for this function.
    unsafe { std::mem::transmute::<usize, Function>(NEXT.address())(value) }
}
