//! Job: time as the runtime keeps it: nanoseconds of CLOCK_MONOTONIC, and a cheap cycle counter.
//! Layer: L0 (machine)
//! Not here: timers (`timer`), durations of the public API.

use std::time::{Duration, Instant};

/// Nanoseconds on CLOCK_MONOTONIC. `u64::MAX` stands for "never" (the year 2554).
pub(crate) type Nanos = u64;

/// A deadline that never comes.
pub(crate) const NEVER: Nanos = u64::MAX;

/// The current time.
pub(crate) fn now() -> Nanos {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut ts) };
    #[expect(clippy::cast_sign_loss, reason = "the monotonic clock is never negative")]
    let (sec, nsec) = (ts.tv_sec as u64, ts.tv_nsec as u64);
    sec * 1_000_000_000 + nsec
}

/// The moment `d` from now; saturates to [`NEVER`].
pub(crate) fn after(d: Duration) -> Nanos {
    u64::try_from(d.as_nanos()).map_or(NEVER, |ns| now().saturating_add(ns))
}

/// An `Instant` as a deadline of ours; one in the past is "now".
pub(crate) fn from_instant(at: Instant) -> Nanos {
    after(at.saturating_duration_since(Instant::now()))
}

/// A free-running counter for gates such as "has it been some 50 us?", where 2x is near enough:
/// about 8 ns to read against 25 ns for [`now`].
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn cycles() -> u64 {
    crate::arch::cycles()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_durations_saturate() {
        assert_eq!(after(Duration::MAX), NEVER);
        assert!(after(Duration::from_secs(u64::from(u32::MAX))) < NEVER);
        assert!(from_instant(Instant::now()) <= now());
    }
}
