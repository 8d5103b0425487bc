//! Job: who owns a channel: each side counts its handles, and the side that goes second frees.
//! Layer: L3 (blocking)
//! Not here: what closing does (`channel`).
//! Invariants
//!   SH1  A handle owns one share of its side, and the memory lives while there are shares.
//!   SH2  A side whose last share is gone closes the channel, then sets `side_gone`; who finds it
//!        set already comes second.
//! Orderings
//!   E1  any share: count.sub(Release) -> last share: count.sub(Acquire)   the side's use is over
//!   E2  first side: side_gone.swap(Release) -> second side: side_gone.swap(Acquire)   so is the
//!       other side's

use std::ops::Deref;
use std::ptr::NonNull;

use super::channel::Channel;
use crate::sys::shim::{AtomicBool, AtomicUsize, Ordering};

/// A channel and its counts, in one allocation.
pub(super) struct Shared<T> {
    channel: Channel<T>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    side_gone: AtomicBool,
    /// Who uses the memory, and who frees it.
    #[cfg(loom)]
    uses: loom::cell::UnsafeCell<()>,
}

impl<T> Deref for Shared<T> {
    type Target = Channel<T>;
    #[inline]
    fn deref(&self) -> &Channel<T> {
        #[cfg(loom)]
        self.uses.with(|_| ());
        &self.channel
    }
}

impl<T> Shared<T> {
    /// With one share on either side.
    pub(super) fn allocate(channel: Channel<T>) -> NonNull<Shared<T>> {
        NonNull::from(Box::leak(Box::new(Shared {
            channel,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            side_gone: AtomicBool::new(false),
            #[cfg(loom)]
            uses: loom::cell::UnsafeCell::new(()),
        })))
    }

    pub(super) fn add_sender(&self) {
        add(&self.senders);
    }

    pub(super) fn add_receiver(&self) {
        add(&self.receivers);
    }

    /// Gives up a sender's share. The last one closes the channel.
    ///
    /// # Safety
    /// The caller owned the share, and does not use `this` again.
    pub(super) unsafe fn drop_sender(this: NonNull<Shared<T>>) {
        // SAFETY: the caller's share (SH1).
        let shared = unsafe { this.as_ref() };
        // E1: gives up this share, after its use, and as the last one sees what the others did.
        if shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            shared.channel.close();
            // SAFETY: that was the side's last share.
            unsafe { Shared::drop_side(this) };
        }
    }

    /// Gives up a receiver's share. The last one closes the channel and drops what is in it.
    ///
    /// # Safety
    /// The caller owned the share, and does not use `this` again.
    pub(super) unsafe fn drop_receiver(this: NonNull<Shared<T>>) {
        // SAFETY: the caller's share (SH1).
        let shared = unsafe { this.as_ref() };
        // E1: as in `drop_sender`.
        if shared.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let unreceived = shared.channel.close_and_drain();
            // SAFETY: that was the side's last share.
            unsafe { Shared::drop_side(this) };
            drop(unreceived); // may panic: everything else is done
        }
    }

    /// # Safety
    /// The caller gave up the last share of its side.
    unsafe fn drop_side(this: NonNull<Shared<T>>) {
        // SAFETY: alive until both sides have been here (SH2).
        let shared = unsafe { this.as_ref() };
        // E2: the first side's swap publishes its use of the channel.
        if shared.side_gone.swap(true, Ordering::AcqRel) {
            // E2: the second side's swap has seen that.
            #[cfg(loom)]
            shared.uses.with_mut(|_| ());
            // SAFETY: from `allocate`; no shares are left (SH1).
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }
}

/// Relaxed: the share of the handle that is cloned keeps the count from reaching zero.
fn add(count: &AtomicUsize) {
    if count.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
        std::process::abort(); // so many were leaked; a few more and memory would be freed early
    }
}
