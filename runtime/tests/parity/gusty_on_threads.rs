//! Job: the cases with gusty's types between plain threads.

pub(crate) use gusty::sync;
pub(crate) use std::thread;

pub(crate) fn run(case: impl FnOnce() + Send + 'static) {
    crate::common::watched(thread::current().name().unwrap_or("a case"), case);
}

#[path = "cases.rs"]
#[expect(clippy::duplicate_mod, reason = "that is the point")]
mod cases;
