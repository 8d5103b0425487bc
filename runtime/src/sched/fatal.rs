//! Job: the end of a process that cannot go on.
//! Layer: L2 (sched)

use std::fmt;
use std::io::Write;

/// Reports something the runtime cannot go on from, and aborts.
#[cold]
pub(crate) fn fatal(message: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(std::io::stderr(), "gusty: fatal error: {message}");
    std::process::abort();
}
