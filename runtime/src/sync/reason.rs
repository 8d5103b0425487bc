//! Job: what a dump says of those who wait in this module, where the scheduler has no word of its
//!   own for it yet.
//! Layer: L3 (blocking)

use crate::sched::g::WaitReason;

pub(super) const RWLOCK_READ: WaitReason = WaitReason::Park;
pub(super) const RWLOCK_WRITE: WaitReason = WaitReason::Park;
pub(super) const CONDVAR: WaitReason = WaitReason::Park;
pub(super) const BARRIER: WaitReason = WaitReason::Park;
pub(super) const ONCE: WaitReason = WaitReason::Park;
