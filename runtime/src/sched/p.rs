//! Job: struct P, the right to run goroutines and what belongs to it: queue, timers, caches, ticks.
//! Layer: L2 (sched)
//! Not here: which P runs what (`find`, `steal`), idle Ps (`idle`).
//! Invariants
//!   P1  At most one M owns a P; it alone touches the fields marked "owner". Ownership moves under
//!       the scheduler's lock, through a note, or through the word of `sys::hold`.
//!   P2  Ps are never freed; a retired P is empty and owned by nobody.
//!   P3  The local queue holds at most `QUEUE_MAX` Gs, for which there are slots: queue operations do
//!       not allocate.
//! Orderings
//!   E1  set_next: swap(AcqRel) -> take_next: swap(AcqRel)   the G's fields are seen by its taker

use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::g::{G, GRef};
use super::gslab;
use super::list::GList;
use crate::queue::local::{self, LocalQueue};
use crate::stack::LocalCache;
use crate::sys::clock::{NEVER, Nanos};
use crate::sys::lock::SpinLock;
use crate::timer::TimerHeap;

/// Local queue bound (P3).
pub(crate) const QUEUE_MAX: usize = local::MOST - 1;
/// Goroutine ids a P reserves at a time.
const ID_BATCH: u64 = 16;

/// `m_id` of an idle or retired P.
pub(crate) const NOBODY: u32 = u32::MAX;
/// `m_id` of a P that was just taken off the idle list.
pub(crate) const SOMEBODY: u32 = u32::MAX - 1;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What only the owner touches (P1).
pub(crate) struct Owned {
    pub(crate) stacks: LocalCache,
    free: GList,
    id_next: u64,
    id_end: u64,
}

/// See the module.
pub(crate) struct P {
    pub(crate) id: u32,
    owned: UnsafeCell<Owned>,
    /// Scheduling rounds; the owner writes, the watchdog reads.
    pub(crate) tick: AtomicU32,
    /// How many of them were errands on a loan; the owner writes.
    errands: AtomicU32,
    /// How many turns ended without a round.
    ends: AtomicU32,
    /// The id of the M that this P is borrowed from, or [`NOBODY`] (`loan`).
    pub(crate) lender: AtomicU32,
    /// The turn that was seen last, and when it was seen first, in microseconds.
    seen: AtomicU64,
    /// When those that computed here will have been paid for what urgent ones used (`loan`).
    pub(crate) debt_until: AtomicU64,
    /// When the loan began; the taker and the owner write.
    pub(crate) lent_at: AtomicU64,
    /// Whether the next round takes from the global queue first, because a goroutine has used up its
    /// slice; every other of those does so (owner).
    pub(crate) global_first: Cell<bool>,
    alternate: Cell<bool>,
    /// Urgent goroutines picked since an ordinary one was (owner).
    pub(crate) urgent_run: Cell<u32>,
    /// Stacks bound on this P less stacks given back on it; only the sum over all Ps means
    /// something. The owner writes.
    pub(crate) stacks_held: AtomicI64,
    /// Cycle counter at the last look at timers and network (owner).
    pub(crate) looked: Cell<u64>,
    /// The G to run next, made ready by the one that runs: hot caches, shared slice. The owner
    /// sets it, anybody may take it, or fill it if it is empty.
    next: CachePadded<AtomicPtr<G>>,
    /// Bits of Gs. The owner fills it; anybody may steal.
    queue: CachePadded<LocalQueue>,
    pub(crate) timers: SpinLock<TimerHeap>,
    /// Earliest deadline in `timers`, NEVER if none; written under its lock, read without.
    pub(crate) timer_when: AtomicU64,
    /// Above GOMAXPROCS, emptied and owned by nobody; under the scheduler's lock.
    pub(crate) retired: Cell<bool>,
    /// The id of the M that owns it, [`NOBODY`], or [`SOMEBODY`]; for the watchdog and dumps.
    pub(crate) m_id: AtomicU32,
    /// How many more Ms that want a P are served before the global queue is (owner).
    pub(crate) turns: Cell<usize>,
    /// Link of the list of wanted Ms, and whether that M begins as a searcher; under the scheduler's
    /// lock.
    pub(crate) link: Cell<*mut P>,
    pub(crate) for_searcher: Cell<bool>,
}

// SAFETY: P1 makes the owner-only parts exclusive; the rest is atomic or locked.
unsafe impl Sync for P {}
// SAFETY: as above.
unsafe impl Send for P {}

impl P {
    pub(crate) fn new(id: u32) -> P {
        let owned = Owned {
            stacks: LocalCache::new(crate::config::settings().stack),
            free: GList::new(),
            id_next: 0,
            id_end: 0,
        };
        P {
            id,
            owned: UnsafeCell::new(owned),
            tick: AtomicU32::new(0),
            errands: AtomicU32::new(0),
            ends: AtomicU32::new(0),
            lender: AtomicU32::new(NOBODY),
            seen: AtomicU64::new(0),
            debt_until: AtomicU64::new(0),
            lent_at: AtomicU64::new(0),
            global_first: Cell::new(false),
            alternate: Cell::new(false),
            urgent_run: Cell::new(0),
            stacks_held: AtomicI64::new(0),
            looked: Cell::new(0),
            next: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
            queue: CachePadded::new(LocalQueue::new()),
            timers: SpinLock::new(TimerHeap::new()),
            timer_when: AtomicU64::new(NEVER),
            retired: Cell::new(false),
            m_id: AtomicU32::new(NOBODY),
            turns: Cell::new(0),
            link: Cell::new(ptr::null_mut()),
            for_searcher: Cell::new(false),
        }
    }

    /// # Safety
    /// The caller's M owns this P (P1), and no other borrow from this function is alive.
    #[expect(clippy::mut_from_ref, reason = "ownership is by M, see P1")]
    #[inline]
    pub(crate) unsafe fn owned(&self) -> &mut Owned {
        // SAFETY: promised by the caller.
        unsafe { &mut *self.owned.get() }
    }

    /// Puts `g` into the next slot; returns the one it displaces. Owner only. A full barrier.
    #[inline]
    pub(crate) fn set_next(&self, g: GRef) -> Option<GRef> {
        let old = self.next.swap(g.as_ptr(), Ordering::AcqRel); // E1
        // SAFETY: the slot holds Gs or null.
        unsafe { GRef::from_ptr(old) }
    }

    /// Whether the next slot is taken. A hint to anybody but the owner.
    pub(crate) fn has_next(&self) -> bool {
        !self.next.load(Ordering::Relaxed).is_null()
    }

    /// Puts `g` into the next slot if that is empty; else returns it. Anybody.
    pub(crate) fn offer_next(&self, g: GRef) -> Result<(), GRef> {
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1
        self.next.compare_exchange(ptr::null_mut(), g.as_ptr(), ok, err).map(drop).map_err(|_| g)
    }

    /// A slice is over: every other time the global queue has the next turn. Owner only.
    pub(crate) fn end_slice(&self) {
        self.alternate.set(!self.alternate.get());
        self.global_first.set(self.alternate.get());
    }

    /// Counts a round, and returns the number. Owner only.
    #[inline]
    pub(crate) fn count_round(&self) -> u32 {
        let tick = self.tick.load(Ordering::Relaxed).wrapping_add(1); // only the owner writes
        self.tick.store(tick, Ordering::Relaxed);
        tick
    }

    /// Counts a round on a loan, after it was counted as a round: the turn stays the same. Owner only.
    pub(crate) fn count_errand(&self) {
        let errands = self.errands.load(Ordering::Relaxed).wrapping_add(1);
        self.errands.store(errands, Ordering::Relaxed); // only the owner writes
    }

    /// Whoever runs here next begins a turn, though no round ends: the P changes hands. The owner, or
    /// with the `Taker`.
    pub(crate) fn end_turn(&self) {
        self.ends.fetch_add(1, Ordering::Relaxed);
    }

    /// The turn: it lasts while the same goroutine has this P, errands for others aside.
    pub(crate) fn turn(&self) -> u32 {
        let errands = self.errands.load(Ordering::Relaxed); // an observation
        let ends = self.ends.load(Ordering::Relaxed);
        self.tick.load(Ordering::Relaxed).wrapping_sub(errands).wrapping_add(ends)
    }

    /// For how long, to the microsecond, the turn is known to have lasted. From anywhere: what the
    /// first one sees of a turn the others know.
    pub(crate) fn stands_for(&self, now: Nanos) -> Nanos {
        let turn = self.turn();
        let micros = (now / 1_000) as u32; // wraps after an hour: then a turn seems young again
        let seen = self.seen.load(Ordering::Relaxed);
        if (seen >> 32) as u32 == turn {
            return u64::from(micros.wrapping_sub(seen as u32)) * 1_000;
        }
        self.begin_turn(now); // as far as anybody knows
        0
    }

    /// A turn begins now. The owner, or who is about to make somebody that.
    pub(crate) fn begin_turn(&self, now: Nanos) {
        let micros = (now / 1_000) as u32; // wraps, see `stands_for`
        self.seen.store(u64::from(self.turn()) << 32 | u64::from(micros), Ordering::Relaxed);
    }

    /// Whether its owner has it on loan.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.lender.load(Ordering::Relaxed) != NOBODY // ended by the lender, it says so a little late
    }

    /// Takes the next slot's G. Anybody.
    #[inline]
    pub(crate) fn take_next(&self) -> Option<GRef> {
        if self.next.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let g = self.next.swap(ptr::null_mut(), Ordering::AcqRel); // E1
        // SAFETY: the slot holds Gs or null.
        unsafe { GRef::from_ptr(g) }
    }

    /// Appends to the local queue.
    ///
    /// # Safety
    /// The caller's M owns this P (P1), and fewer than `QUEUE_MAX` are queued (P3).
    #[inline]
    pub(crate) unsafe fn push(&self, g: GRef) {
        // SAFETY: promised by the caller.
        unsafe { self.queue.push(g.to_bits()) };
    }

    /// Takes the head of the local queue.
    ///
    /// # Safety
    /// The caller's M owns this P (P1).
    #[inline]
    pub(crate) unsafe fn pop(&self) -> Option<GRef> {
        // SAFETY: promised by the caller; the words are Gs.
        unsafe { self.queue.pop().map(|bits| GRef::from_bits(bits)) }
    }

    /// Takes the older half of another P's local queue: one to run, the others go to this one's.
    ///
    /// # Safety
    /// The caller's M owns this P (P1), which is another one and whose local queue is empty.
    pub(crate) unsafe fn steal_from(&self, victim: &P) -> Option<GRef> {
        // SAFETY: promised by the caller; the words are Gs.
        unsafe { victim.queue.steal(&self.queue, QUEUE_MAX / 2).map(|bits| GRef::from_bits(bits)) }
    }

    /// Length of the local queue. From elsewhere: an observation.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Counts a stack as bound (1) or given back (-1). Owner only, so no read-modify-write.
    #[inline]
    pub(crate) fn count_stack(&self, by: i64) {
        let held = self.stacks_held.load(Ordering::Relaxed) + by;
        self.stacks_held.store(held, Ordering::Relaxed);
    }

    /// Whether some M has it, or is being given it.
    pub(crate) fn owned_by_m(&self) -> bool {
        self.m_id.load(Ordering::Relaxed) != NOBODY // ordered by the watchdog's fence
    }

    /// Whether a thief would find anything here. Exact only after a fence.
    pub(crate) fn has_work(&self) -> bool {
        !self.next.load(Ordering::Acquire).is_null() || !self.queue.is_empty() // E1
    }
}

impl Owned {
    /// A free header for a new goroutine.
    #[inline]
    pub(crate) fn take_header(&mut self) -> Result<GRef, gslab::NoHeader> {
        if let Some(g) = self.free.pop() {
            return Ok(g);
        }
        self.free = gslab::take(gslab::batch().max(1))?;
        Ok(self.free.pop().expect("at least one"))
    }

    /// Takes back a header whose goroutine is gone.
    #[inline]
    pub(crate) fn give_header(&mut self, g: GRef) {
        self.free.push_front(g); // hot first
        if self.free.len() > 2 * gslab::batch() {
            let half = self.free.split(gslab::batch().max(1));
            gslab::give(half);
        }
    }

    #[inline]
    pub(crate) fn next_id(&mut self) -> u64 {
        if self.id_next == self.id_end {
            self.id_next = NEXT_ID.fetch_add(ID_BATCH, Ordering::Relaxed);
            self.id_end = self.id_next + ID_BATCH;
        }
        self.id_next += 1;
        self.id_next - 1
    }

    /// Empties the caches, when the P is retired.
    pub(crate) fn drain_caches(&mut self) {
        self.stacks.drain();
        let free = std::mem::replace(&mut self.free, GList::new());
        gslab::give(free);
    }
}

/// An id for a goroutine spawned outside any P.
pub(crate) fn foreign_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}
