//! Job: the child of a fork that a goroutine made.
//! Layer: L0 (machine)
//! Invariants
//!   FK1  In the child the goroutine is the only thread there is, and glibc has entered its block in
//!        the list of threads as that. So it is a plain thread from then on: it borrows nothing of
//!        the thread that was under it, whose stack and block libc gives to the child's next threads.
//!
//! The scheduler's other threads do not exist there, so goroutines do not run: a child is to use libc
//! and std as after any fork of a threaded program, and to call `exec` or `_exit`.

use crate::tls::words::{self, HOST, SCHED};

/// From now on FK1 holds. False if there is no memory for it.
pub(in crate::tls) fn follow_forks() -> bool {
    // SAFETY: a function that may be called in the child.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) == 0 }
}

unsafe extern "C" fn in_child() {
    if words::on_goroutine() {
        // SAFETY: WD2; the scheduler's word says that this is one of its threads, which it is not.
        unsafe {
            words::set::<HOST>(0);
            words::set::<SCHED>(0);
        }
    }
}
