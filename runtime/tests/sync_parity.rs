//! Job: code that was written for `std::sync` works on `gusty::sync`: the same cases, compiled with
//!   std on threads, with gusty on goroutines, and with gusty on threads.
//! Not here: what goes beyond std (`sync_locks`, `sync_condvar`, `sync_once`).

mod common;

#[path = "parity/gusty_on_goroutines.rs"]
mod gusty_on_goroutines;
#[path = "parity/gusty_on_threads.rs"]
mod gusty_on_threads;
#[path = "parity/std_on_threads.rs"]
mod std_on_threads;
