//! Job: what only some goroutines need: a name, and a park token that outlives the goroutine.
//! Layer: L2 (sched)
//! Not here: the header itself (`g`), parking on the permit (`permit`).
//! Invariants
//!   EX1  A G owns one reference to its Ext until its header is freed; handles own theirs.
//!   EX2  `Parker::wait` is set only while its owner is inside `park`; it is claimed under the lock,
//!        which the owner takes again before it returns (CL2).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::claim::Wait;
use super::g::G;
use crate::sys::lock::SpinLock;

/// The permit of `park` and `unpark`, and who waits for it.
pub(crate) struct Parker {
    pub(crate) permit: bool,
    pub(crate) wait: *const Wait,
}

// SAFETY: the pointer is used under the lock only, while its target is pinned (EX2).
unsafe impl Send for Parker {}

/// Shared by a goroutine and its handles.
pub(crate) struct Ext {
    pub(crate) id: u64,
    pub(crate) name: Option<String>,
    pub(crate) parker: SpinLock<Parker>,
}

impl Ext {
    /// A name for a goroutine that does not exist yet; `G::set_ext` completes it.
    pub(crate) fn named(name: String) -> Arc<Ext> {
        Ext::new(0, Some(name))
    }

    pub(crate) fn new(id: u64, name: Option<String>) -> Arc<Ext> {
        let parker = SpinLock::new(Parker { permit: false, wait: std::ptr::null() });
        Arc::new(Ext { id, name, parker })
    }
}

impl G {
    /// This G's Ext, made now if it has none. The G must not be freed meanwhile: the caller is the
    /// goroutine itself or holds its join handle.
    pub(crate) fn ext(&self) -> Arc<Ext> {
        let mut ext = self.ext.load(Ordering::Acquire).cast::<Ext>().cast_const(); // partner: the CAS below
        if ext.is_null() {
            let new = Arc::into_raw(Ext::new(self.id(), None));
            let (null, cast) = (std::ptr::null_mut(), new.cast_mut().cast::<()>());
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire); // partner: the load above
            match self.ext.compare_exchange(null, cast, ok, err) {
                Ok(_) => ext = new,
                Err(theirs) => {
                    // SAFETY: `new` came from into_raw and was not published.
                    drop(unsafe { Arc::from_raw(new) });
                    ext = theirs.cast::<Ext>().cast_const();
                }
            }
        }
        // SAFETY: the G owns a reference (EX1) and is not freed during this call.
        unsafe {
            Arc::increment_strong_count(ext);
            Arc::from_raw(ext)
        }
    }

    /// The name, if it was given one. Same condition as [`G::ext`].
    pub(crate) fn with_name<R>(&self, f: impl FnOnce(Option<&str>) -> R) -> R {
        let ext = self.ext.load(Ordering::Acquire).cast::<Ext>(); // partner: the CAS in `ext`
        // SAFETY: the G owns a reference (EX1) and is not freed during this call.
        f(unsafe { ext.as_ref() }.and_then(|e| e.name.as_deref()))
    }

    /// Installs a fresh Ext at spawn time.
    pub(crate) fn set_ext(&self, mut ext: Arc<Ext>) {
        Arc::get_mut(&mut ext).expect("not shared yet").id = self.id();
        let old = self.ext.swap(Arc::into_raw(ext).cast_mut().cast(), Ordering::AcqRel); // partner: `ext`
        debug_assert!(old.is_null());
    }

    /// Gives up the G's reference, when the header is freed.
    #[inline]
    pub(crate) fn drop_ext(&self) {
        let ext = self.ext.load(Ordering::Relaxed); // the owner frees; nobody else may set it now
        if !ext.is_null() {
            self.ext.store(std::ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: the reference that the G owned (EX1).
            drop(unsafe { Arc::from_raw(ext.cast::<Ext>()) });
        }
    }
}
