//! Job: sleep on a word and wake its sleepers (Linux futex, process-private).
//! Layer: L0 (machine)
//! Not here: what the word means (`note`, `lock`).

use std::sync::atomic::AtomicU32;

use super::clock::Nanos;

/// Sleeps while `*word == expected`, at most until `deadline` (CLOCK_MONOTONIC); spurious returns
/// are allowed. Returns false if the deadline passed.
///
/// Blocks the calling OS thread.
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Nanos>) -> bool {
    let ts = deadline.map(timespec);
    let ts_ptr = ts.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word outlives the call, the timespec too; FUTEX_WAIT_BITSET reads both and
    // writes neither. Its timeout is absolute, on CLOCK_MONOTONIC.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            expected,
            ts_ptr,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    // SAFETY: errno of this thread, read right after the call that set it.
    rc == 0 || unsafe { *libc::__errno_location() } != libc::ETIMEDOUT
}

/// Wakes at most `count` sleepers of `word`.
///
/// Takes an address because the word may be gone by the time of the call: its owner may have seen
/// the new value and left. The kernel treats the address as a key only.
pub(crate) fn wake(word: *const AtomicU32, count: u32) {
    // SAFETY: FUTEX_WAKE never dereferences the address in user space.
    unsafe {
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count);
    }
}

fn timespec(at: Nanos) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(at / 1_000_000_000).unwrap_or(libc::time_t::MAX),
        #[expect(clippy::cast_possible_wrap, reason = "below 10^9")]
        tv_nsec: (at % 1_000_000_000) as libc::c_long,
    }
}
