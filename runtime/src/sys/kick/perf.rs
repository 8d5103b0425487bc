//! Job: a kick by a performance event of the kernel that counts the thread's time in user mode.
//! Layer: L0 (machine)
//! Invariants
//!   PE1  An event is enabled only together with a limit of one more signal (`REFRESH`): an enabled
//!        event without a limit would go on for ever.
//!   PE2  A signal may get lost: one that comes while the same signal of somebody else waits to be
//!        delivered. So an event that has not been felt for long is armed anew.
//! Source: perf_event_open(2), "signal overflow"; the kernel's `perf_swevent_hrtimer`

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_ulong, pid_t};

use super::handler::{self, SIGNAL};
use crate::sys::clock::{self, Nanos};

const DISABLE: c_ulong = 0x2401;
const REFRESH: c_ulong = 0x2402;
const PERIOD: c_ulong = 0x4008_2404;
/// The kernel takes shorter periods for this one.
const SHORTEST: Nanos = 10_000;
/// PE2.
const LOST_NS: Nanos = 20_000_000;

#[derive(Debug)]
pub(super) struct Event {
    fd: OwnedFd,
    period: AtomicU64,
    /// When it was armed, if a signal is due that has not come yet; else 0.
    armed: AtomicU64,
}

impl Event {
    /// For the calling thread, `tid`. `None` where the system does not allow it.
    pub(super) fn new(tid: pid_t) -> Option<Event> {
        let fd = open(tid)?;
        if !handler::own(fd.as_raw_fd()) {
            return None;
        }
        let event = Event { fd, period: AtomicU64::new(SHORTEST), armed: AtomicU64::new(0) };
        event.direct_to(tid).then_some(event)
    }

    /// Signals for this event go to that thread, and say which descriptor they come from.
    fn direct_to(&self, tid: pid_t) -> bool {
        const F_SETSIG: c_int = 10;
        const F_SETOWN_EX: c_int = 15;
        const F_OWNER_TID: c_int = 0;
        let (fd, owner) = (self.fd.as_raw_fd(), [F_OWNER_TID, tid]);
        // SAFETY: the descriptor is open; the owner is two integers that the kernel copies.
        unsafe {
            libc::fcntl(fd, F_SETOWN_EX, owner.as_ptr()) == 0
                && libc::fcntl(fd, F_SETSIG, SIGNAL) == 0
                && libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC) == 0
        }
    }

    pub(super) fn arm(&self, after_ns: Nanos) {
        let period = after_ns.max(SHORTEST);
        if self.period.load(Ordering::Relaxed) != period {
            self.period.store(period, Ordering::Relaxed); // KI2
            self.control(PERIOD, (&raw const period).addr() as c_ulong);
        }
        let now = clock::now();
        let armed = self.armed.load(Ordering::Relaxed);
        if armed == 0 || now.saturating_sub(armed) >= LOST_NS {
            self.armed.store(now.max(1), Ordering::Relaxed);
            self.control(REFRESH, 1); // PE1, PE2
        }
    }

    pub(super) fn disarm(&self) {
        // What was due is still counted: the next one may come twice (KI4).
        if self.armed.swap(0, Ordering::Relaxed) != 0 {
            self.control(DISABLE, 0);
        }
    }

    pub(super) fn fired(&self) {
        self.armed.store(0, Ordering::Relaxed); // a flag; the event itself is the kernel's
    }

    fn control(&self, request: c_ulong, argument: c_ulong) {
        // SAFETY: the descriptor is open; PERIOD reads a number that lives, the others no memory.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), request, argument) };
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.control(DISABLE, 0);
        handler::disown(self.fd.as_raw_fd());
    }
}

fn open(tid: pid_t) -> Option<OwnedFd> {
    /// The first published form of `perf_event_attr`.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        kind: u32,
        size: u32,
        config: u64,
        period: u64,
        sample_type: u64,
        read_format: u64,
        flags: u64,
        wakeup_events: u32,
        breakpoint: [u32; 3],
    }
    const SOFTWARE: u32 = 1;
    const TASK_CLOCK: u64 = 1;
    const DISABLED: u64 = 1;
    const NOT_IN_KERNEL: u64 = 1 << 5 | 1 << 6;
    const CLOEXEC: c_ulong = 8;
    let attributes = Attributes {
        kind: SOFTWARE,
        size: size_of::<Attributes>() as u32,
        config: TASK_CLOCK,
        period: SHORTEST,
        flags: DISABLED | NOT_IN_KERNEL,
        wakeup_events: 1,
        ..Attributes::default()
    };
    let (any_cpu, no_group): (c_int, c_int) = (-1, -1);
    // SAFETY: the attributes are of the size that they name; the kernel copies them.
    let fd = unsafe {
        let call = libc::SYS_perf_event_open;
        libc::syscall(call, &raw const attributes, tid, any_cpu, no_group, CLOEXEC)
    };
    // SAFETY: a new descriptor that nobody else owns.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}
