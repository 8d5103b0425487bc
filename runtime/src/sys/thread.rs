//! Job: starting a thread without the program's allocator.
//! Layer: L0 (machine)
//! Not here: which threads there are (`sched::threads`), what they do.
//! Invariants
//!   TN1  Between the call and the first instruction of the thread's body only libc allocates: the
//!        table of thread-locals of the new thread. (`std::thread` makes boxes and names, and would
//!        wait for a goroutine that was stopped in the program's allocator, which may itself wait for
//!        the thread.)

use std::ffi::{CStr, c_void};
use std::io::Write;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

/// What libc needs of a stack before the body gets any, by `__pthread_get_minstack`.
static OVERHEAD: OnceLock<usize> = OnceLock::new();

/// Learns what later calls of [`start`] need to know. Allocates.
pub(crate) fn prepare() {
    OVERHEAD.get_or_init(|| {
        // SAFETY: a terminated name.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__pthread_get_minstack".as_ptr()) };
        if found.is_null() {
            return libc::PTHREAD_STACK_MIN;
        }
        // SAFETY: glibc's function of that name has this signature (as std has it).
        let minimum = unsafe {
            std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(*const libc::pthread_attr_t) -> usize,
            >(found)
        };
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialised by the first call, not used after the last.
        unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            let overhead = minimum(attributes.as_ptr());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            overhead
        }
    });
}

/// Starts a thread that runs `body` on a stack with room for `stack_bytes`; nobody joins it. Neither
/// may it panic. Call [`prepare`] before.
///
/// # Errors
/// That of `pthread_create`.
pub(crate) fn start(stack_bytes: usize, body: fn()) -> Result<(), i32> {
    extern "C" fn run(body: *mut c_void) -> *mut c_void {
        // SAFETY: the function that `start` passed.
        let body = unsafe { std::mem::transmute::<*mut c_void, fn()>(body) };
        body();
        ptr::null_mut()
    }
    const PAGE: usize = 4096;
    let overhead = OVERHEAD.get().copied().unwrap_or(libc::PTHREAD_STACK_MIN);
    let size = (stack_bytes + overhead).next_multiple_of(PAGE);
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: initialised by the first call, not used after the last; the body is a function for ever
    // (TN1).
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size);
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        let body = body as *mut c_void;
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, body);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error == 0 { Ok(()) } else { Err(error) }
}

/// Names the calling thread `gusty-m` and a number, as `ps` and debuggers show it.
pub(crate) fn name_this(number: u32) {
    let mut name = [0u8; 16];
    let _ = write!(&mut name[..15], "gusty-m{number}"); // the kernel takes 15 bytes
    if let Ok(name) = CStr::from_bytes_until_nul(&name) {
        // SAFETY: a terminated string. It cannot fail but for its length.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_thread_runs_its_body_and_has_a_name() {
        static NAMED: AtomicU32 = AtomicU32::new(0);
        prepare();
        start(64 << 10, || {
            name_this(1_234_567_890);
            let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            NAMED.store(if name == "gusty-m12345678\n" { 1 } else { 2 }, Ordering::Release);
        })
        .unwrap();
        while NAMED.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(NAMED.load(Ordering::Acquire), 1);
    }
}
