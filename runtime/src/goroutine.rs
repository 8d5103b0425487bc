//! Job: the identity of a goroutine, and parking by hand.
//! Layer: L3 (blocking)
//! Not here: join handles (`task`), std's names for all this (`thread`).
//! Invariants
//!   GO1  A `Goroutine` is a pointer from `Arc::into_raw` that owns one reference, and nothing else:
//!        what a header keeps in `ext` has the same layout, so it can be lent out as one.

use std::fmt;
use std::num::NonZeroU64;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::sched::call::Call;
use crate::sched::ext::Ext;
use crate::sched::g::{G, GKind, GRef, WaitReason};
use crate::sched::{locked, park as sched_park};
use crate::sys::clock::{self, NEVER};

/// A goroutine's id: unique for the life of the process, never reused. The main goroutine of
/// `#[gusty::main]` is 1. A plain thread that waits for goroutines has one, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoroutineId(NonZeroU64);

impl GoroutineId {
    /// The number, as messages and dumps show it.
    pub fn as_u64(self) -> NonZeroU64 {
        self.0
    }
}

impl fmt::Debug for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoroutineId({})", self.0)
    }
}

impl fmt::Display for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A handle to a goroutine, as [`std::thread::Thread`] is to a thread. Cheap to clone; outlives
/// the goroutine.
#[repr(transparent)]
pub struct Goroutine(NonNull<Ext>);

// SAFETY: it is an `Arc<Ext>` (GO1), which is Send and Sync.
unsafe impl Send for Goroutine {}
// SAFETY: as above.
unsafe impl Sync for Goroutine {}

// The permit is the only state, and no panic leaves it half changed.
impl UnwindSafe for Goroutine {}
impl RefUnwindSafe for Goroutine {}

impl Goroutine {
    fn from_ext(ext: Arc<Ext>) -> Goroutine {
        let ext = Arc::into_raw(ext).cast_mut();
        // SAFETY: an Arc's pointer is not null.
        Goroutine(unsafe { NonNull::new_unchecked(ext) })
    }

    fn ext(&self) -> &Ext {
        // SAFETY: the reference that it owns keeps it alive (GO1).
        unsafe { self.0.as_ref() }
    }

    /// The identity that a header keeps itself, made now if it has none.
    ///
    /// # Safety
    /// The header is not freed while the reference lives: the caller's join handle borrows it.
    pub(crate) unsafe fn of(g: &G) -> &Goroutine {
        drop(g.ext());
        // SAFETY: GO1; not null any more, and from now on not written before the header is freed.
        unsafe { &*g.ext.as_ptr().cast::<Goroutine>() }
    }

    /// Its id.
    pub fn id(&self) -> GoroutineId {
        GoroutineId(NonZeroU64::new(self.ext().id).expect("ids begin at 1"))
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.ext().name.as_deref()
    }

    /// Lets its current [`park`] return, or else its next one. Never blocks. No effect once the
    /// goroutine has ended.
    pub fn unpark(&self) {
        self.ext().unpark();
    }
}

impl Clone for Goroutine {
    fn clone(&self) -> Goroutine {
        // SAFETY: from `Arc::into_raw`, with a reference of ours (GO1).
        unsafe { Arc::increment_strong_count(self.0.as_ptr()) };
        Goroutine(self.0)
    }
}

impl Drop for Goroutine {
    fn drop(&mut self) {
        // SAFETY: from `Arc::into_raw`, with a reference of ours, given up here (GO1).
        unsafe { Arc::decrement_strong_count(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine").field("id", &self.ext().id).field("name", &self.name()).finish()
    }
}

/// The calling goroutine. On a plain thread, a handle that parks and unparks that thread, and has
/// the name that it has in std.
pub fn current() -> Goroutine {
    Goroutine::from_ext(my_ext(sched_park::current()))
}

/// The caller's own Ext; the one of a plain thread gets std's name for it.
fn my_ext(me: GRef) -> Arc<Ext> {
    if me.kind() == GKind::Thread && me.ext.load(Ordering::Relaxed).is_null() {
        // Nobody else has a reference to this thread's header (FT1 of `sched::foreign`).
        me.set_ext(Ext::new(me.id(), std::thread::current().name().map(str::to_owned)));
    }
    me.ext()
}

/// Whether the caller runs on a goroutine (rather than on a plain thread).
pub fn is_goroutine() -> bool {
    crate::sched::m::current().is_some()
}

/// Waits until somebody calls [`Goroutine::unpark`] for the caller, unless that has happened since
/// the last park: then it returns at once. Parks a goroutine, blocks a plain thread. Does not
/// return spuriously, but callers should not rely on who unparked them.
pub fn park() {
    let me = sched_park::current();
    my_ext(me).park(me, NEVER, WaitReason::Park);
}

/// As [`park`], for at most `timeout`.
pub fn park_timeout(timeout: Duration) {
    let me = sched_park::current();
    my_ext(me).park(me, clock::after(timeout), WaitReason::Park);
}

/// Runs `f`, which is going to block the thread or compute for long, without holding up others: if
/// goroutines wait, another thread takes over within some 20 to 100 us. Costs a few nanoseconds if
/// `f` returns sooner.
///
/// Calls that block without this are found out, too, but later (a millisecond or two). On a plain
/// thread this just calls `f`. `f` runs on the caller's stack and may use the whole API.
///
/// ```
/// let size = gusty::blocking(|| std::fs::metadata("Cargo.toml").map(|m| m.len()).unwrap_or(0));
/// # let _ = size;
/// ```
///
/// Source: Go's entersyscall and exitsyscall.
#[inline]
pub fn blocking<R>(f: impl FnOnce() -> R) -> R {
    let _call = Call::begin();
    f()
}

/// Locks the calling goroutine to its OS thread, which runs nobody else meanwhile: for libraries that
/// care which thread they are called on, and for state of the kernel's threads (namespaces,
/// scheduling policy, signal masks).
///
/// Calls nest: as many of [`unlock_os_thread`] undo them. A goroutine that ends locked takes its
/// thread with it. Switching to and from a locked goroutine takes two switches of threads, several
/// microseconds. On a plain thread, which nothing moves anyway, this does nothing, and nothing for a pinned
/// goroutine, which stays on its thread but shares it with the others that stay there. Pinned
/// goroutines of a thread that another one has locked wait until it is unlocked, so that one must not
/// wait for them: lock a goroutine in a program with pinned ones only for as long as it does not wait.
///
/// ```
/// gusty::spawn(|| {
///     gusty::lock_os_thread();
///     let before = std::fs::read_link("/proc/thread-self").unwrap();
///     gusty::sleep(std::time::Duration::from_millis(1));
///     assert_eq!(std::fs::read_link("/proc/thread-self").unwrap(), before);
///     gusty::unlock_os_thread();
/// })
/// .join()
/// .unwrap();
/// ```
///
/// Source: Go's runtime.LockOSThread.
pub fn lock_os_thread() {
    locked::lock();
}

/// Undoes one call of [`lock_os_thread`]. Without one it does nothing.
///
/// ```
/// gusty::unlock_os_thread();
/// ```
pub fn unlock_os_thread() {
    locked::unlock();
}

/// Lets others run if the scheduler has asked the calling goroutine to: its slice is over and somebody
/// waits. Otherwise a few instructions. For loops that compute for long where they cannot be stopped by
/// a signal; the attribute [`preemptible`](crate::preemptible) puts it into all loops of a function. On a
/// plain thread it does nothing.
///
/// ```
/// let mut sum = 0u64;
/// for i in 0..1_000_000 {
///     gusty::check_preempt();
///     sum = sum.wrapping_mul(31) ^ i;
/// }
/// # assert_ne!(sum, 0);
/// ```
#[inline]
pub fn check_preempt() {
    if sched_park::is_asked() {
        yield_now();
    }
}

/// Lets the other goroutines of this P run, then goes on; on a plain thread, `sched_yield`.
pub fn yield_now() {
    sched_park::yield_now();
}
