//! Job: `blocking`: telling the scheduler that a call is going to block its thread.
//! Layer: L2 (sched)
//! Not here: taking the P meanwhile (`retake`), getting one back (`comeback`).
//! Source: Go's entersyscall and exitsyscall. The P stays with the M until the watchdog takes it, so
//!   a short call costs two runtime sections and nothing else.

use super::global::SCHED;
use super::m::{self, M};
use super::watch;
use crate::sys::section::Section;

/// The call is over when this is dropped, also by a panic.
pub(crate) struct Call(());

impl Call {
    /// Begins a call; `None` on a plain thread.
    #[inline]
    pub(crate) fn begin() -> Option<Call> {
        let _section = Section::enter_if_outside();
        let p = m::current()?.p()?;
        m::current()?.begin_call(p.tick.load(std::sync::atomic::Ordering::Relaxed));
        if p.has_work() || !SCHED.injector().is_empty() {
            watch::hurry();
        }
        Some(Call(()))
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // Entering is what notices that the P was taken.
        let _section = Section::enter_if_outside();
        if let Some(m) = m::current() {
            M::end_call(m);
        }
    }
}
