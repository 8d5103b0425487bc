//! Job: struct M, one OS thread of the scheduler, and how code finds the M it runs on.
//! Layer: L2 (sched)
//! Not here: starting and stopping Ms (`idle`), their loop (`run`).
//! Invariants
//!   M1  Everything but `hold`, `home`, `note`, `next_p` and `link` is written by the M's own thread
//!       only.
//!   M2  Ms are never freed: an idle one waits in a list for its next P, one whose thread has ended
//!       for another thread.
//!   M3  The M of a goroutine can change at every park and wherever the outermost section begins.
//!       A pointer from `current` is good in the section in which it was read, up to the next
//!       switch. It is read from a word that the compiler does not cache, so the accessor may be
//!       inlined anywhere.
//!   M4  While a goroutine runs, `place` is the FS base that its section word is found by; on g0 it
//!       is HOME. It changes before the G that was left is published (WH1 of `sys::whereabouts`).
//!   M5  While an M is looked at (`LOOKING`), by the one who has the `Taker`, no scheduler thread ends:
//!       the word may be in the thread's own block.
//! Orderings
//!   E1  give_p: next_p.store(Release) + note.wake -> note.sleep + take_p: next_p.swap(Acquire)
//!   E2  LOOKING.store; fence; place or tid.load  <->  vanish: place is HOME, tid.store(0);
//!       fence; LOOKING.load   (one of the two sees the other)
//!   E3  adopt: kick made; tid.store(Release) -> kick: tid.load(Acquire)

use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use super::fatal;
use super::g::{G, GRef};
use super::home::{AWAKE, Home, WANTING};
use super::metrics;
use super::p::P;
use crate::config::MAX_THREADS;
use crate::stack::Stack;
use crate::sys::clock::Nanos;
use crate::sys::cpu;
use crate::sys::errno::Errno;
use crate::sys::hold::Hold;
use crate::sys::kick::{Kick, Rung};
use crate::sys::map;
use crate::sys::note::Note;
use crate::sys::rand::Rand;
use crate::sys::section;
use crate::sys::shim::store_load_fence;
use crate::sys::whereabouts::{HOME, Whereabouts};
use crate::tls::{self, Host};

/// See the module.
#[repr(C)]
pub(crate) struct M {
    /// Whether it still has its P. First, because `sys::section` finds it there.
    pub(crate) hold: Hold,
    pub(crate) id: u32,
    /// See M4.
    place: Whereabouts,
    /// The FS base of the thread itself.
    g0_fs: Cell<usize>,
    /// The kernel's id of the thread; 0 once it ends. Published after `kick`.
    tid: AtomicI32,
    /// Stops the goroutine that runs here; made and dropped by the thread (M5).
    kick: UnsafeCell<Option<Kick>>,
    /// The call that is known to block: `IN_CALL`, a count, and the P's tick at its begin. A hint.
    call: AtomicU64,
    /// Saved context of the scheduling stack while a goroutine runs.
    pub(crate) g0_sp: Cell<usize>,
    cur: Cell<*mut G>,
    /// The watchdog reads it.
    p: AtomicPtr<P>,
    /// A G that a parking goroutine chose but only g0 can run.
    handoff: Cell<*mut G>,
    /// The stack that an exiting goroutine has just left, packed; 0 if none.
    dead: Cell<usize>,
    /// Kicks that came too early since it lost its P; see `preempt`.
    pub(crate) tries: Cell<u32>,
    /// Its kick is set for the end of a slice (SL2 of `slices`).
    pub(crate) timed: AtomicBool,
    /// How often its goroutine has locked itself to this thread; see `locked`.
    pub(crate) locks: Cell<u32>,
    /// Counted among the searchers.
    pub(crate) spinning: Cell<bool>,
    rand: UnsafeCell<Rand>,
    /// What it lends to the goroutines it runs; written once, before the first.
    host: UnsafeCell<Host>,
    /// Goroutines that stay on this M.
    pub(crate) home: Home,
    /// Where this M sleeps when it has no P.
    pub(crate) note: Note,
    /// The P it is given on wake-up.
    next_p: AtomicPtr<P>,
    /// Link of the list of idle Ms, or of those that want a P, under the scheduler's lock.
    pub(crate) link: Cell<*mut M>,
}

// SAFETY: M1; `link` is under the scheduler's lock.
unsafe impl Sync for M {}

/// Room for all Ms: more than threads, because some do not fit a new thread (MT4 of `threads`).
const MAX_MS: usize = 2 * MAX_THREADS as usize;

static NEXT_ID: AtomicU32 = AtomicU32::new(0);
static ALL: [AtomicPtr<M>; MAX_MS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_MS];

/// The M with this id, if there is one.
pub(crate) fn get(id: u32) -> Option<&'static M> {
    let slot = ALL.get(usize::try_from(id).ok()?)?;
    // SAFETY: null or an M, never freed (M2).
    unsafe { slot.load(Ordering::Acquire).as_ref() } // partner: `leak_new`
}

/// What an M without a P does with its goroutine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Astray {
    /// It runs it all the same, until it notices.
    Runs,
    /// It waits, with its thread.
    Waits,
}

/// M5.
static LOOKING: AtomicBool = AtomicBool::new(false);

/// Top bit of `M::call`.
const IN_CALL: u64 = 1 << 63;

/// The M of the calling thread, if it is one. The reference must not be kept over a switch (M3).
#[inline(always)]
pub(crate) fn current() -> Option<&'static M> {
    let m = ptr::with_exposed_provenance::<M>(tls::get::<{ tls::SCHED }>());
    // SAFETY: set to an M that is never freed (M2), or null.
    unsafe { m.as_ref() }
}

/// Makes the calling thread an M: one whose thread has ended (MT4 of `threads`), or a new one.
/// `reuse` finds the former; `rung` is the way to kick it.
pub(crate) fn adopt(
    rung: Rung,
    reuse: impl FnOnce(&dyn Fn(&M) -> bool) -> Option<&'static M>,
) -> &'static M {
    let own = tls::level().has_blocks();
    let host = if own { Host::here() } else { Host::NOBODY };
    let m = reuse(&|m| m.host().fs() != host.fs() || *m.host() == host).unwrap_or_else(M::leak_new);
    // SAFETY: the word is the scheduler's; nobody else reads `host` yet (M1).
    unsafe {
        tls::set::<{ tls::SCHED }>(ptr::from_ref(m).expose_provenance());
        section::set_depth(1); // g0 is never outside (SN1)
        m.g0_fs.set(tls::fs());
        *m.host.get() = host;
        *m.kick.get() = Some(Kick::new_for_this_thread(rung));
    }
    m.tid.store(cpu::this_thread(), Ordering::Release); // E3
    m
}

impl G {
    /// The M that alone may run this G.
    #[inline]
    pub(crate) fn bound_m(&self) -> Option<&'static M> {
        // SAFETY: null or an M, never freed (M2).
        unsafe { self.bound.get().cast::<M>().as_ref() }
    }

    pub(crate) fn set_bound_m(&self, m: Option<&'static M>) {
        self.bound.set(m.map_or(ptr::null(), |m| ptr::from_ref(m).cast()));
    }
}

impl M {
    pub(crate) fn leak_new() -> &'static M {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        assert!(id < MAX_MS as u32, "Ms are used again");
        let m = map::keep(M {
            hold: Hold::new(),
            id,
            place: Whereabouts::new(),
            g0_fs: Cell::new(0),
            tid: AtomicI32::new(0),
            kick: UnsafeCell::new(None),
            call: AtomicU64::new(0),
            g0_sp: Cell::new(0),
            cur: Cell::new(ptr::null_mut()),
            p: AtomicPtr::new(ptr::null_mut()),
            handoff: Cell::new(ptr::null_mut()),
            dead: Cell::new(0),
            tries: Cell::new(0),
            timed: AtomicBool::new(false),
            locks: Cell::new(0),
            spinning: Cell::new(false),
            host: UnsafeCell::new(Host::NOBODY),
            rand: UnsafeCell::new(Rand::new(u64::from(id) ^ crate::sys::clock::cycles())),
            home: Home::new(),
            note: Note::new(),
            next_p: AtomicPtr::new(ptr::null_mut()),
            link: Cell::new(ptr::null_mut()),
        });
        let m: &'static M = m.unwrap_or_else(|errno| {
            fatal::fatal(format_args!("no memory for a thread: {}", Errno(errno)))
        });
        ALL[id as usize].store(ptr::from_ref(m).cast_mut(), Ordering::Release); // partner: `get`
        m
    }

    /// Its goroutine is going to block in a call. In a section.
    #[inline]
    pub(crate) fn begin_call(&self, tick: u32) {
        let count = (self.call.load(Ordering::Relaxed) >> 32).wrapping_add(1) << 32;
        self.call.store(IN_CALL | count | u64::from(tick), Ordering::Relaxed); // a hint
    }

    /// It has come back. In a section.
    #[inline]
    pub(crate) fn end_call(&self) {
        let call = self.call.load(Ordering::Relaxed);
        self.call.store(call & !IN_CALL, Ordering::Relaxed); // a hint
    }

    /// The call in which the goroutine is that the P's round `tick` began; 0 for none.
    pub(crate) fn call(&self, tick: u32) -> u64 {
        let call = self.call.load(Ordering::Relaxed); // a hint
        let current = call & IN_CALL != 0 && call as u32 == tick;
        if current { call } else { 0 }
    }

    /// Whether a goroutine is locked to it. From elsewhere: an observation.
    pub(crate) fn is_bound(&self) -> bool {
        self.cur().is_some_and(|g| !g.bound.get().is_null())
    }

    /// The kernel's id of its thread.
    pub(crate) fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// The goroutine this M runs; `None` on g0.
    #[inline]
    pub(crate) fn cur(&self) -> Option<GRef> {
        // SAFETY: null or a G.
        unsafe { GRef::from_ptr(self.cur.get()) }
    }

    #[inline]
    pub(crate) fn set_cur(&self, g: Option<GRef>) {
        self.cur.set(g.map_or(ptr::null_mut(), GRef::as_ptr));
    }

    /// What this M lends; its FS base is 0 if goroutines share it. M1.
    #[inline(always)]
    pub(crate) fn host(&self) -> &Host {
        // SAFETY: not written any more once the M runs goroutines.
        unsafe { &*self.host.get() }
    }

    /// The P this M owns.
    #[inline]
    pub(crate) fn p(&self) -> Option<&'static P> {
        // SAFETY: null or a P; Ps are never freed (P2).
        unsafe { self.p.load(Ordering::Relaxed).as_ref() }
    }

    #[inline]
    pub(crate) fn set_p(&self, p: Option<&'static P>) {
        if let Some(p) = p {
            p.m_id.store(self.id, Ordering::Relaxed); // for the watchdog and dumps
        }
        let p = p.map_or(ptr::null_mut(), |p| ptr::from_ref(p).cast_mut());
        self.p.store(p, Ordering::Relaxed); // others conclude nothing from it alone
    }

    /// This M is about to switch to a goroutine with the FS base `fs` (0: the thread's own). M4.
    #[inline(always)]
    pub(crate) fn runs(&self, fs: usize) {
        self.place.moved(if fs == 0 { self.g0_fs.get() } else { fs });
    }

    /// This M is on g0 again, and has not yet published the G that it left. M4.
    #[inline(always)]
    pub(crate) fn runs_g0(&self) {
        self.place.moved(HOME);
    }

    /// Executes `fence`, the heavy side of an asymmetric one, and tells whether a goroutine runs here
    /// that is in no section. With the `Taker`: may say no where yes would be true; a yes was true at
    /// a moment after the fence.
    pub(crate) fn is_outside(&self, fence: impl FnOnce() -> bool) -> bool {
        LOOKING.store(true, Ordering::Relaxed); // E2
        let outside = fence() && self.looks_outside();
        LOOKING.store(false, Ordering::Release); // E2
        outside
    }

    fn looks_outside(&self) -> bool {
        self.place.is_outside(|fs| {
            // SAFETY: blocks of goroutines are never unmapped, a thread's own not while it is looked
            // at (M5); the word is aligned, and written by single instructions.
            let count = unsafe { AtomicUsize::from_ptr(tls::at(fs, tls::SECTION)) };
            count.load(Ordering::Acquire) // E2 of `sys::whereabouts`
        })
    }

    pub(crate) fn set_handoff(&self, g: GRef) {
        debug_assert!(self.handoff.get().is_null());
        self.handoff.set(g.as_ptr());
    }

    #[inline]
    pub(crate) fn take_handoff(&self) -> Option<GRef> {
        let g = self.handoff.get();
        if g.is_null() {
            return None;
        }
        self.handoff.set(ptr::null_mut());
        // SAFETY: a G.
        unsafe { GRef::from_ptr(g) }
    }

    /// Leaves a stack to g0, which gives it back.
    #[inline]
    pub(crate) fn leave_stack(&self, stack: Stack) {
        self.dead.set(stack.to_bits());
    }

    #[inline]
    pub(crate) fn take_left_stack(&self) -> Option<Stack> {
        Stack::from_bits(self.dead.replace(0))
    }

    /// Gives `p` to this M, which was just taken off the idle list.
    pub(crate) fn start(&self, p: &'static P, spinning: bool) {
        self.spinning.set(spinning); // it sleeps: `give_p` publishes this
        self.give_p(p);
    }

    /// The watchdog stops looking at this M: its thread is about to end (M5).
    pub(crate) fn vanish(&self) {
        self.tid.store(0, Ordering::Relaxed); // ordered by the fence
        store_load_fence(); // E2
        while LOOKING.load(Ordering::Acquire) {
            // E2
            std::thread::yield_now();
        }
    }

    /// Whether this M has lost its P and has no other, and if so whether it sleeps until it gets one.
    /// From elsewhere: an observation.
    pub(crate) fn astray(&self) -> Option<Astray> {
        let rest = self.home.rest.load(Ordering::Relaxed);
        if !self.hold.is_lost() {
            // It has noticed, and may still be on its way to the idle list.
            return (self.p().is_none() && rest == AWAKE).then_some(Astray::Runs);
        }
        let granted = !self.next_p.load(Ordering::Relaxed).is_null();
        Some(if granted || rest == WANTING { Astray::Waits } else { Astray::Runs })
    }

    /// Has a P again, or its goroutine has left it.
    pub(crate) fn regained(&self) {
        self.tries.set(0);
        self.hold.regained();
    }

    /// Kicks the thread once it has computed for `after_ns` from now; not at all, if it `may_sleep`,
    /// by a kick that would wake it (KI3). With the `Taker`.
    pub(crate) fn kick(&self, after_ns: Nanos, may_sleep: bool) {
        LOOKING.store(true, Ordering::Relaxed); // E2
        store_load_fence(); // E2
        if self.tid.load(Ordering::Acquire) != 0 {
            // E3
            // SAFETY: made before `tid` was stored, dropped when nobody looks (M5).
            if let Some(kick) = unsafe { &*self.kick.get() }
                && !(may_sleep && kick.rung() == Rung::Tgkill)
            {
                kick.arm(after_ns);
                metrics::KICKS.add();
            }
        }
        LOOKING.store(false, Ordering::Release); // E2
    }

    /// The kick was felt. In the signal handler of this M's thread.
    pub(crate) fn kicked(&self) -> Option<&Kick> {
        // SAFETY: this thread's; not written while it can be kicked.
        let kick = unsafe { &*self.kick.get() }.as_ref();
        if let Some(kick) = kick {
            kick.fired();
        }
        kick
    }

    /// The thread ends: from here on it is a plain one.
    pub(crate) fn abandon(&self) {
        self.locks.set(0);
        // SAFETY: the watchdog does not look any more (M5).
        drop(unsafe { (*self.kick.get()).take() });
        // SAFETY: the words are the scheduler's.
        unsafe {
            tls::set::<{ tls::SCHED }>(0);
            section::set_depth(0);
        }
    }

    /// Hands `p` to this sleeping M. Any thread that took the M off a list.
    pub(crate) fn give_p(&self, p: &'static P) {
        p.end_turn(); // it may go on with its goroutine, without a round
        self.next_p.store(ptr::from_ref(p).cast_mut(), Ordering::Release); // E1
        self.note.wake();
    }

    /// The P that came with the wake-up.
    pub(crate) fn take_p(&self) -> Option<&'static P> {
        let p = self.next_p.swap(ptr::null_mut(), Ordering::Acquire); // E1
        // SAFETY: null or a P (P2).
        unsafe { p.as_ref() }
    }

    /// A random number below `n`; this M's thread only (M1).
    pub(crate) fn rand_below(&self, n: u32) -> u32 {
        // SAFETY: M1, and the borrow ends here.
        unsafe { &mut *self.rand.get() }.below(n)
    }
}
