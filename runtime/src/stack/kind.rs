//! Job: the names of the ways to guard a stack.
//! Layer: L0 (machine)
//! Not here: doing it (`guard`).

use std::fmt;

/// How stacks are guarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum GuardKind {
    /// The best kind that works.
    #[default]
    Auto,
    /// `MADV_GUARD_INSTALL`.
    Madvise,
    /// `UFFDIO_POISON`.
    Uffd,
    /// `mprotect(PROT_NONE)`.
    Mprotect,
}

impl fmt::Display for GuardKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "the best kind",
            Self::Madvise => "madvise (MADV_GUARD_INSTALL)",
            Self::Uffd => "uffd (UFFDIO_POISON)",
            Self::Mprotect => "mprotect (PROT_NONE)",
        })
    }
}
