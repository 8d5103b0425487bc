//! Job: the end of a process that cannot go on.
//! Layer: L2 (sched)

use std::fmt;

use super::line;

/// Reports something the runtime cannot go on from, and aborts. Anywhere: neither allocates nor locks.
#[cold]
pub(crate) fn fatal(message: fmt::Arguments<'_>) -> ! {
    line::print(format_args!("gusty: fatal error: {message}"));
    std::process::abort();
}
