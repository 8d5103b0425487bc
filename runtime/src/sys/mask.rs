//! Job: the signal mask of scheduler threads.
//! Layer: L0 (machine)
//!
//! A new thread inherits the mask of the one that makes it, which may be the watchdog (all blocked)
//! or whoever happened to wake an M. All get the mask of the thread that started the scheduler.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

static MASK: OnceLock<libc::sigset_t> = OnceLock::new();

/// Remembers the calling thread's mask; the first call counts.
pub(crate) fn remember() {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a null new mask only reads; the old one is filled in.
    let mask = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), mask.as_mut_ptr());
        mask.assume_init()
    };
    let _ = MASK.set(mask); // the first one counts
}

/// Whether `mask`, of which the kernel has written one word, is the remembered one: code in a signal
/// handler has another. Async-signal-safe.
pub(crate) fn is_usual(mask: &libc::sigset_t) -> bool {
    // SAFETY: a set begins with the kernel's, of 64 signals.
    let word = |set: &libc::sigset_t| unsafe { std::ptr::from_ref(set).cast::<u64>().read() };
    MASK.get().is_some_and(|usual| word(usual) == word(mask))
}

/// Gives the calling thread the remembered mask.
pub(crate) fn adopt() {
    if let Some(mask) = MASK.get() {
        // SAFETY: a valid mask; no old one is asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
    }
}
