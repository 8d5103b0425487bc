//! Job: an intrusive FIFO of Gs through their `link`.
//! Layer: L2 (sched)
//! Invariants
//!   GL1  A G is in at most one list; the list's owner owns its `link` (G2 of `g`).

use super::g::{G, GRef};

/// First in, first out; moving the list moves its Gs.
pub(crate) struct GList {
    head: *mut G,
    tail: *mut G,
    len: usize,
}

// SAFETY: a list owns the links of its Gs (GL1); sending it sends them.
unsafe impl Send for GList {}

impl GList {
    pub(crate) const fn new() -> GList {
        GList { head: std::ptr::null_mut(), tail: std::ptr::null_mut(), len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn push(&mut self, g: GRef) {
        g.link.set(std::ptr::null_mut());
        // SAFETY: `tail` is null or a G of this list (GL1).
        match unsafe { self.tail.as_ref() } {
            Some(tail) => tail.link.set(g.as_ptr()),
            None => self.head = g.as_ptr(),
        }
        self.tail = g.as_ptr();
        self.len += 1;
    }

    /// Puts `g` in front: the next `pop` returns it.
    #[inline]
    pub(crate) fn push_front(&mut self, g: GRef) {
        g.link.set(self.head);
        if self.head.is_null() {
            self.tail = g.as_ptr();
        }
        self.head = g.as_ptr();
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<GRef> {
        // SAFETY: `head` is null or a G of this list (GL1).
        let g = unsafe { GRef::from_ptr(self.head) }?;
        self.head = g.link.get();
        if self.head.is_null() {
            self.tail = std::ptr::null_mut();
        }
        self.len -= 1;
        Some(g)
    }

    /// Moves all of `other` to the end of this list.
    pub(crate) fn append(&mut self, other: &mut GList) {
        if other.is_empty() {
            return;
        }
        // SAFETY: `tail` is null or a G of this list (GL1).
        match unsafe { self.tail.as_ref() } {
            Some(tail) => tail.link.set(other.head),
            None => self.head = other.head,
        }
        self.tail = other.tail;
        self.len += other.len;
        *other = GList::new();
    }

    /// Splits off the first `n` (or all, if fewer).
    pub(crate) fn split(&mut self, n: usize) -> GList {
        let mut out = GList::new();
        while out.len < n
            && let Some(g) = self.pop()
        {
            out.push(g);
        }
        out
    }
}
