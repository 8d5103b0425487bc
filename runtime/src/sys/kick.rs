//! Job: make a thread that computes run a signal handler, and leave one that is blocked alone.
//! Layer: L0 (machine)
//! Not here: whom to kick and when (`gusty_sysmon`, the scheduler), what the handler does.
//! Invariants
//!   KI1  A kick belongs to one thread, which makes and drops it; nobody arms it after that.
//!   KI2  Only one thread at a time arms or disarms a kick from outside (the watchdog, or who holds its
//!        lock); the thread itself may arm it at any time. If both do, one of the two delays counts.
//!   KI3  `perf` and `timer` fire only when the thread returns to, or is in, user mode with CPU time
//!        used: a blocked call never returns early or short because of them.
//!   KI4  A kick may be late, may come after it was disarmed, and may come twice: the handler looks
//!        whether it is still wanted.
//!
//! Three ways, from the best down:
//! - `perf`: a software event that counts the thread's CPU time by a high-resolution timer, and counts
//!   only in user mode. Not allowed in many containers and at `perf_event_paranoid` above 2. One
//!   descriptor for each thread.
//! - `timer`: a timer on the thread's CPU clock. Always there, but it is the scheduler's tick that
//!   notices: up to a period of `CONFIG_HZ` late (4 ms at 250). A slot of `RLIMIT_SIGPENDING`.
//! - `tgkill`: a signal to the thread, whatever it does. It makes many blocked calls fail with EINTR
//!   in spite of `SA_RESTART` (those with timeouts: nanosleep, poll, epoll_wait, select), and a write
//!   to a pipe return short. Never chosen by itself; for those who want its latency.
//!
//! A thread for which neither of the first two can be had is not kicked at all. Its P is retaken all the
//! same; the thread then computes beside the others until it enters the runtime.

mod handler;
mod perf;
#[cfg(test)]
mod tests;
mod timer;

pub(crate) use handler::install;

use libc::pid_t;

use super::clock::Nanos;
use super::cpu;

/// The ways to kick; see the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rung {
    /// A software event of the kernel's performance counters.
    Perf,
    /// A timer on the thread's CPU clock.
    Timer,
    /// A plain signal.
    Tgkill,
    /// Not at all.
    Off,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Kick(Means);

#[derive(Debug)]
enum Means {
    Perf(perf::Event),
    Timer(timer::CpuTimer),
    Tgkill(pid_t),
    Off,
}

impl Kick {
    /// For the calling thread: by `first`, or what comes after it if that cannot be had. A few system
    /// calls.
    pub(crate) fn new_for_this_thread(first: Rung) -> Kick {
        let tid = cpu::this_thread();
        let perf = (first == Rung::Perf).then(|| perf::Event::new(tid)).flatten();
        let timer = || matches!(first, Rung::Perf | Rung::Timer).then(|| timer::CpuTimer::new(tid));
        Kick(match (perf, first) {
            (Some(event), _) => Means::Perf(event),
            (None, Rung::Tgkill) => Means::Tgkill(tid),
            (None, _) => timer().flatten().map_or(Means::Off, Means::Timer),
        })
    }

    /// Which of the ways this is.
    pub(crate) fn rung(&self) -> Rung {
        match self.0 {
            Means::Perf(_) => Rung::Perf,
            Means::Timer(_) => Rung::Timer,
            Means::Tgkill(_) => Rung::Tgkill,
            Means::Off => Rung::Off,
        }
    }

    /// Kicks the thread once it has computed for `after_ns` nanoseconds from now (at once in case of
    /// `tgkill`). Armed again before that: the last one counts. From any thread (KI1, KI2); allocates
    /// nothing; 0.3 us (`timer`), 1 us (`tgkill`), 1 to 5 us (`perf`).
    pub(crate) fn arm(&self, after_ns: Nanos) {
        match &self.0 {
            Means::Perf(event) => event.arm(after_ns),
            Means::Timer(timer) => timer.set(after_ns.max(1)),
            Means::Tgkill(tid) => handler::queue(*tid),
            Means::Off => {}
        }
    }

    /// Takes back what can be taken back (KI4).
    pub(crate) fn disarm(&self) {
        match &self.0 {
            Means::Perf(event) => event.disarm(),
            Means::Timer(timer) => timer.set(0),
            Means::Tgkill(_) | Means::Off => {}
        }
    }

    /// The handler ran. To be called there, for the kick of its thread; else it may not come again.
    pub(crate) fn fired(&self) {
        if let Means::Perf(event) = &self.0 {
            event.fired();
        }
    }
}
