//! Job: why no stack is to be had, in words that name the limit to raise.
//! Layer: L0 (machine)

use std::fmt;

use super::kind::GuardKind;
use crate::sys::errno::Errno;

/// Why a stack could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StackError {
    /// The kernel refused the address space for a stack of this many bytes.
    Mmap { errno: i32, bytes: usize },
    /// A kind of guard does not work here.
    Guard { kind: GuardKind, errno: i32 },
    /// Guards by mprotect take mappings, of which a process has `vm.max_map_count`.
    GuardBudget { stacks: usize, max_map_count: usize },
    /// The table of slabs is full.
    Slabs { limit: usize },
    /// The allocator gave no memory for the lists of free stacks.
    Lists { stacks: usize },
    /// A thread had to be made for the stack's thread-local storage.
    Furnish { errno: i32 },
}

impl StackError {
    /// Might a smaller request succeed?
    pub(super) fn is_out_of_memory(self) -> bool {
        let (Self::Mmap { errno, .. } | Self::Guard { errno, .. }) = self else { return false };
        errno == libc::ENOMEM
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let os = Errno; // a message that allocates nothing: it is shown by a scheduling stack
        match *self {
            Self::Mmap { errno, bytes } => write!(
                f,
                "no address space for a stack: mmap of {bytes} bytes: {}; \
                 limits: RLIMIT_AS (ulimit -v), vm.max_map_count, vm.overcommit_memory",
                os(errno)
            ),
            Self::Guard { kind, errno } => {
                write!(f, "stack guards by {kind} do not work here: {}", os(errno))?;
                if kind == GuardKind::Mprotect && errno == libc::ENOMEM {
                    f.write_str("; limit: vm.max_map_count")?;
                }
                Ok(())
            }
            Self::GuardBudget { stacks, max_map_count } => write!(
                f,
                "this kernel guards stacks by mprotect only, which vm.max_map_count = \
                 {max_map_count} limits to {stacks} stacks; raise that sysctl"
            ),
            Self::Slabs { limit } => write!(f, "all {limit} slabs of stacks are in use"),
            Self::Lists { stacks } => {
                write!(f, "no memory for the free list of {stacks} stacks")
            }
            Self::Furnish { errno } => write!(
                f,
                "thread-local storage for it takes a thread, for a moment: pthread_create: {}; \
                 limits: RLIMIT_NPROC (ulimit -u), pids.max of the cgroup, kernel.threads-max",
                os(errno)
            ),
        }
    }
}

impl std::error::Error for StackError {}
