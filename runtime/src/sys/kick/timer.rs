//! Job: a kick by a timer on the thread's CPU clock.
//! Layer: L0 (machine)
//!
//! The kernel looks at such timers at its tick and sends their signals when the thread returns to user
//! mode (`CONFIG_POSIX_CPU_TIMERS_TASK_WORK`, since Linux 5.11): a sleeping thread is not woken.

use std::ptr;

use libc::{pid_t, timer_t, timespec};

use super::handler::{self, SIGNAL};
use crate::sys::clock::Nanos;

#[derive(Debug)]
pub(super) struct CpuTimer(timer_t);

// SAFETY: the id of a kernel object of this process, valid on all its threads.
unsafe impl Send for CpuTimer {}
// SAFETY: as above; each use is one system call.
unsafe impl Sync for CpuTimer {}

impl CpuTimer {
    /// On the clock of the calling thread, `tid`. `None` where the system has no room for it.
    pub(super) fn new(tid: pid_t) -> Option<CpuTimer> {
        let mut timer = ptr::null_mut();
        // SAFETY: zeroes are a valid `sigevent`, completed below; the kernel copies it.
        let made = unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = tid;
            event.sigev_value.sival_ptr = handler::mark();
            libc::timer_create(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut event, &raw mut timer)
        };
        (made == 0).then_some(CpuTimer(timer))
    }

    /// Once, in so many nanoseconds of CPU time; 0 is never.
    pub(super) fn set(&self, after_ns: Nanos) {
        let [sec, nsec] = [after_ns / 1_000_000_000, after_ns % 1_000_000_000];
        let never = timespec { tv_sec: 0, tv_nsec: 0 };
        let after = timespec { tv_sec: sec.cast_signed(), tv_nsec: nsec.cast_signed() };
        let value = libc::itimerspec { it_interval: never, it_value: after };
        // SAFETY: the timer lives (KI1); a valid time. It can only fail if the thread is gone.
        unsafe { libc::timer_settime(self.0, 0, &raw const value, ptr::null_mut()) };
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        // SAFETY: made by `new`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}
