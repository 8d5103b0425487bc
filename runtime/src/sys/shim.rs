//! Job: the atomics of std or, in a model check, those of loom; and the one store-load fence.
//! Layer: L0 (machine)
//! Not here: any protocol; the files that use these state theirs.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Orders every store before it against every load after it: the fence both sides of a
/// sleep/wake (Dekker) protocol need. Written as a fence, not as SeqCst accesses, because that is
/// the form a model checker verifies.
#[inline(always)]
pub(crate) fn store_load_fence() {
    fence(Ordering::SeqCst);
}

/// The same, for a place whose last store was an atomic read-modify-write.
///
/// On x86-64 a locked instruction already drains the store buffer, so only the compiler has to be
/// held back (Linux's `smp_mb__after_atomic`); elsewhere it is the full fence.
#[inline(always)]
pub(crate) fn store_load_fence_after_rmw() {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    fence(Ordering::SeqCst);
}
