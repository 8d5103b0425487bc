//! Job: deadlines of goroutines, parked or not yet begun: arming them on a P, disarming and expiring
//!   them.
//! Layer: L2 (sched)
//! Not here: the heap (`timer`), who looks when (`find`, `pick`).
//! Invariants
//!   TM1  A `Timed` is in the heap of the P that `p` names, or in none (null); both change only
//!        under that heap's lock.
//!   TM2  Expiry claims the wait, or takes the goroutine that it starts, under the heap's lock, and
//!        its last touch of the `Timed` is the store of null: once `disarm` has returned, nobody
//!        looks at it or the wait.
//!   TM3  `timer_when` of a P equals its heap's earliest deadline whenever the lock is free.
//! Orderings
//!   E1  expire: p.store(null, Release) -> disarm: p.load(Acquire)   expiry has let go
//!   E2  arm: timer_when.store; fence; poll_until.load  <->  find::block: poll_until.store; fence;
//!       timer_when.load   (one of the two sees the other: the poll is broken or ends in time)
//!       (partner: sched/find.rs)

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::claim::{TIMED_OUT, Wait};
use super::fatal;
use super::g::GRef;
use super::global::SCHED;
use super::list::GList;
use super::m::{self, M};
use super::p::P;
use super::{poll, watch};
use crate::sys::clock::{NEVER, Nanos};
use crate::sys::errno::Errno;
use crate::sys::lock::SpinGuard;
use crate::sys::section::Section;
use crate::timer::{Storage, TimerHeap, TimerNode};

/// Timers expired under one hold of a heap's lock.
const EXPIRE_BATCH: usize = 64;

/// What becomes of whom at the deadline.
#[derive(Clone, Copy)]
enum Target<'a> {
    Nobody,
    /// This wait ends.
    Wait(&'a Wait),
    /// This goroutine begins.
    Start(GRef),
}

/// A deadline. On the stack of the goroutine that waits, or in an `Alarm`.
pub(crate) struct Timed<'a> {
    node: TimerNode,
    /// Changes only while the node is in no heap.
    target: Cell<Target<'a>>,
    p: AtomicPtr<P>,
}

impl<'a> Timed<'a> {
    /// For one wait.
    pub(crate) fn new(wait: &'a Wait, when: Nanos) -> Timed<'a> {
        let timed = Timed::idle();
        timed.node.set_when(when);
        timed.target.set(Target::Wait(wait));
        timed
    }

    /// For nobody yet.
    pub(crate) fn idle() -> Timed<'a> {
        let (target, p) = (Cell::new(Target::Nobody), AtomicPtr::new(ptr::null_mut()));
        Timed { node: TimerNode::new(0), target, p }
    }

    /// For `g`, which begins at `when`. The caller owns this `Timed`, which is not armed.
    pub(crate) fn retarget(&mut self, when: Nanos, g: GRef) {
        self.node.set_when(when);
        self.target.set(Target::Start(g));
    }

    /// The goroutine given to `retarget`.
    pub(crate) fn started(&self) -> GRef {
        match self.target.get() {
            Target::Start(g) => g,
            _ => unreachable!("only an `Alarm` asks"),
        }
    }

    /// Queues the deadline on this M's P, or on P 0 if the caller has none. On expiry the wait is
    /// claimed and its G made ready, or the dormant G started, from any thread, even before this
    /// returns. False if it is the earliest and nobody blocks in the poller to see it pass: some
    /// searcher should.
    ///
    /// # Safety
    /// `disarm` is called before the `Timed` or the wait dies or moves. A G that waits has left its
    /// stack.
    pub(crate) unsafe fn arm(&self) -> bool {
        let _section = Section::enter_if_outside(); // M3
        let m = m::current();
        let p = m.and_then(M::p).unwrap_or_else(|| SCHED.p(0)); // which never retires
        let when = self.node.when();
        let node = NonNull::from(&self.node);
        let earliest = {
            let mut heap = lock_with_room(p, 1);
            self.node.set_data(ptr::from_ref(self).expose_provenance());
            self.p.store(ptr::from_ref(p).cast_mut(), Ordering::Relaxed); // under the lock (TM1)
            // SAFETY: pinned and alive until disarmed, by this function's contract.
            let earliest = unsafe { heap.insert(node) };
            if earliest {
                p.timer_when.store(when, Ordering::Release); // E2
            }
            earliest
        };
        if !earliest {
            return true;
        }
        // Even if this M is about to look for itself: it may find a goroutine, which may compute.
        poll::break_if_later(when); // E2
        // Who goes on with a goroutine does not look for long, perhaps: the watchdog must know.
        let idle = |m: &M| m.cur().is_none() && !p.has_work() && !p.is_lent();
        let seen = poll::is_manned() || m.is_some_and(idle) && SCHED.nothing_global();
        if !seen {
            watch::hurry();
        }
        seen
    }

    /// Takes the deadline back; false if it has expired (or was never armed). Afterwards nobody
    /// touches this `Timed` or its wait (TM2).
    pub(crate) fn disarm(&self) -> bool {
        loop {
            let at = self.p.load(Ordering::Acquire); // E1
            // SAFETY: null or a P, never freed (P2).
            let Some(p) = (unsafe { at.as_ref() }) else { return false };
            let mut heap = p.timers.lock();
            if self.p.load(Ordering::Relaxed) != at {
                continue; // expired, or moved with a retiring P
            }
            // SAFETY: alive, and in this heap (TM1).
            unsafe { heap.remove(NonNull::from(&self.node)) };
            self.p.store(ptr::null_mut(), Ordering::Relaxed); // under the lock (TM1)
            publish(p, &heap);
            return true;
        }
    }
}

/// The heap's lock, with room for `more` timers. Room is made and given back outside of the lock (LK1
/// of `sys::lock`), by system calls (MP2 of `sys::map`): the caller is in a section, where nobody allocates.
fn lock_with_room(p: &P, more: usize) -> SpinGuard<'_, TimerHeap> {
    loop {
        let heap = p.timers.lock();
        let need = heap.used() + more;
        if need <= heap.capacity() {
            return heap;
        }
        drop(heap);
        let larger = Storage::with_capacity(need.next_power_of_two()).unwrap_or_else(|errno| {
            let error = Errno(errno);
            fatal::fatal(format_args!("no memory for {need} timers: {error}"))
        });
        let old = p.timers.lock().adopt(larger);
        drop(old); // outside, too
    }
}

/// Restores TM3 before the lock is released.
fn publish(p: &P, heap: &TimerHeap) {
    p.timer_when.store(heap.next().unwrap_or(NEVER), Ordering::Release); // E2
}

/// Expires what is due on `p` by `now`; the Gs that waited or shall begin go to `out`.
pub(crate) fn expire(p: &'static P, now: Nanos, out: &mut GList) {
    if p.timer_when.load(Ordering::Acquire) > now {
        // E2
        return;
    }
    while expire_some(p, now, out) {}
}

/// Expires a bounded number of timers under one hold of the lock; false if none is due any more.
fn expire_some(p: &'static P, now: Nanos, out: &mut GList) -> bool {
    let mut heap = p.timers.lock();
    for _ in 0..EXPIRE_BATCH {
        let Some(node) = heap.pop_expired(now) else {
            publish(p, &heap);
            return false;
        };
        // SAFETY: the node was queued until this moment, so its embedder is alive (TM2), and data
        // is the embedder's address.
        let timed = unsafe { &*ptr::with_exposed_provenance::<Timed<'_>>(node.as_ref().data()) };
        match timed.target.get() {
            Target::Wait(wait) => {
                let g = wait.g();
                if wait.try_claim(TIMED_OUT) {
                    out.push(g); // CL1: ours to make ready
                }
            }
            Target::Start(g) => out.push(g), // DM1: whoever takes it out of the heap queues it
            Target::Nobody => {}
        }
        timed.p.store(ptr::null_mut(), Ordering::Release); // E1
    }
    publish(p, &heap);
    true
}

/// Expires what is due on every P.
pub(crate) fn expire_all(now: Nanos, out: &mut GList) {
    for i in 0..SCHED.made() {
        expire(SCHED.p(i), now, out);
    }
}

/// The earliest deadline of all Ps.
pub(crate) fn earliest() -> Nanos {
    (0..SCHED.made())
        .map(|i| SCHED.p(i).timer_when.load(Ordering::Acquire)) // E2
        .min()
        .unwrap_or(NEVER)
}

/// Moves all timers of a retiring P.
pub(crate) fn move_all(from: &'static P, to: &'static P) {
    // Nobody adds to a retiring P, so its length can only shrink before the lock is taken again.
    let moving = from.timers.lock().len();
    let mut sink = lock_with_room(to, moving);
    let mut source = from.timers.lock(); // always in this order: only P 0 is ever a sink
    source.for_each(|node| {
        // SAFETY: queued, so its embedder is alive; data is the embedder's address (TM2).
        let timed = unsafe { &*ptr::with_exposed_provenance::<Timed<'_>>(node.as_ref().data()) };
        timed.p.store(ptr::from_ref(to).cast_mut(), Ordering::Relaxed); // under both locks (TM1)
    });
    source.merge_into(&mut sink);
    publish(from, &source);
    publish(to, &sink);
}
