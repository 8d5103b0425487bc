//! Job: the same advice to the kernel for many ranges of this process, in as few calls as it takes.
//! Layer: L0 (machine)
//!
//! `process_madvise` on oneself takes up to 1024 ranges a call (Linux 6.13; a fifth of the price
//! per range). Whatever it leaves undone, because it is older, forbidden or stopped half-way, is
//! done range by range.

use libc::{c_int, iovec};

/// Most ranges that one call takes (`UIO_MAXIOV`).
const MAX_RANGES: usize = 1024;
/// "This process" in place of a pidfd (Linux 6.14).
const PIDFD_SELF: c_int = -10000;

/// A range to give advice about. It is never dereferenced here.
pub(super) fn range(start: usize, len: usize) -> iovec {
    iovec { iov_base: std::ptr::without_provenance_mut(start), iov_len: len }
}

/// Gives `advice` for every range, or returns the errno of the first range that refuses it.
///
/// # Safety
/// The advice is sound for the ranges: they are mapped, the caller owns them, and no value in them
/// is relied on if the advice discards it.
pub(super) unsafe fn advise(ranges: &[iovec], advice: c_int) -> Result<(), i32> {
    for batch in ranges.chunks(MAX_RANGES) {
        // SAFETY: as for this function.
        let done = unsafe { vectored(batch, advice) };
        for range in &batch[done..] {
            // SAFETY: as for this function.
            if unsafe { libc::madvise(range.iov_base, range.iov_len, advice) } != 0 {
                return Err(errno());
            }
        }
    }
    Ok(())
}

/// Returns how many of the ranges are done.
///
/// # Safety
/// As for [`advise`].
unsafe fn vectored(batch: &[iovec], advice: c_int) -> usize {
    // SAFETY: as for this function.
    let mut done = unsafe { process_madvise(PIDFD_SELF, batch, advice) };
    if done == Err(libc::EBADF) {
        // Opened anew each time: a kept one would mean the parent after a fork.
        // SAFETY: both calls take and return plain integers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as c_int;
        if pidfd >= 0 {
            // SAFETY: as for this function.
            done = unsafe { process_madvise(pidfd, batch, advice) };
            // SAFETY: the descriptor was opened above and is not used again.
            unsafe { libc::close(pidfd) };
        }
    }
    let mut bytes = done.unwrap_or(0);
    let whole = batch.iter().take_while(|range| {
        let fits = range.iov_len <= bytes;
        bytes = bytes.saturating_sub(range.iov_len);
        fits
    });
    whole.count()
}

/// Returns the number of bytes done.
///
/// # Safety
/// As for [`advise`].
unsafe fn process_madvise(pidfd: c_int, batch: &[iovec], advice: c_int) -> Result<usize, i32> {
    let (ranges, count) = (batch.as_ptr(), batch.len());
    // SAFETY: `ranges` and `count` are a slice; the rest is as for this function.
    let done =
        unsafe { libc::syscall(libc::SYS_process_madvise, pidfd, ranges, count, advice, 0usize) };
    usize::try_from(done).map_err(|_| errno())
}

/// The errno of the call that just failed.
pub(super) fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
