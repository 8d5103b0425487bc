//! Job: which stack is at this address? Answered without a lock, from a signal handler too.
//! Layer: L0 (machine)
//! Invariants
//!   RG1  Entries below `len` are complete and never change (with ST2: they stay true).
//! Orderings
//!   E1  publish: store(len, Release) -> find: load(len, Acquire)   the entries below are seen

use std::sync::atomic::{AtomicUsize, Ordering};

use super::class::{GUARD_BYTES, PAGE, SizeClass};
use super::error::StackError;
use super::guard::Span;
use crate::sys::sleep_lock::SleepLock;

/// Most slabs a process can have: room for 16 million stacks of the smaller classes. The table
/// takes 256 KiB of zeroed memory, of which the used part is touched.
const MAX_SLABS: usize = 16_384;

static SLABS: Table<MAX_SLABS> = Table::new();

/// The stack that an address belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hit {
    /// Lowest address, where the guard begins.
    pub(crate) stack_base: usize,
    pub(crate) class: SizeClass,
    /// Is the address in the guard?
    pub(crate) in_guard: bool,
}

/// The stack at `addr`, if there is one. Async-signal-safe.
pub(crate) fn find(addr: usize) -> Option<Hit> {
    SLABS.find(addr)
}

/// Calls `f` with the top of every stack there is, free ones included.
pub(crate) fn for_each_top(f: &mut dyn FnMut(usize)) {
    SLABS.for_each_top(f);
}

/// Makes the stacks of a slab known to [`find`].
pub(super) fn publish(span: Span) -> Result<(), StackError> {
    SLABS.publish(span)
}

struct Entry {
    /// Base of the slab, a multiple of the page size, plus its class index.
    start: AtomicUsize,
    end: AtomicUsize,
}

pub(super) struct Table<const N: usize> {
    len: AtomicUsize,
    entries: [Entry; N],
    writer: SleepLock<()>,
}

impl<const N: usize> Table<N> {
    pub(super) const fn new() -> Self {
        Table {
            len: AtomicUsize::new(0),
            entries: [const { Entry { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; N],
            writer: SleepLock::new(()),
        }
    }

    pub(super) fn publish(&self, span: Span) -> Result<(), StackError> {
        let _one_writer = self.writer.lock();
        let len = self.len.load(Ordering::Relaxed);
        let entry = self.entries.get(len).ok_or(StackError::Slabs { limit: N })?;
        let index = usize::from(span.class.index());
        entry.start.store(span.base | index, Ordering::Relaxed);
        entry.end.store(span.end(), Ordering::Relaxed);
        self.len.store(len + 1, Ordering::Release); // E1
        Ok(())
    }

    pub(super) fn for_each_top(&self, f: &mut dyn FnMut(usize)) {
        let len = self.len.load(Ordering::Acquire); // E1
        for entry in &self.entries[..len] {
            let start = entry.start.load(Ordering::Relaxed);
            let base = start & !(PAGE - 1);
            let Some(class) = SizeClass::from_index((start - base) as u8) else { continue };
            let end = entry.end.load(Ordering::Relaxed);
            (base..end).step_by(class.stride()).for_each(|low| f(low + class.stride()));
        }
    }

    pub(super) fn find(&self, addr: usize) -> Option<Hit> {
        let len = self.len.load(Ordering::Acquire); // E1
        // RG1: what is below `len` does not change under us.
        self.entries[..len].iter().find_map(|entry| {
            let start = entry.start.load(Ordering::Relaxed);
            let base = start & !(PAGE - 1);
            if addr < base || addr >= entry.end.load(Ordering::Relaxed) {
                return None;
            }
            let class = SizeClass::from_index((start - base) as u8)?;
            let offset = (addr - base) % class.stride();
            Some(Hit { stack_base: addr - offset, class, in_guard: offset < GUARD_BYTES })
        })
    }
}
