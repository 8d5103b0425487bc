//! Job: memory for one value that a `Select` receives, whatever its type.
//! Layer: L3 (blocking)

use std::alloc::{self, Layout};
use std::ptr;

/// Memory for one value that is received; made when it is needed.
pub(super) struct Room {
    at: *mut u8,
    layout: Layout,
}

impl Room {
    pub(super) fn new(layout: Layout) -> Room {
        Room { at: ptr::null_mut(), layout }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Null before `make`.
    pub(super) fn as_ptr(&self) -> *mut () {
        self.at.cast()
    }

    /// Makes the room, unless it is there.
    pub(super) fn make(&mut self) {
        if self.at.is_null() {
            self.at = match self.layout.size() {
                0 => ptr::without_provenance_mut(self.layout.align()),
                // SAFETY: the size is not zero.
                _ => unsafe { alloc::alloc(self.layout) },
            };
            if self.at.is_null() {
                alloc::handle_alloc_error(self.layout);
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.at.is_null() && self.layout.size() != 0 {
            // SAFETY: from `make`.
            unsafe { alloc::dealloc(self.at, self.layout) };
        }
    }
}
