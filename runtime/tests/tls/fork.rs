//! Job: what a forked child of a threaded program may do: use libc, malloc, threads of libc's. Not
//!   threads of std's: starting one takes a lock that another thread may have held at the fork.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// Forks; the child runs `scenario` and says whether it was true.
pub(crate) fn in_fork(scenario: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses what libc makes usable in it, and `_exit`.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            libc::_exit(if scenario() { 42 } else { 1 });
        }
        let mut status: c_int = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42
    }
}

/// Allocates and frees, a sum of sizes.
fn work() -> usize {
    (0..200).map(|i| std::hint::black_box(vec![1_u8; i * 20]).len()).sum()
}

extern "C" fn run(_: *mut c_void) -> *mut c_void {
    ptr::without_provenance_mut(work())
}

/// Allocates, and has threads allocate whose stacks are of the sizes that libc may have in store from
/// threads that did not come along.
pub(crate) fn allocates() -> bool {
    let start = |bytes: usize| {
        let mut attributes = MaybeUninit::uninit();
        let mut thread = 0;
        // SAFETY: the attributes are initialised first; a function of the right type.
        unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), bytes);
            let error =
                libc::pthread_create(&raw mut thread, attributes.as_ptr(), run, ptr::null_mut());
            (error == 0).then_some(thread)
        }
    };
    let threads = [64, 128, 128, 256, 2_048].map(|kib| start(kib << 10));
    let own = work();
    threads.into_iter().all(|thread| {
        let mut sum = ptr::null_mut();
        // SAFETY: started above, joined once.
        thread.is_some_and(|thread| unsafe { libc::pthread_join(thread, &raw mut sum) } == 0)
            && sum.addr() == own
    })
}
