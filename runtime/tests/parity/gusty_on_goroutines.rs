//! Job: the cases with gusty's types between goroutines.

pub(crate) use gusty::sync;

pub(crate) mod thread {
    pub(crate) use gusty::{scope, sleep, spawn, yield_now};
}

pub(crate) fn run(case: impl FnOnce() + Send + 'static) {
    let name = std::thread::current().name().unwrap_or("a case").to_owned();
    crate::common::watched(&name, || gusty::spawn(case).join().unwrap());
}

#[path = "cases.rs"]
#[expect(clippy::duplicate_mod, reason = "that is the point")]
mod cases;
