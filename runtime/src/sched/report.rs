//! Job: naming the goroutine to blame, from a signal handler: no lock, no allocation.
//! Layer: L2 (sched)
//! Not here: the handler and its output (`sys::signal`).

use super::m;
use crate::stack::{Hit, Stack};
use crate::sys::signal::Who;

/// Who runs on this thread, for the overflow report.
pub(crate) fn on_overflow(hit: &Hit) -> Option<Who> {
    let g = m::current()?.cur()?;
    let stack = Stack::from_bits(g.stack.get())?;
    // A fault in somebody else's guard (a stray pointer) is not this goroutine's overflow.
    if stack.top() - stack.class().stride() != hit.stack_base {
        return None;
    }
    // SAFETY: the process ends in this handler, so the name lives for the rest of it.
    let name = g.with_name(|name| unsafe { &*std::ptr::from_ref(name.unwrap_or("").as_bytes()) });
    Some(Who { id: g.id(), name })
}
