//! Job: goroutines that are made now and begin to run later, if at all.
//! Layer: L2 (sched)
//! Not here: when they begin (`alarm`, the contexts of L3).
//! Invariants
//!   DM1  A dormant goroutine is a header with its closure, detached and in no queue: it has no
//!        stack, no dump shows it, and only its owner knows it. It begins once or never.
//!
//! Whoever has to start a goroutine where it must not fail or allocate (a timer that expires on a
//! thread without a P, a cancellation in the middle of a tree) has it made beforehand.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::Ordering;

use super::g::{G, GRef, GStatus, INLINE_WORDS, JOIN_DETACHED, Task};
use super::gslab;
use super::{lifecycle, p, ready, spawn};
use crate::config;
use crate::sys::section::Section;

/// Owns a goroutine that has not begun (DM1); dropping it drops the closure.
pub(crate) struct Dormant(GRef);

struct Typed<F>(F);

impl<F: FnOnce() + Send + 'static> Typed<F> {
    const TASK: &'static Task =
        &Task { run: Self::run, drop_output: Self::give_up, take_output: Self::nothing };

    /// # Safety
    /// The header was filled by `Dormant::new`, and its closure is taken once.
    unsafe fn take(g: &G) -> F {
        // SAFETY: written by `new`, which checks that it fits; promised by the caller.
        unsafe { g.inline.get().cast::<F>().read() }
    }

    unsafe fn run(g: &G) {
        // SAFETY: the first and only run of a dormant goroutine (DM1).
        let f = unsafe { Self::take(g) };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f))
            && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
        {
            Box::leak(again); // a payload whose drop panics would panic here, too
        }
    }

    /// Drops the closure of a goroutine that never begins.
    unsafe fn give_up(g: &G) {
        // SAFETY: it has not begun and will not (DM1).
        drop(unsafe { Self::take(g) });
    }

    unsafe fn nothing(_: &G, _: *mut ()) {}
}

impl Dormant {
    /// A goroutine that will run `f`, which must fit into a header (48 bytes). Never waits: the
    /// limit on goroutines refuses none of these.
    ///
    /// # Panics
    /// If the kernel gives no memory.
    pub(crate) fn new<F: FnOnce() + Send + 'static>(
        site: &'static Location<'static>,
        f: F,
    ) -> Dormant {
        const { assert!(size_of::<F>() <= INLINE_WORDS * 8 && align_of::<F>() <= 16) };
        lifecycle::ensure_started();
        let header = {
            let _section = Section::enter_if_outside(); // RD3 of `ready`
            // A ticker that could not go on, or a deadline that could not be set, would be worse.
            let beyond = |_| gslab::take_beyond_limit().map(|g| (g, p::foreign_id()));
            spawn::try_header().or_else(beyond)
        };
        let (g, id) = header.unwrap_or_else(|errno| {
            let error = std::io::Error::from_raw_os_error(errno);
            panic!("no memory for a goroutine's header: {error}")
        });
        let class = config::settings().stack;
        gslab::init(g, id, class.index(), 0, Typed::<F>::TASK, site);
        g.set_status(GStatus::Free); // not yet to be seen
        g.join.store(JOIN_DETACHED, Ordering::Relaxed); // not shared yet
        // SAFETY: a header that nobody else has; it fits, as asserted above.
        unsafe { g.inline.get().cast::<F>().write(f) };
        Dormant(g)
    }

    /// Begins: runs next on this P, as a goroutine just spawned.
    pub(crate) fn start(self) {
        let g = self.into_g();
        g.set_status(GStatus::Runnable);
        ready::make_next(g);
    }

    /// Gives the goroutine to whoever will queue it, or turn it back.
    pub(crate) fn into_g(self) -> GRef {
        ManuallyDrop::new(self).0
    }

    /// A word that `from_bits` turns back; its three lowest bits are 0.
    pub(crate) fn into_bits(self) -> usize {
        self.into_g().to_bits()
    }

    /// # Safety
    /// `bits` came from `into_bits`, and is turned back once.
    pub(crate) unsafe fn from_bits(bits: usize) -> Dormant {
        // SAFETY: promised by the caller.
        Dormant(unsafe { GRef::from_bits(bits) })
    }

    /// # Safety
    /// `g` came from `into_g` and has not been queued; the caller owns it.
    pub(crate) unsafe fn from_g(g: GRef) -> Dormant {
        Dormant(g)
    }
}

impl Drop for Dormant {
    fn drop(&mut self) {
        struct Free(GRef);
        impl Drop for Free {
            fn drop(&mut self) {
                spawn::free(self.0);
            }
        }
        let free = Free(self.0); // also if the closure's destructor panics
        let task = free.0.task.get().expect("set by `new`");
        // SAFETY: DM1: owned and not begun.
        unsafe { (task.drop_output)(&free.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;
    use std::sync::mpsc;

    #[test]
    fn it_begins_when_it_is_started_and_not_before() {
        let (tx, rx) = mpsc::channel();
        let dormant = Dormant::new(Location::caller(), move || tx.send(1).unwrap());
        let line = format!("goroutine {} ", dormant.0.id());
        assert!(!runtime::dump().contains(&line), "DM1");
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Empty));
        dormant.start();
        assert_eq!(rx.recv(), Ok(1));
        assert!(rx.recv().is_err(), "its closure is gone");
    }

    #[test]
    fn one_that_never_begins_drops_its_closure_and_gives_its_header_back() {
        let (tx, rx) = mpsc::channel::<()>();
        let dormant = Dormant::new(Location::caller(), move || tx.send(()).unwrap());
        let g = dormant.into_g();
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Empty));
        // SAFETY: just taken out, in no queue.
        drop(unsafe { Dormant::from_g(g) });
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Disconnected));

        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a panic on purpose");
            }
        }
        let bomb = Bomb;
        let dormant = Dormant::new(Location::caller(), move || drop(bomb));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(dormant))).is_err());
    }

    #[test]
    fn a_panic_ends_it_only() {
        let (tx, rx) = mpsc::channel();
        Dormant::new(Location::caller(), || panic!("a panic on purpose")).start();
        Dormant::new(Location::caller(), move || tx.send(1).unwrap()).start();
        assert_eq!(rx.recv(), Ok(1));
    }
}
