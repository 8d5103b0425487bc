//! Job: the program over std, where it must hold first.

use std::thread;
#[path = "program.rs"]
pub(crate) mod program;
