//! Job: struct G, the header of one goroutine, and the reasons it can wait for.
//! Layer: L2 (sched)
//! Not here: where headers live (`gslab`), running and parking them (`run`, `park`).
//! Invariants
//!   G1  Header memory is type-stable: never unmapped, reused only as a G. A stale pointer may be
//!       looked at, not believed.
//!   G2  A G is in exactly one place: running on one M, in one run queue, with one waker, or free.
//!       Whoever holds it there owns every field marked "owner".
//!   G3  `sp` and `stack` are written before the G is published (queue push, unlock) and read after
//!       it was taken from there, so the queue or lock orders them.
//! Orderings
//!   E1  finish: join.swap(EXITED, Release) -> join: join.load(Acquire)   the result is visible
//!       (partner: sched/run.rs)
//!
//! A plain thread that uses channels or locks of ours has a G too (`GKind::Thread`): it is never
//! scheduled, "parking" it blocks the thread on `note`. Everything above `park` and `ready` need not
//! know the difference.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::sys::note::Note;

/// Words of a header in which a small closure, and later its result, lives.
pub(crate) const INLINE_WORDS: usize = 6;

/// What a G is doing, for dumps and assertions; the truth is where it is (G2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum GStatus {
    /// In a free list.
    Free,
    /// In a run queue, or on its way to one.
    Runnable,
    /// On an M.
    Running,
    /// Parked; `reason` says why.
    Waiting,
    /// Exited, result not yet taken.
    Dead,
}

/// Why a G waits. Unique and descriptive: dumps and deadlock reports print it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum WaitReason {
    None,
    Park,
    Sleep,
    Join,
    Scope,
    ChanSend,
    ChanRecv,
    Select,
    Mutex,
    RwLockRead,
    RwLockWrite,
    Condvar,
    Barrier,
    Once,
    WaitGroup,
    Semaphore,
    Notify,
    Context,
    IoRead,
    IoWrite,
}

impl WaitReason {
    const ALL: [WaitReason; 20] = [
        WaitReason::None,
        WaitReason::Park,
        WaitReason::Sleep,
        WaitReason::Join,
        WaitReason::Scope,
        WaitReason::ChanSend,
        WaitReason::ChanRecv,
        WaitReason::Select,
        WaitReason::Mutex,
        WaitReason::RwLockRead,
        WaitReason::RwLockWrite,
        WaitReason::Condvar,
        WaitReason::Barrier,
        WaitReason::Once,
        WaitReason::WaitGroup,
        WaitReason::Semaphore,
        WaitReason::Notify,
        WaitReason::Context,
        WaitReason::IoRead,
        WaitReason::IoWrite,
    ];

    /// As a dump prints it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            WaitReason::None => "-",
            WaitReason::Park => "park",
            WaitReason::Sleep => "sleep",
            WaitReason::Join => "join",
            WaitReason::Scope => "scope end",
            WaitReason::ChanSend => "chan send",
            WaitReason::ChanRecv => "chan receive",
            WaitReason::Select => "select",
            WaitReason::Mutex => "sync.Mutex.lock",
            WaitReason::RwLockRead => "sync.RwLock.read",
            WaitReason::RwLockWrite => "sync.RwLock.write",
            WaitReason::Condvar => "sync.Condvar.wait",
            WaitReason::Barrier => "sync.Barrier.wait",
            WaitReason::Once => "sync.Once.wait",
            WaitReason::WaitGroup => "sync.WaitGroup.wait",
            WaitReason::Semaphore => "sync.Semaphore.acquire",
            WaitReason::Notify => "sync.Notify.wait",
            WaitReason::Context => "context end",
            WaitReason::IoRead => "IO read",
            WaitReason::IoWrite => "IO write",
        }
    }
}

/// What kind of execution a header stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum GKind {
    /// Scheduled by Ms.
    Goroutine,
    /// A goroutine that holds its M while it waits (it is locked to it: LO1; or it parked while a
    /// panic unwinds, and the panic count is its thread's: PA3): woken by its note, like a thread.
    HoldsM,
    /// A plain thread.
    Thread,
}

/// What `run` needs to know of a goroutine's closure type.
pub(crate) struct Task {
    /// Runs the closure on the goroutine's stack; catches panics; stores the result.
    pub(crate) run: unsafe fn(&G),
    /// Drops a stored result (user code: only on a goroutine or a plain thread, never on g0).
    pub(crate) drop_output: unsafe fn(&G),
    /// Moves the stored result to the address given, which fits its type.
    pub(crate) take_output: unsafe fn(&G, *mut ()),
}

/// `join` states; any other value is a waiter: a parked G, or one tagged with WAKER.
pub(crate) const JOIN_OPEN: usize = 0;
/// Nobody will ask for the result.
pub(crate) const JOIN_DETACHED: usize = 1;
/// The goroutine has left its stack; the result is there.
pub(crate) const JOIN_EXITED: usize = 2;
/// Tag of a waiter that is a dormant goroutine, which will wake a future.
pub(crate) const JOIN_WAKER: usize = 4;

/// The closure has returned or panicked and its result is stored: it must be taken or dropped.
pub(crate) const OUTPUT_LIVE: u8 = 1;
/// Runs on its thread's thread-locals, having none of its own.
pub(crate) const LIGHT: u8 = 2;
/// Stays on the M that runs it first (HM1 of `home`).
pub(crate) const PINNED: u8 = 4;
/// This header is beyond the limit on goroutines, for good (GS3 of `gslab`).
pub(crate) const BEYOND_LIMIT: u8 = 8;

/// Its handle went when the result was stored already: it begins once more, to drop what is left.
pub(crate) const REVIVED: u8 = 16;

/// The header: two cache lines. The second half is mostly the inline closure.
#[repr(C, align(128))]
pub(crate) struct G {
    // Owner (G2, G3).
    /// Saved context while not running; 0 before the first run.
    pub(crate) sp: Cell<usize>,
    /// Packed `stack::Stack`; before the first run just the class, with no address.
    pub(crate) stack: Cell<usize>,
    flags: Cell<u8>,
    // For looking at from elsewhere; Relaxed, nothing is concluded from them.
    status: AtomicU8,
    reason: AtomicU8,
    kind: AtomicU8,
    /// Sleep of a `Thread` or `HoldsM`.
    pub(crate) note: Note,
    /// Link of the list or queue that holds this G.
    pub(crate) link: Cell<*mut G>,
    /// The M that alone may run it, or null; typed access in `m`.
    pub(crate) bound: Cell<*const ()>,
    /// Set once per spawn.
    pub(crate) task: Cell<Option<&'static Task>>,
    id: AtomicU64,
    /// See `JOIN_*`; E1.
    pub(crate) join: AtomicUsize,
    /// Name, park permit and what else few goroutines need; null until needed. Typed access in `ext`.
    pub(crate) ext: AtomicPtr<()>,
    /// Where it was spawned.
    pub(crate) site: Cell<Option<&'static Location<'static>>>,
    /// Closure or result, or a pointer to their box.
    pub(crate) inline: UnsafeCell<[MaybeUninit<u64>; INLINE_WORDS]>,
}

const _: () = assert!(size_of::<G>() == 128);

// SAFETY: G2 says who may touch the plain cells; everything else is atomic.
unsafe impl Sync for G {}

/// A goroutine (or thread) that is known to exist, as the scheduler passes it around.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct GRef(ptr::NonNull<G>);

// SAFETY: a GRef is a pointer to type-stable memory (G1); access is governed by G2.
unsafe impl Send for GRef {}
// SAFETY: as above.
unsafe impl Sync for GRef {}

impl GRef {
    /// # Safety
    /// `g` points to a G header (G1).
    #[inline]
    pub(crate) unsafe fn from_ptr(g: *mut G) -> Option<GRef> {
        ptr::NonNull::new(g).map(GRef)
    }

    /// # Safety
    /// `bits` came from [`GRef::to_bits`].
    #[inline]
    pub(crate) unsafe fn from_bits(bits: usize) -> GRef {
        let g = ptr::with_exposed_provenance_mut(bits);
        // SAFETY: promised by the caller.
        GRef(unsafe { ptr::NonNull::new_unchecked(g) })
    }

    #[inline]
    pub(crate) fn to_bits(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *mut G {
        self.0.as_ptr()
    }
}

impl std::ops::Deref for GRef {
    type Target = G;
    #[inline]
    fn deref(&self) -> &G {
        // SAFETY: header memory is type-stable (G1).
        unsafe { self.0.as_ref() }
    }
}

impl G {
    /// Whether something is left that only user code, or what may free memory, can get rid of: such a
    /// goroutine cannot just be freed on g0.
    #[inline]
    pub(crate) fn leaves_something(&self) -> bool {
        self.flag(OUTPUT_LIVE) || !self.ext.load(Ordering::Relaxed).is_null() // the owner asks
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn status(&self) -> GStatus {
        const ALL: [GStatus; 5] =
            [GStatus::Free, GStatus::Runnable, GStatus::Running, GStatus::Waiting, GStatus::Dead];
        ALL[usize::from(self.status.load(Ordering::Relaxed))]
    }

    #[inline]
    pub(crate) fn set_status(&self, status: GStatus) {
        self.status.store(status as u8, Ordering::Relaxed);
    }

    pub(crate) fn reason(&self) -> WaitReason {
        WaitReason::ALL[usize::from(self.reason.load(Ordering::Relaxed))]
    }

    /// Marks this G as waiting for `reason`; its owner does so before it is published.
    #[inline]
    pub(crate) fn set_waiting(&self, reason: WaitReason) {
        self.reason.store(reason as u8, Ordering::Relaxed);
        self.set_status(GStatus::Waiting);
    }

    #[inline]
    pub(crate) fn kind(&self) -> GKind {
        const ALL: [GKind; 3] = [GKind::Goroutine, GKind::HoldsM, GKind::Thread];
        ALL[usize::from(self.kind.load(Ordering::Relaxed))]
    }

    #[inline]
    pub(crate) fn flag(&self, bit: u8) -> bool {
        self.flags.get() & bit != 0
    }

    #[inline]
    pub(crate) fn set_flag(&self, bit: u8, on: bool) {
        let rest = self.flags.get() & !bit;
        self.flags.set(if on { rest | bit } else { rest });
    }

    /// Replaces all flags; for a header that nobody else has.
    #[inline]
    pub(crate) fn set_flags(&self, flags: u8) {
        self.flags.set(flags);
    }

    /// Ordered by whatever publishes this G to its waker (G3).
    #[inline]
    pub(crate) fn set_kind(&self, kind: GKind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_decode_to_themselves() {
        for (i, reason) in WaitReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
