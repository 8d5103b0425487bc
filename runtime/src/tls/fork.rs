//! Job: the child of a fork that a goroutine made.
//! Layer: L0 (machine)
//! Invariants
//!   FK1  In the child the goroutine is the only thread there is, and glibc has entered its block in
//!        the list of threads as that. So it is a plain thread from then on: it borrows nothing of
//!        the thread that was under it, whose stack and block libc gives to the child's next threads.
//!   FK2  The kernel would still write the CPU number into that thread's block at each return
//!        (restartable sequences), and kill the child once libc has unmapped it: it is told not to.
//!
//! The scheduler's other threads do not exist there, so goroutines do not run: a child is to use libc
//! and std as after any fork of a threaded program, and to call `exec` or `_exit`.

use std::sync::OnceLock;

use super::template;
use super::words::{self, HOST, SCHED};

/// Offset of the area for restartable sequences from the FS base; 0 if there is none.
static AREA: OnceLock<isize> = OnceLock::new();

/// From now on FK1 and FK2 hold. False if there is no memory for it.
pub(super) fn follow() -> bool {
    if AREA.get().is_some() {
        return true;
    }
    // SAFETY: the handler sets two words and makes one system call.
    let registered = unsafe { libc::pthread_atfork(None, None, Some(in_child)) == 0 };
    AREA.get_or_init(|| template::rseq().unwrap_or(0));
    registered
}

unsafe extern "C" fn in_child() {
    let host = words::get::<HOST>();
    if host == 0 {
        return;
    }
    // SAFETY: WD2; the scheduler's word says that this is one of its threads, which it is not (FK1).
    unsafe {
        words::set::<HOST>(0);
        words::set::<SCHED>(0);
    }
    match AREA.get() {
        None | Some(0) => {}
        Some(area) => unregister(host.wrapping_add_signed(*area)),
    }
}

/// FK2.
fn unregister(area: usize) {
    const UNREGISTER: i32 = 1;
    /// glibc's, on x86-64.
    const SIGNATURE: u32 = 0x5305_3053;
    // The length must be that of the registration: 32 until kernels knew more.
    for length in [32, 64, 96, 128] {
        // SAFETY: takes plain numbers, and fails if this is not the area of this thread.
        if unsafe { libc::syscall(libc::SYS_rseq, area, length, UNREGISTER, SIGNATURE) } == 0 {
            return;
        }
    }
}
