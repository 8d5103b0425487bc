//! Job: an M's side of the goroutines that stay on it: the inbox in which it finds them, and how it
//!   rests.
//! Layer: L2 (sched)
//! Not here: the protocol (`pinned`).

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::g::GRef;
use super::list::GList;
use crate::sys::lock::SpinLock;

/// Awake, with a P or about to look for one.
pub(super) const AWAKE: u8 = 0;
/// On the list of idle Ms.
pub(super) const IDLE: u8 = 1;
/// On the list of Ms that need a P.
pub(super) const WANTING: u8 = 2;
/// Blocked in the poller, or about to.
pub(super) const POLLING: u8 = 3;

/// An M's side.
pub(crate) struct Home {
    inbox: SpinLock<GList>,
    /// Its length.
    len: AtomicUsize,
    /// Goroutines that have begun here and have to end here. The M's own.
    residents: Cell<usize>,
    /// The M's own.
    turn: Cell<bool>,
    /// One of the above (HM3).
    pub(super) rest: AtomicU8,
}

impl Home {
    pub(super) const fn new() -> Home {
        Home {
            inbox: SpinLock::new(GList::new()),
            len: AtomicUsize::new(0),
            residents: Cell::new(0),
            turn: Cell::new(false),
            rest: AtomicU8::new(AWAKE),
        }
    }

    /// Whether the inbox holds anything. Exact after a fence or under the scheduler's lock (HM2).
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.len.load(Ordering::Relaxed) != 0
    }

    /// One more goroutine belongs here. Only this M calls, as in the next two.
    #[inline]
    pub(super) fn settle(&self) {
        self.residents.set(self.residents.get() + 1);
    }

    /// One of them has ended.
    #[inline]
    pub(super) fn leave(&self) {
        self.residents.set(self.residents.get() - 1);
    }

    /// Whether any goroutine belongs here (HM4).
    #[inline]
    pub(super) fn has_residents(&self) -> bool {
        self.residents.get() != 0
    }

    /// The next of this M's own goroutines. Only this M asks.
    #[inline]
    pub(crate) fn take(&self) -> Option<GRef> {
        if !self.has_mail() {
            return None;
        }
        let mut inbox = self.inbox.lock();
        let g = inbox.pop();
        self.len.store(inbox.len(), Ordering::Relaxed); // under the inbox's lock
        g
    }

    /// As `take`, but only every other time: the M's other sources have their turn.
    #[inline]
    pub(crate) fn take_in_turn(&self) -> Option<GRef> {
        if !self.has_mail() {
            return None;
        }
        self.turn.set(!self.turn.get());
        if self.turn.get() { self.take() } else { None }
    }

    pub(super) fn put(&self, g: GRef) {
        let mut inbox = self.inbox.lock();
        inbox.push(g);
        self.len.store(inbox.len(), Ordering::Relaxed); // under the inbox's lock; a fence follows
    }
}
