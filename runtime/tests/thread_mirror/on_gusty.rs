//! Job: the program over gusty: one `use` changed.

use gusty::thread;
#[path = "program.rs"]
pub(crate) mod program;
