//! Job: the cases on what they were written for: they hold for std.

pub(crate) use std::{sync, thread};

pub(crate) fn run(case: impl FnOnce() + Send + 'static) {
    case();
}

#[path = "cases.rs"]
mod cases;
