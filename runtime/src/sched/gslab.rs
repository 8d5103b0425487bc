//! Job: where G headers live: dense slabs, a global free list, and the limit on their number.
//! Layer: L2 (sched)
//! Not here: the per-P free lists (`p`), stacks (`stack`).
//! Invariants
//!   GS1  A slab is never unmapped or used for anything else (this is G1 of `g`).
//!   GS2  A G in a free list is owned by that list's lock or P.
//!   GS3  Headers beyond the limit have a list of their own, which goroutines that are spawned never
//!        get any from: there are as many of them as were needed at once.
//!   GS4  The first header of a slab is none: it links the slab to the one made before it. A slab is
//!        complete before it is linked, and never unlinked.
//!
//! Headers are apart from the stacks so that a goroutine that has not run yet, or never parks,
//! costs 128 bytes and no page of its own; slabs come straight from the kernel so that untouched
//! headers cost nothing.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::g::{BEYOND_LIMIT, G, GRef, GStatus, JOIN_OPEN, PINNED, Task};
use super::list::GList;
use crate::sys::lock::SpinLock;
use crate::sys::mutex::Mutex;
use crate::tls::{self, Level};

/// Room for headers in a slab: 512 KiB.
const SLAB_HEADERS: usize = 4096;
/// Headers moved between a P and the global list at a time, at most.
const BATCH_MAX: usize = 32;

#[derive(Clone, Copy)]
struct Slabs {
    /// The newest; 0 before the first.
    newest: usize,
    /// Places of the newest slab that are taken, its link's among them.
    bump: usize,
}

static SLABS: Mutex<Slabs> = Mutex::new(Slabs { newest: 0, bump: SLAB_HEADERS });
static FREE: SpinLock<GList> = SpinLock::new(GList::new());
/// GS3.
static FREE_BEYOND: SpinLock<GList> = SpinLock::new(GList::new());
/// Headers handed out by slabs, ever: live goroutines plus free lists.
static CREATED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static BATCH: AtomicUsize = AtomicUsize::new(BATCH_MAX);
/// Headers in use by threads, and those beyond the limit.
static LIMIT_EXEMPT: AtomicUsize = AtomicUsize::new(0);

/// No header to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoHeader {
    /// The limit on goroutines is reached.
    Limit(usize),
    /// The kernel gave no memory (errno).
    Memory(i32),
}

/// Sets the most goroutines that may exist at once. The Ps' free lists shrink with it, so that
/// they never hold more than an eighth of the headers a small limit allows.
pub(crate) fn set_limit(limit: usize, procs: usize) {
    LIMIT.store(limit, Ordering::Relaxed); // set before the first goroutine
    BATCH.store((limit / (16 * procs)).min(BATCH_MAX), Ordering::Relaxed); // as above
}

/// Headers moved between a P and the global list at a time; 0 if Ps keep none.
pub(crate) fn batch() -> usize {
    BATCH.load(Ordering::Relaxed) // a setting
}

/// Takes up to `want` free headers (at least one).
pub(crate) fn take(want: usize) -> Result<GList, NoHeader> {
    let mut got = GList::new();
    {
        let mut free = FREE.lock();
        while got.len() < want
            && let Some(g) = free.pop()
        {
            got.push(g);
        }
    }
    if got.is_empty() {
        refill(&mut got, want)?;
    }
    Ok(got)
}

/// A header for a plain thread: not counted against the limit on goroutines, nor refused by it. Or the
/// kernel's error.
pub(crate) fn take_for_thread() -> Result<GRef, i32> {
    let free = FREE.lock().pop();
    // Exempt and made under one lock: a spawn that looks at the limit sees both or neither.
    let mut slabs = SLABS.lock();
    let g = free.map_or_else(|| mint(&mut slabs), Ok)?;
    LIMIT_EXEMPT.fetch_add(1, Ordering::Relaxed); // a counter
    Ok(g)
}

/// A header that the limit does not refuse (GS3). Or the kernel's error.
#[cold]
pub(crate) fn take_beyond_limit() -> Result<GRef, i32> {
    let free = FREE_BEYOND.lock().pop();
    free.map_or_else(|| take_for_thread().inspect(|g| g.set_flag(BEYOND_LIMIT, true)), Ok)
}

/// Takes back what `take_beyond_limit` gave.
#[cold]
pub(crate) fn give_beyond_limit(g: GRef) {
    FREE_BEYOND.lock().push(g);
}

/// Takes back what `take_for_thread` gave.
pub(crate) fn give_from_thread(g: GRef) {
    let mut list = GList::new();
    list.push(g);
    give(list);
    LIMIT_EXEMPT.fetch_sub(1, Ordering::Relaxed); // a counter
}

/// Gives headers back; they are the global list's from here on (GS2).
pub(crate) fn give(mut list: GList) {
    FREE.lock().append(&mut list);
}

#[cold]
fn refill(got: &mut GList, want: usize) -> Result<(), NoHeader> {
    let limit = LIMIT.load(Ordering::Relaxed);
    let mut slabs = SLABS.lock();
    let room = limit.saturating_add(LIMIT_EXEMPT.load(Ordering::Relaxed));
    let want = want.min(room.saturating_sub(CREATED.load(Ordering::Relaxed)));
    if want == 0 {
        return Err(NoHeader::Limit(limit));
    }
    for _ in 0..want {
        got.push(mint(&mut slabs).map_err(NoHeader::Memory)?);
    }
    Ok(())
}

/// The next header of the slabs, whatever the limit; or the kernel's error.
fn mint(slabs: &mut Slabs) -> Result<GRef, i32> {
    if slabs.bump == SLAB_HEADERS {
        let base = map_slab()?;
        // SAFETY: the first place of a new slab (GS4).
        unsafe { link_of(base).write(slabs.newest) };
        *slabs = Slabs { newest: base, bump: 1 };
    }
    let base = slabs.newest;
    let g = ptr::with_exposed_provenance_mut::<G>(base + slabs.bump * size_of::<G>());
    slabs.bump += 1;
    CREATED.fetch_add(1, Ordering::Relaxed); // under SLABS; readers only estimate
    // SAFETY: inside the slab (GS1); zeroed memory is a valid free G: null pointers, zero integers,
    // `None`, status Free.
    Ok(unsafe { GRef::from_ptr(g) }.expect("not null"))
}

fn map_slab() -> Result<usize, i32> {
    // SAFETY: a fresh private mapping.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            SLAB_HEADERS * size_of::<G>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        // SAFETY: errno of the call above.
        return Err(unsafe { *libc::__errno_location() });
    }
    Ok(base.expose_provenance())
}

/// The link of the slab at `base` (GS4).
fn link_of(base: usize) -> *mut usize {
    ptr::with_exposed_provenance_mut(base)
}

/// Calls `f` for every header ever handed out, free ones included, outside of any lock. They may change
/// meanwhile. Allocates nothing.
pub(crate) fn for_each(mut f: impl FnMut(GRef)) {
    let Slabs { newest: mut base, bump: mut used } = *SLABS.lock();
    while base != 0 {
        for k in 1..used {
            let g = ptr::with_exposed_provenance_mut::<G>(base + k * size_of::<G>());
            // SAFETY: inside a slab, below its bump mark (GS1).
            f(unsafe { GRef::from_ptr(g) }.expect("not null"));
        }
        // SAFETY: a slab that was linked before, under the lock (GS4).
        base = unsafe { link_of(base).read() };
        used = SLAB_HEADERS;
    }
}

/// Prepares a free header for a new goroutine.
#[inline]
pub(crate) fn init(
    g: GRef,
    id: u64,
    class: u8,
    flags: u8,
    task: &'static Task,
    site: &'static Location<'static>,
) {
    debug_assert_eq!(g.status(), GStatus::Free);
    g.set_id(id);
    let kept = if g.flag(BEYOND_LIMIT) { BEYOND_LIMIT } else { 0 };
    // Where goroutines have no thread-locals of their own, they stay with their thread's.
    let level = if tls::level() == Level::Pinned { PINNED } else { 0 };
    g.set_flags(flags | kept | level);
    g.task.set(Some(task));
    g.site.set(Some(site));
    g.join.store(JOIN_OPEN, Ordering::Relaxed); // published with the G
    g.sp.set(0);
    g.stack.set(usize::from(class));
    g.bound.set(ptr::null());
    g.set_status(GStatus::Runnable);
}
