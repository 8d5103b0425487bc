//! Job: the scheduler as a model check sees it: who parks and who is made ready, on loom's threads.
//! Layer: L2 (sched)
//! Not here: the real one; of that only the claim and the list of Gs take part.
//! Invariants
//!   SM4  A G is made ready once for each of its parks; twice fails the check, and never is a
//!        deadlock, which loom reports.
//!   SM5  Headers live as long as one run of the model does, as the real ones are never unmapped.

#[path = "claim.rs"]
pub(crate) mod claim;
#[path = "list.rs"]
pub(crate) mod list;

pub(crate) mod g {
    //! Job: the header of a waiter.

    use std::cell::Cell;
    use std::ops::Deref;
    use std::ptr::NonNull;

    use loom::sync::Notify;
    use loom::sync::atomic::{AtomicBool, Ordering};

    pub(crate) struct G {
        pub(crate) link: Cell<*mut G>,
        is_ready: AtomicBool,
        note: Notify,
    }

    impl G {
        fn new() -> G {
            let (is_ready, note) = (AtomicBool::new(false), Notify::new());
            G { link: Cell::new(std::ptr::null_mut()), is_ready, note }
        }

        pub(crate) fn wait(&self) {
            while !self.is_ready.swap(false, Ordering::Acquire) {
                self.note.wait();
            }
        }

        pub(crate) fn make_ready(&self) {
            let was = self.is_ready.swap(true, Ordering::Release);
            assert!(!was, "SM4: made ready twice");
            self.note.notify();
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct GRef(NonNull<G>);

    // SAFETY: points to a header that outlives the model's threads (SM5).
    unsafe impl Send for GRef {}

    impl GRef {
        /// # Safety
        /// `g` is null or points to a header.
        pub(crate) unsafe fn from_ptr(g: *mut G) -> Option<GRef> {
            NonNull::new(g).map(GRef)
        }

        pub(crate) fn as_ptr(self) -> *mut G {
            self.0.as_ptr()
        }
    }

    impl Deref for GRef {
        type Target = G;
        fn deref(&self) -> &G {
            // SAFETY: alive (SM5).
            unsafe { self.0.as_ref() }
        }
    }

    /// Headers by their addresses.
    struct Headers(std::sync::Mutex<Vec<GRef>>);

    impl Drop for Headers {
        fn drop(&mut self) {
            for g in self.0.get_mut().unwrap().drain(..) {
                // SAFETY: from `current`; the model's threads are gone.
                drop(unsafe { Box::from_raw(g.as_ptr()) });
            }
        }
    }

    loom::lazy_static! {
        static ref HEADERS: Headers = Headers(std::sync::Mutex::new(Vec::new()));
    }

    loom::thread_local! {
        static ME: Cell<Option<GRef>> = Cell::new(None);
    }

    /// The header of the calling thread.
    pub(crate) fn current() -> GRef {
        ME.with(|me| {
            me.get().unwrap_or_else(|| {
                let g = GRef(NonNull::from(Box::leak(Box::new(G::new()))));
                HEADERS.0.lock().unwrap().push(g);
                me.set(Some(g));
                g
            })
        })
    }

    /// What the models wait for.
    #[derive(Clone, Copy)]
    pub(crate) enum WaitReason {
        Park,
        ChanSend,
        ChanRecv,
    }
}

pub(crate) mod park {
    //! Job: parking, and deadlines that pass as soon as somebody waits for them.

    use super::claim::{TIMED_OUT, Wait};
    pub(crate) use super::g::current;
    use super::g::{GRef, WaitReason};
    use crate::sys::clock::{NEVER, Nanos};

    pub(crate) fn goroutine() -> Option<GRef> {
        Some(current())
    }

    pub(crate) use goroutine as goroutine_inside;
    pub(crate) use park as park_inside;

    /// # Safety
    /// As the real one.
    pub(crate) unsafe fn park<C: FnOnce()>(_: WaitReason, commit: C) {
        let g = current();
        commit();
        g.wait();
    }

    /// # Safety
    /// As the real one.
    pub(crate) unsafe fn park_until<C: FnOnce()>(
        wait: &Wait,
        deadline: Nanos,
        _: WaitReason,
        commit: C,
    ) -> usize {
        let g = current();
        commit();
        if deadline == NEVER || !wait.try_claim(TIMED_OUT) {
            g.wait();
        }
        wait.outcome()
    }
}

pub(crate) mod ready {
    //! Job: making ready.

    use super::g::GRef;
    use super::list::GList;
    use crate::sys::section::Section;

    pub(crate) fn ready(g: GRef) {
        g.make_ready();
    }

    pub(crate) fn ready_inside(_: &Section, g: GRef) {
        g.make_ready();
    }

    pub(crate) fn ready_list(list: &mut GList) {
        while let Some(g) = list.pop() {
            g.make_ready();
        }
    }
}
