//! Job: setuid, setgid and their kin while goroutines run.
//! Layer: L0 (machine)
//! Invariants
//!   SI1  glibc changes the ids of all threads by signalling each and waiting until a flag in that
//!        thread's control block is cleared. The handler clears it through the FS base, so it has
//!        to run on the thread's own, or whoever called setuid would wait for ever.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tls::host::as_host;

/// glibc's second internal signal (`SIGSETXID`), which `sigaction` refuses to name.
const SIGNAL: c_int = 33;

/// As the kernel has it.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

type Handler = unsafe extern "C" fn(c_int, *mut c_void, *mut c_void);

static GLIBCS: AtomicUsize = AtomicUsize::new(0);

/// Puts ours before glibc's handler, which is there since the process made its first thread. False
/// if it is not.
pub(in crate::tls) fn wrap_handler() -> bool {
    let mut action = KernelAction::default();
    if !change(std::ptr::null(), &raw mut action) || action.handler <= libc::SIG_IGN {
        return false;
    }
    if action.handler == ours() {
        return true;
    }
    GLIBCS.store(action.handler, Ordering::Relaxed); // seen by the handler installed next
    action.handler = ours();
    change(&raw const action, std::ptr::null_mut())
}

fn ours() -> usize {
    on_signal as *const () as usize
}

fn change(new: *const KernelAction, old: *mut KernelAction) -> bool {
    const MASK_BYTES: c_long = 8;
    // SAFETY: both are null or valid.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, SIGNAL, new, old, MASK_BYTES) };
    result == 0
}

unsafe extern "C" fn on_signal(signal: c_int, info: *mut c_void, context: *mut c_void) {
    let glibcs = GLIBCS.load(Ordering::Relaxed);
    // SAFETY: the word is the handler that was installed with these flags; SI1.
    as_host(|| unsafe { std::mem::transmute::<usize, Handler>(glibcs)(signal, info, context) });
}
