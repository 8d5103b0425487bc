//! Job: the one scheduler of the process: all Ps, the global queue, the idle lists and their lock.
//! Layer: L2 (sched)
//! Not here: the protocols over them (`idle`, `find`), starting up (`lifecycle`).
//! Invariants
//!   SC1  `state` is never held over a switch, a blocking system call or user code.
//!   SC2  A P is on the idle list if and only if no M owns it and its id is below `procs`.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use super::global_queue::GlobalQueue;
use super::home;
use super::m::M;
use super::p::{NOBODY, P, SOMEBODY};
use crate::queue::searchers::Searchers;
use crate::sys::mutex::{Mutex, MutexGuard};

pub(crate) use crate::config::MAX_PROCS;

/// Under the lock.
pub(crate) struct State {
    /// Idle Ps, last idled last.
    pub(crate) idle_p: Vec<&'static P>,
    idle_m: *mut M,
    /// Ms that have goroutines of their own and no P (HM2), first in, first out.
    wanting: [*mut M; 2],
    /// Ps for which threads are to be made (MT2 of `threads`).
    wanted: *mut P,
    /// Ms whose threads have ended.
    free_m: *mut M,
    /// How often a P was taken.
    starts: u64,
    /// Somebody saw work when no P was idle: the next M to give up its P must search first.
    pub(crate) need_spinning: bool,
}

// SAFETY: the pointers head and end lists whose links the lock protects.
unsafe impl Send for State {}

/// What is idle, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Idle {
    pub(crate) ps: usize,
    pub(crate) ms: usize,
    pub(crate) starts: u64,
    pub(crate) need_spinning: bool,
}

/// See the module.
pub(crate) struct Sched {
    /// GOMAXPROCS. Ps with an id at or above it retire at their next scheduling round.
    procs: AtomicU32,
    /// Ps made so far.
    made: AtomicUsize,
    /// Length of the list of Ms that want a P, written under the lock.
    wanting: AtomicU32,
    all: [AtomicPtr<P>; MAX_PROCS],
    pub(crate) searchers: CachePadded<Searchers>,
    queue: CachePadded<GlobalQueue>,
    urgent: CachePadded<GlobalQueue>,
    state: Mutex<State>,
    /// Deadline up to which an M blocks in the poller: 0 nobody does, NEVER until an event.
    pub(crate) poll_until: AtomicU64,
}

pub(crate) static SCHED: Sched = Sched {
    procs: AtomicU32::new(0),
    made: AtomicUsize::new(0),
    wanting: AtomicU32::new(0),
    all: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_PROCS],
    searchers: CachePadded::new(Searchers::new()),
    queue: CachePadded::new(GlobalQueue::new()),
    urgent: CachePadded::new(GlobalQueue::new()),
    state: Mutex::new(State {
        idle_p: Vec::new(),
        idle_m: ptr::null_mut(),
        wanting: [ptr::null_mut(); 2],
        wanted: ptr::null_mut(),
        free_m: ptr::null_mut(),
        starts: 0,
        need_spinning: false,
    }),
    poll_until: AtomicU64::new(0),
};

/// What a new scheduler thread runs; set once at start, above this file in the order of layers.
static M_ENTRY: OnceLock<MEntry> = OnceLock::new();

/// The first P of the new thread's M, and whether it begins as a searcher.
pub(crate) type MEntry = fn(&'static P, bool);

impl Sched {
    /// The global queue.
    #[inline]
    pub(crate) fn injector(&self) -> &GlobalQueue {
        &self.queue
    }

    /// The queue of those whom the network or a timer has woken while others were queued.
    #[inline]
    pub(crate) fn urgent(&self) -> &GlobalQueue {
        &self.urgent
    }

    /// Whether both of these are empty.
    #[inline]
    pub(crate) fn nothing_global(&self) -> bool {
        self.queue.is_empty() && self.urgent.is_empty()
    }

    pub(crate) fn m_entry(&self) -> MEntry {
        *M_ENTRY.get().expect("set before the first P exists")
    }

    pub(crate) fn set_m_entry(&self, entry: MEntry) {
        let first = M_ENTRY.set(entry).is_ok();
        debug_assert!(first);
    }

    /// Whether an M waits for a P to run goroutines of its own.
    #[inline]
    pub(crate) fn anybody_wants_p(&self) -> bool {
        self.wanting.load(Ordering::Relaxed) != 0 // a hint
    }

    #[inline]
    pub(crate) fn procs(&self) -> u32 {
        self.procs.load(Ordering::Relaxed) // changes take effect at the next round
    }

    pub(crate) fn set_procs(&self, n: u32) {
        self.procs.store(n, Ordering::Release); // partner: `p`, for the Ps stored before
    }

    /// The Ps made so far, retired ones included (their timers may still be looked at).
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Acquire) // partner: `add_p`
    }

    #[inline]
    pub(crate) fn p(&self, i: usize) -> &'static P {
        // SAFETY: callers stay below `made`, whose Acquire load shows the pointer; never freed (P2).
        unsafe { &*self.all[i].load(Ordering::Acquire) } // partner: `add_p`
    }

    /// Makes the next P. Under the lock.
    pub(crate) fn add_p(&self) -> &'static P {
        let i = self.made.load(Ordering::Relaxed);
        let p = Box::leak(Box::new(P::new(u32::try_from(i).expect("at most MAX_PROCS"))));
        self.all[i].store(p, Ordering::Release); // partner: `p`
        self.made.store(i + 1, Ordering::Release); // partner: `made`
        p
    }

    /// For a few instructions (SC1).
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Puts an M, about to sleep, on the idle list.
    pub(crate) fn push_m(&mut self, m: &'static M) {
        m.home.rest.store(home::IDLE, Ordering::Relaxed); // under the lock
        m.link.set(self.idle_m);
        self.idle_m = ptr::from_ref(m).cast_mut();
    }

    /// Queues an M, which sleeps or is about to, for a P.
    pub(crate) fn push_wanting(&mut self, m: &'static M) {
        m.home.rest.store(home::WANTING, Ordering::Relaxed); // under the lock
        m.link.set(ptr::null_mut());
        let [first, last] = &mut self.wanting;
        // SAFETY: null or an M, never freed (M2).
        match unsafe { last.as_ref() } {
            Some(last) => last.link.set(ptr::from_ref(m).cast_mut()),
            None => *first = ptr::from_ref(m).cast_mut(),
        }
        *last = ptr::from_ref(m).cast_mut();
        SCHED.wanting.fetch_add(1, Ordering::Relaxed); // a hint; the list is under the lock
    }

    /// The M that has waited longest for a P; the caller gives it one.
    pub(crate) fn pop_wanting(&mut self) -> Option<&'static M> {
        let [first, last] = &mut self.wanting;
        // SAFETY: null or an M, never freed (M2).
        let m = unsafe { first.as_ref() }?;
        *first = m.link.get();
        if first.is_null() {
            *last = ptr::null_mut();
        }
        m.home.rest.store(home::AWAKE, Ordering::Relaxed); // under the lock
        SCHED.wanting.fetch_sub(1, Ordering::Relaxed); // a hint
        Some(m)
    }

    pub(crate) fn no_m(&self) -> bool {
        self.idle_m.is_null()
    }

    pub(crate) fn has_p(&self) -> bool {
        !self.idle_p.is_empty()
    }

    /// The M that idled last: its caches and CPU are the warmest.
    pub(crate) fn pop_m(&mut self) -> Option<&'static M> {
        // SAFETY: null or an M, never freed (M2).
        let m = unsafe { self.idle_m.as_ref() }?;
        self.idle_m = m.link.get();
        m.home.rest.store(home::AWAKE, Ordering::Relaxed); // under the lock
        Some(m)
    }

    /// See [`Idle`].
    pub(crate) fn idle(&self) -> Idle {
        let mut ms = 0;
        let mut next = self.idle_m;
        // SAFETY: null or an M, never freed (M2).
        while let Some(m) = unsafe { next.as_ref() } {
            ms += 1;
            next = m.link.get();
        }
        let (starts, need_spinning) = (self.starts, self.need_spinning);
        Idle { ps: self.idle_p.len(), ms, starts, need_spinning }
    }

    /// Takes `m` off the idle list; false if it is not there.
    pub(crate) fn remove_m(&mut self, m: &'static M) -> bool {
        let mut at: *mut M = ptr::null_mut();
        let mut next = self.idle_m;
        // SAFETY: null or an M, never freed (M2).
        while let Some(idle) = unsafe { next.as_ref() } {
            if ptr::eq(idle, m) {
                // SAFETY: as above.
                match unsafe { at.as_ref() } {
                    Some(before) => before.link.set(m.link.get()),
                    None => self.idle_m = m.link.get(),
                }
                m.home.rest.store(home::AWAKE, Ordering::Relaxed); // under the lock
                return true;
            }
            (at, next) = (next, idle.link.get());
        }
        false
    }

    /// Asks for an M for `p`, which nobody owns.
    pub(crate) fn push_wanted(&mut self, p: &'static P, spinning: bool) {
        p.for_searcher.set(spinning);
        p.link.set(self.wanted);
        self.wanted = ptr::from_ref(p).cast_mut();
    }

    pub(crate) fn pop_wanted(&mut self) -> Option<(&'static P, bool)> {
        // SAFETY: null or a P, never freed (P2).
        let p = unsafe { self.wanted.as_ref() }?;
        self.wanted = p.link.get();
        Some((p, p.for_searcher.get()))
    }

    /// Keeps an M whose thread ends.
    pub(crate) fn push_free_m(&mut self, m: &'static M) {
        m.link.set(self.free_m);
        self.free_m = ptr::from_ref(m).cast_mut();
    }

    /// An M whose thread has ended and that `fits`.
    pub(crate) fn pop_free_m(&mut self, fits: impl Fn(&M) -> bool) -> Option<&'static M> {
        let mut at: *mut M = ptr::null_mut();
        let mut next = self.free_m;
        // SAFETY: null or an M, never freed (M2).
        while let Some(m) = unsafe { next.as_ref() } {
            if fits(m) {
                // SAFETY: as above.
                match unsafe { at.as_ref() } {
                    Some(before) => before.link.set(m.link.get()),
                    None => self.free_m = m.link.get(),
                }
                return Some(m);
            }
            (at, next) = (next, m.link.get());
        }
        None
    }

    /// Puts a P that nobody owns on the idle list (SC2: not a retired one).
    pub(crate) fn push_p(&mut self, p: &'static P) {
        debug_assert!(p.id < SCHED.procs());
        p.m_id.store(NOBODY, Ordering::Relaxed); // under the lock
        self.idle_p.push(p);
        SCHED.searchers.idle_add();
    }

    /// Takes the P that idled last. The caller calls `watch::p_runs` once the lock is released.
    pub(crate) fn pop_p(&mut self) -> Option<&'static P> {
        let p = self.idle_p.pop()?;
        self.starts += 1;
        p.end_turn(); // it has stood still for as long as it was idle
        p.m_id.store(SOMEBODY, Ordering::Relaxed); // before the caller's `watch::p_runs`
        SCHED.searchers.idle_sub();
        Some(p)
    }
}
