//! Job: guards from userfaultfd: pages marked as poisoned, whose touch is a SIGBUS (Linux 6.6).
//! Layer: L0 (machine)
//! Source: linux/userfaultfd.h, whose names the constants keep.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::c_ulong;

use super::advise::errno;

const UFFD_USER_MODE_ONLY: i32 = 1;
const UFFD_API: u64 = 0xAA;
const UFFD_FEATURE_POISON: u64 = 1 << 14;
const UFFDIO_REGISTER_MODE_WP: u64 = 1 << 1;

const fn iowr<T>(number: c_ulong) -> c_ulong {
    3 << 30 | (size_of::<T>() as c_ulong) << 16 | (UFFD_API as c_ulong) << 8 | number
}
const UFFDIO_API: c_ulong = iowr::<Api>(0x3F);
const UFFDIO_REGISTER: c_ulong = iowr::<Register>(0x00);
const UFFDIO_POISON: c_ulong = iowr::<Poison>(0x08);

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Poison {
    start: u64,
    len: u64,
    mode: u64,
    updated: i64,
}

/// A userfaultfd that can poison pages. Closing it would unregister its ranges.
pub(super) struct Uffd(OwnedFd);

impl Uffd {
    /// Opens one, or returns the errno: containers often forbid it.
    pub(super) fn open() -> Result<Uffd, i32> {
        let flags = libc::O_CLOEXEC | UFFD_USER_MODE_ONLY;
        // SAFETY: the call takes and returns plain integers.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) } as i32;
        if fd < 0 {
            return Err(errno());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        let uffd = Uffd(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut api = Api { api: UFFD_API, features: UFFD_FEATURE_POISON, ioctls: 0 };
        // SAFETY: the request and its argument belong together.
        unsafe { uffd.ioctl(UFFDIO_API, &mut api) }?;
        Ok(uffd)
    }

    /// Makes ranges of a mapping poisonable. Of the modes a range can have, write protection is
    /// the one that leaves ordinary faults alone as long as nothing in it is protected.
    ///
    /// # Safety
    /// The caller owns the mapping.
    pub(super) unsafe fn register(&self, start: usize, len: usize) -> Result<(), i32> {
        let mode = UFFDIO_REGISTER_MODE_WP;
        let mut arg = Register { start: start as u64, len: len as u64, mode, ioctls: 0 };
        // SAFETY: the request and its argument belong together; the range is the caller's.
        unsafe { self.ioctl(UFFDIO_REGISTER, &mut arg) }
    }

    /// Makes every access to untouched pages of a registered range fault.
    ///
    /// # Safety
    /// The caller owns the range.
    pub(super) unsafe fn poison(&self, start: usize, len: usize) -> Result<(), i32> {
        let mut arg = Poison { start: start as u64, len: len as u64, mode: 0, updated: 0 };
        // SAFETY: the request and its argument belong together; the range is the caller's.
        unsafe { self.ioctl(UFFDIO_POISON, &mut arg) }
    }

    /// # Safety
    /// `arg` is the structure `request` takes; what it asks for is sound.
    unsafe fn ioctl<T>(&self, request: c_ulong, arg: &mut T) -> Result<(), i32> {
        // SAFETY: as for this function.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request, std::ptr::from_mut(arg)) };
        if result == 0 { Ok(()) } else { Err(errno()) }
    }
}
