//! Job: guards at the low ends of stacks, by the best means that the kernel offers.
//! Layer: L0 (machine)
//! Not here: what happens when one is touched (`sys::signal`).
//!
//! | rung | means | since | touch | cost |
//! |---|---|---|---|---|
//! | 1 | `MADV_GUARD_INSTALL`, batched | Linux 6.13 | SIGSEGV | 0.3 us |
//! | 2 | userfaultfd, `UFFDIO_POISON` | Linux 6.6, often forbidden | SIGBUS | 0.3 us |
//! | 3 | `mprotect(PROT_NONE)` | always | SIGSEGV | 6 us and two mappings |
//!
//! Rungs 1 and 2 mark page-table entries and leave the slab one mapping. Rung 3 stops well below
//! `vm.max_map_count`: a process that has used it up cannot even allocate. There is no fourth rung
//! without guards, because safe code could then write into its neighbour's stack.

use super::advise::{advise, errno, range};
use super::class::{GUARD_BYTES, SizeClass};
use super::error::StackError;
use super::kind::GuardKind;
use super::uffd::Uffd;

const MADV_GUARD_INSTALL: libc::c_int = 102;
/// Mappings left to the rest of the process.
const SPARED_MAPPINGS: usize = 4096;
/// What the kernel has unless told otherwise.
const DEFAULT_MAX_MAP_COUNT: usize = 65_530;
/// Guards installed by one system call: what a scheduling stack has room to name.
const BATCH: usize = 256;

/// Adjacent stacks of one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) base: usize,
    pub(super) class: SizeClass,
    pub(super) count: usize,
}

impl Span {
    pub(super) fn bytes(self) -> usize {
        self.count * self.class.stride()
    }

    pub(super) fn end(self) -> usize {
        self.base + self.bytes()
    }

    fn guards(self) -> impl Iterator<Item = usize> {
        (self.base..self.end()).step_by(self.class.stride())
    }
}

/// The rung in use and what it has used up.
pub(super) struct Guards {
    /// May a failure step down to the next rung?
    auto: bool,
    rung: GuardKind,
    uffd: Option<Uffd>,
    mprotected: usize,
    /// Stands in for the sysctl in tests.
    max_map_count: Option<usize>,
}

impl Guards {
    pub(super) const fn new(kind: GuardKind) -> Guards {
        let (auto, rung) = match kind {
            GuardKind::Auto => (true, GuardKind::Madvise),
            forced => (false, forced),
        };
        Guards { auto, rung, uffd: None, mprotected: 0, max_map_count: None }
    }

    /// Chooses the kind for slabs to come. Earlier ones keep their guards.
    pub(super) fn choose(&mut self, kind: GuardKind) {
        let Guards { auto, rung, .. } = Guards::new(kind);
        (self.auto, self.rung) = (auto, rung);
        // Later it would be on a scheduling stack, where nobody allocates.
        self.max_map_count.get_or_insert_with(read_max_map_count);
    }

    /// How many of `want` more stacks can be guarded: at least one, or an error.
    pub(super) fn room(&self, want: usize) -> Result<usize, StackError> {
        if self.rung != GuardKind::Mprotect {
            return Ok(want);
        }
        let max_map_count = self.max_map_count.unwrap_or_else(read_max_map_count);
        let stacks = (max_map_count / 2).saturating_sub(SPARED_MAPPINGS);
        match want.min(stacks.saturating_sub(self.mprotected)) {
            0 => Err(StackError::GuardBudget { stacks, max_map_count }),
            room => Ok(room),
        }
    }

    /// Guards every stack of the span. After an error some may be guarded, which is of no use: the
    /// caller unmaps the span.
    ///
    /// # Safety
    /// The caller owns the mapping, and nothing of it was touched yet.
    pub(super) unsafe fn install(&mut self, span: Span) -> Result<(), StackError> {
        // SAFETY: as for this function.
        let done = unsafe {
            match self.rung {
                GuardKind::Auto | GuardKind::Madvise => by_madvise(span),
                GuardKind::Uffd => self.by_uffd(span),
                GuardKind::Mprotect => self.by_mprotect(span),
            }
        };
        done.map_err(|errno| StackError::Guard { kind: self.rung, errno })
    }

    /// Goes to the next rung because this one failed; false if there is none to go to.
    pub(super) fn step_down(&mut self) -> bool {
        self.rung = match self.rung {
            GuardKind::Auto | GuardKind::Madvise if self.auto => GuardKind::Uffd,
            GuardKind::Uffd if self.auto => GuardKind::Mprotect,
            _ => return false,
        };
        true
    }

    /// # Safety
    /// As for [`install`](Self::install).
    unsafe fn by_uffd(&mut self, span: Span) -> Result<(), i32> {
        let uffd = match &mut self.uffd {
            Some(uffd) => uffd,
            none => none.insert(Uffd::open()?),
        };
        // SAFETY: as for this function.
        unsafe {
            uffd.register(span.base, span.bytes())?;
            span.guards().try_for_each(|guard| uffd.poison(guard, GUARD_BYTES))
        }
    }

    /// # Safety
    /// As for [`install`](Self::install).
    unsafe fn by_mprotect(&mut self, span: Span) -> Result<(), i32> {
        for guard in span.guards() {
            let start = std::ptr::without_provenance_mut(guard);
            // SAFETY: as for this function.
            if unsafe { libc::mprotect(start, GUARD_BYTES, libc::PROT_NONE) } != 0 {
                return Err(errno());
            }
        }
        self.mprotected += span.count;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn with_max_map_count(kind: GuardKind, max_map_count: usize) -> Guards {
        Guards { max_map_count: Some(max_map_count), ..Guards::new(kind) }
    }

    #[cfg(test)]
    pub(super) fn rung(&self) -> GuardKind {
        self.rung
    }
}

/// # Safety
/// As for [`Guards::install`].
unsafe fn by_madvise(span: Span) -> Result<(), i32> {
    let mut guards = span.guards();
    let mut batch = [range(0, 0); BATCH];
    loop {
        let mut count = 0;
        for (place, guard) in batch.iter_mut().zip(&mut guards) {
            *place = range(guard, GUARD_BYTES);
            count += 1;
        }
        // SAFETY: as for this function.
        unsafe { advise(&batch[..count], MADV_GUARD_INSTALL)? };
        if count < BATCH {
            return Ok(());
        }
    }
}

/// Read anew each time: an administrator may have raised it.
fn read_max_map_count() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_MAX_MAP_COUNT)
}
