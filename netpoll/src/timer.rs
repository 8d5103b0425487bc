//! Job: a timerfd that makes a deadline an event, so that a block ends to the microsecond.
//! Not here: when to arm it (`poller`).
//! Invariants
//!   TI1  `armed` is the deadline whose expiry has not been delivered yet, so asking for the same
//!        one again needs no system call.
//! Source: epoll_wait counts milliseconds. A timerfd is never read here: with edge triggering
//!   every expiry is an event, and setting it drops an expiry that was not delivered yet.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

const NANOS_PER_SEC: u64 = 1_000_000_000;

pub(crate) struct Timer {
    fd: OwnedFd,
    armed: Option<u64>,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just created, owned by nobody else.
        Ok(Timer { fd: unsafe { OwnedFd::from_raw_fd(fd) }, armed: None })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Makes `deadline` the next expiry; `None` for no expiry at all.
    pub(crate) fn arm(&mut self, deadline: Option<u64>) -> io::Result<()> {
        if self.armed == deadline {
            return Ok(()); // TI1
        }
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            // Nanosecond 0 would disarm it: that is `None`.
            it_value: timespec(deadline.map_or(0, |nanos| nanos.max(1))),
        };
        let fd = self.fd.as_raw_fd();
        // SAFETY: `spec` is valid for reads; the old value is not asked for.
        let result = unsafe {
            libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const spec, ptr::null_mut())
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        self.armed = deadline;
        Ok(())
    }

    /// The expiry was delivered.
    pub(crate) fn fired(&mut self) {
        self.armed = None; // TI1
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn now() -> u64 {
    let mut time = timespec(0);
    // SAFETY: writes one timespec; the clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[expect(clippy::cast_sign_loss, reason = "the monotonic clock is never negative")]
    let (sec, nsec) = (time.tv_sec as u64, time.tv_nsec as u64);
    sec * NANOS_PER_SEC + nsec
}

#[expect(clippy::cast_possible_wrap, reason = "u64 nanoseconds are fewer than i64 seconds")]
fn timespec(nanos: u64) -> libc::timespec {
    let (sec, nsec) = (nanos / NANOS_PER_SEC, nanos % NANOS_PER_SEC);
    libc::timespec { tv_sec: sec as libc::time_t, tv_nsec: nsec as libc::c_long }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn remaining(timer: &Timer) -> (i64, i64) {
        let mut spec = libc::itimerspec { it_interval: timespec(0), it_value: timespec(0) };
        // SAFETY: writes one itimerspec.
        assert_eq!(unsafe { libc::timerfd_gettime(timer.fd(), &raw mut spec) }, 0);
        (spec.it_value.tv_sec, spec.it_value.tv_nsec)
    }

    #[test]
    fn arming_and_disarming_reach_the_kernel() {
        let mut timer = Timer::new().unwrap();
        assert_eq!(remaining(&timer), (0, 0));
        timer.arm(Some(now() + 3_600 * NANOS_PER_SEC)).unwrap();
        assert_ne!(remaining(&timer), (0, 0));
        timer.arm(None).unwrap();
        assert_eq!(remaining(&timer), (0, 0));
    }

    #[test]
    fn the_same_deadline_is_set_once_until_it_fires() {
        let mut timer = Timer::new().unwrap();
        let deadline = Some(now() + 3_600 * NANOS_PER_SEC);
        timer.arm(deadline).unwrap();
        // Disarmed behind the timer's back: arming again shows by a system call.
        let off = libc::itimerspec { it_interval: timespec(0), it_value: timespec(0) };
        // SAFETY: `off` is valid for reads.
        unsafe { libc::timerfd_settime(timer.fd(), 0, &raw const off, ptr::null_mut()) };
        timer.arm(deadline).unwrap();
        assert_eq!(remaining(&timer), (0, 0));
        timer.fired();
        timer.arm(deadline).unwrap();
        assert_ne!(remaining(&timer), (0, 0));
    }

    #[test]
    fn the_furthest_deadline_is_accepted() {
        let mut timer = Timer::new().unwrap();
        timer.arm(Some(u64::MAX)).unwrap();
        assert_ne!(remaining(&timer), (0, 0));
    }
}
