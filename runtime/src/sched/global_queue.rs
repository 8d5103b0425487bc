//! Job: the global queue of runnable Gs, which every M may fill and empty.
//! Layer: L2 (sched)
//! Not here: who uses it when (`ready`, `find`).
//! Invariants
//!   GQ1  `len` equals the list's length whenever the lock is free.
//!
//! Intrusive and behind a lock of a few instructions, as Go's, and not crossbeam's `Injector`: that
//! one allocates a block for every 31 pushes, but the watchdog pushes here, and goroutines do in
//! runtime sections, where the allocator's lock may be held by somebody who cannot run.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::g::GRef;
use super::list::GList;
use crate::sys::lock::SpinLock;

/// First in, first out.
pub(crate) struct GlobalQueue {
    list: SpinLock<GList>,
    len: AtomicUsize,
}

impl GlobalQueue {
    pub(crate) const fn new() -> GlobalQueue {
        GlobalQueue { list: SpinLock::new(GList::new()), len: AtomicUsize::new(0) }
    }

    pub(crate) fn push(&self, g: GRef) {
        let mut list = self.list.lock();
        list.push(g);
        self.len.store(list.len(), Ordering::Release); // GQ1; ordered by the callers' fences
    }

    /// Appends all of `more`.
    pub(crate) fn append(&self, more: &mut GList) {
        let mut list = self.list.lock();
        list.append(more);
        self.len.store(list.len(), Ordering::Release); // GQ1; ordered by the caller's fence
    }

    /// Takes up to `n` from the front.
    pub(crate) fn take(&self, n: usize) -> GList {
        if self.is_empty() {
            return GList::new();
        }
        let mut list = self.list.lock();
        let taken = list.split(n);
        self.len.store(list.len(), Ordering::Release); // GQ1
        taken
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire) // partner: `push`; exact only after a fence
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
