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

use super::fatal;
use super::global_queue::GlobalQueue;
use super::home;
use super::m::M;
use super::p::{NOBODY, P, SOMEBODY};
use crate::queue::searchers::Searchers;
use crate::sys::errno::Errno;
use crate::sys::map;
use crate::sys::mutex::{Mutex, MutexGuard};

pub(crate) use crate::config::MAX_PROCS;

/// Under the lock.
pub(crate) struct State {
    /// Idle Ps, last idled first, and how many.
    idle_p: *mut P,
    idle_ps: usize,
    idle_m: *mut M,
    /// Ms that have goroutines of their own (HM2), or hold one that was stopped, and no P; first in,
    /// first out.
    wanting: [*mut M; 2],
    /// Ps for which threads are to be made (MT2 of `threads`).
    wanted: *mut P,
    /// Their number, and of threads that have been made and have not arrived yet.
    wanted_len: usize,
    born: usize,
    /// A P was lent to a goroutine that holds its thread, while others wait for it (MT5).
    pub(crate) spare: bool,
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
        idle_p: ptr::null_mut(),
        idle_ps: 0,
        idle_m: ptr::null_mut(),
        wanting: [ptr::null_mut(); 2],
        wanted: ptr::null_mut(),
        wanted_len: 0,
        born: 0,
        spare: false,
        free_m: ptr::null_mut(),
        starts: 0,
        need_spinning: false,
    }),
    poll_until: AtomicU64::new(0),
};

/// What a new scheduler thread runs; set once at start, above this file in the order of layers.
static M_ENTRY: OnceLock<MEntry> = OnceLock::new();

pub(crate) type MEntry = fn();

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

    /// Whether an M waits for a P to run goroutines of its own, or the one that it holds.
    #[inline]
    pub(crate) fn anybody_wants_p(&self) -> bool {
        self.wanting.load(Ordering::Relaxed) != 0 // a hint
    }

    /// How many do.
    pub(crate) fn wanting(&self) -> usize {
        self.wanting.load(Ordering::Relaxed) as usize // a hint
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

    /// Adds `p`, which was made for the place of the next. Under the lock.
    pub(crate) fn add_p(&self, p: P) -> &'static P {
        let i = self.made.load(Ordering::Relaxed);
        debug_assert_eq!(p.id as usize, i);
        let p: &'static P = map::keep(p).unwrap_or_else(|errno| {
            fatal::fatal(format_args!("no memory for a P: {}", Errno(errno)))
        });
        self.all[i].store(ptr::from_ref(p).cast_mut(), Ordering::Release); // partner: `p`
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

    /// Takes `m` off the list of those that want a P; false if it is not there.
    pub(crate) fn remove_wanting(&mut self, m: &'static M) -> bool {
        let mut found = false;
        for _ in 0..SCHED.wanting() {
            // Once around: the list is as long as it was, less one.
            match self.pop_wanting() {
                Some(other) if ptr::eq(other, m) => found = true,
                Some(other) => self.push_wanting(other),
                None => break,
            }
        }
        found
    }

    pub(crate) fn no_m(&self) -> bool {
        self.idle_m.is_null()
    }

    pub(crate) fn has_p(&self) -> bool {
        !self.idle_p.is_null()
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
        Idle { ps: self.idle_ps, ms, starts, need_spinning }
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
        self.wanted_len += 1;
    }

    pub(crate) fn pop_wanted(&mut self) -> Option<(&'static P, bool)> {
        // SAFETY: null or a P, never freed (P2).
        let p = unsafe { self.wanted.as_ref() }?;
        self.wanted = p.link.get();
        self.wanted_len -= 1;
        Some((p, p.for_searcher.get()))
    }

    /// An idle M and the P that a thread is to be made for.
    pub(crate) fn pop_match(&mut self) -> Option<(&'static M, &'static P, bool)> {
        if self.wanted.is_null() {
            return None;
        }
        let m = self.pop_m()?;
        self.pop_wanted().map(|(p, spinning)| (m, p, spinning))
    }

    /// Counts a thread that is about to be made, if one is missing (MT2, MT5 of `threads`); whether
    /// somebody cannot go on without it.
    pub(crate) fn bear_m(&mut self) -> Option<bool> {
        let urgent = self.wanted_len > self.born;
        let missing = urgent || self.spare && self.born == 0 && self.idle_m.is_null();
        self.spare &= urgent;
        self.born += usize::from(missing);
        missing.then_some(urgent)
    }

    /// It has arrived, or cannot be made.
    pub(crate) fn born_m(&mut self) {
        self.born -= 1;
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
        p.link.set(self.idle_p);
        self.idle_p = ptr::from_ref(p).cast_mut();
        self.idle_ps += 1;
        SCHED.searchers.idle_add();
    }

    /// Takes off the idle list, which is short or will be, the Ps that `gone` is true of; calls it for
    /// each.
    pub(crate) fn remove_ps(&mut self, mut gone: impl FnMut(&'static P) -> bool) {
        let mut at: *mut P = ptr::null_mut();
        let mut next = self.idle_p;
        // SAFETY: null or a P, never freed (P2).
        while let Some(p) = unsafe { next.as_ref() } {
            next = p.link.get();
            if !gone(p) {
                at = ptr::from_ref(p).cast_mut();
                continue;
            }
            // SAFETY: as above.
            match unsafe { at.as_ref() } {
                Some(before) => before.link.set(next),
                None => self.idle_p = next,
            }
            self.idle_ps -= 1;
            SCHED.searchers.idle_sub();
        }
    }

    /// Takes the P that idled last. The caller calls `watch::p_runs` once the lock is released.
    pub(crate) fn pop_p(&mut self) -> Option<&'static P> {
        // SAFETY: null or a P, never freed (P2).
        let p = unsafe { self.idle_p.as_ref() }?;
        self.idle_p = p.link.get();
        self.idle_ps -= 1;
        self.starts += 1;
        p.end_turn(); // it has stood still for as long as it was idle
        p.m_id.store(SOMEBODY, Ordering::Relaxed); // before the caller's `watch::p_runs`
        SCHED.searchers.idle_sub();
        Some(p)
    }
}
