//! Job: what the child of a `fork` on a goroutine needs.
//! Layer: L0 (machine)
//! Invariants
//!   FK1  In the child libc takes the goroutine for the only thread and all other threads' memory,
//!        that of the thread under the goroutine too, for free. The kernel would still write the CPU
//!        number there at each return (restartable sequences), and kill the child once libc has
//!        unmapped it; so it is told not to.

use std::sync::Once;
use std::sync::atomic::{AtomicIsize, Ordering};

use super::template;
use super::words::{self, HOST};

/// Offset of the area from the FS base; 0 if there is none.
static AREA: AtomicIsize = AtomicIsize::new(0);

/// From now on children are prepared.
pub(super) fn prepare_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(area) = template::rseq() else { return };
        AREA.store(area, Ordering::Relaxed); // seen by the handler registered next
        // SAFETY: the handler makes one system call. Without memory for it, nothing is worse.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

unsafe extern "C" fn in_child() {
    const UNREGISTER: i32 = 1;
    /// glibc's, on x86-64.
    const SIGNATURE: u32 = 0x5305_3053;
    // FK1
    let (host, area) = (words::get::<HOST>(), AREA.load(Ordering::Relaxed));
    if host != 0 {
        let area = host.wrapping_add_signed(area);
        // The length must be that of the registration: 32 until kernels knew more.
        for length in [32, 64, 96, 128] {
            // SAFETY: takes plain numbers, and fails if this is not the area of this thread.
            if unsafe { libc::syscall(libc::SYS_rseq, area, length, UNREGISTER, SIGNATURE) } == 0 {
                return;
            }
        }
    }
}
