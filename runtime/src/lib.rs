//! gusty: goroutines for Rust.
//!
//! A Go-style GMP runtime: stackful goroutines that any blocking Rust code can run on, scheduled by
//! work stealing and woken by a network poller. Code is written as for threads; a goroutine costs
//! one page of memory and some 40 ns to start.
//!
//! ```
//! use gusty::{chan, go};
//!
//! let (tx, rx) = chan::bounded(0); // unbuffered
//! for i in 0..4u64 {
//!     let tx = tx.clone();
//!     go!(move || tx.send(i * i).unwrap());
//! }
//! drop(tx);
//! assert_eq!(rx.iter().sum::<u64>(), 14);
//! ```
// Job: the front page and the list of what is public.
// Layer: L4 (API)

#![cfg_attr(loom, allow(dead_code, unused_imports, reason = "a model check uses parts only"))]

mod arch;
mod config;
mod goroutine;
mod queue;
pub mod runtime;
mod sched;
mod scope;
mod stack;
mod sys;
mod task;
mod timer;
mod wait;

pub mod chan;
pub mod net;
pub mod sync;

pub use goroutine::{
    Goroutine, GoroutineId, current, is_goroutine, park, park_timeout, sleep, sleep_until,
    yield_now,
};
pub use gusty_macros::{go, main, test};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use task::{Builder, JoinHandle, Result, spawn};

#[doc(hidden)]
#[path = "entry.rs"]
pub mod __private;
