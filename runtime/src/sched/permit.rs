//! Job: `park` and `unpark`: waiting for a permit, and giving one.
//! Layer: L2 (sched)
//! Not here: the public functions (`goroutine`), where the permit is kept (`ext`).
//! Source: std::thread's park/unpark semantics: one permit, never more.

use std::mem::ManuallyDrop;

use super::claim::{FIRST_TOKEN, Wait};
use super::ext::Ext;
use super::g::{GRef, WaitReason};
use super::{park, ready};
use crate::sys::clock::Nanos;
use crate::sys::section;

impl Ext {
    /// Consumes a permit, or parks the caller, whose Ext this is, until there is one or the
    /// deadline has passed.
    pub(crate) fn park(&self, me: GRef, deadline: Nanos, reason: WaitReason) {
        let wait = Wait::new(me);
        let mut parker = self.parker.lock();
        if std::mem::take(&mut parker.permit) {
            return;
        }
        parker.wait = &raw const wait;
        let _locked = ManuallyDrop::new(parker); // the commit unlocks
        // SAFETY: the lock is released by the commit; `unpark` claims under it (EX2), and we take
        // it below before `wait` dies.
        unsafe {
            park::park_until(&wait, deadline, reason, || self.parker.raw().unlock());
        }
        section::leave(); // that of the forgotten guard (LK3)
        self.parker.lock().wait = std::ptr::null();
    }

    /// Ends the owner's park, or leaves a permit for the next one.
    pub(crate) fn unpark(&self) {
        let mut parker = self.parker.lock();
        // SAFETY: null or a wait whose owner needs this lock to leave (EX2).
        match unsafe { parker.wait.as_ref() } {
            Some(wait) if wait.try_claim(FIRST_TOKEN) => {
                let g = wait.g();
                parker.wait = std::ptr::null();
                drop(parker);
                ready::ready(g);
            }
            _ => parker.permit = true,
        }
    }
}
