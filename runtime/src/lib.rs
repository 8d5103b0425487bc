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

// A model check builds only the pure structures, with loom's atomics.
#![cfg_attr(loom, allow(dead_code, unused_imports, reason = "a model check uses parts only"))]

mod queue;
pub mod sync;
mod sys;

#[cfg(not(loom))]
mod arch;
#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
mod goroutine;
#[cfg(not(loom))]
mod join;
#[cfg(not(loom))]
pub mod runtime;
#[cfg(not(loom))]
mod sched;
#[cfg(loom)]
#[path = "sched/model.rs"]
mod sched;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
mod stack;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod tls;
mod wait;

#[cfg(not(loom))]
pub mod chan;
#[cfg(loom)]
#[path = "chan/models.rs"]
mod chan;
#[cfg(not(loom))]
pub mod context;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod thread;
#[cfg(not(loom))]
pub mod time;

#[cfg(not(loom))]
pub use builder::Builder;
#[cfg(not(loom))]
pub use goroutine::{
    Goroutine, GoroutineId, blocking, check_preempt, current, is_goroutine, lock_os_thread, park,
    park_timeout, unlock_os_thread, yield_now,
};
#[cfg(not(loom))]
pub use gusty_macros::{go, main, preemptible, test};
#[cfg(not(loom))]
pub use scope::{Scope, ScopedJoinHandle, scope, scope_ctx};
#[cfg(not(loom))]
pub use task::{JoinHandle, Result, spawn};
#[cfg(not(loom))]
pub use time::{sleep, sleep_until};
#[cfg(not(loom))]
pub use tls::Alloc;

#[doc(hidden)]
#[path = "entry.rs"]
#[cfg(not(loom))]
pub mod __private;

// The programs in the prose are tests.
#[cfg(all(doctest, not(loom)))]
#[doc = include_str!("../../README.md")]
mod readme {}
#[cfg(all(doctest, not(loom)))]
#[doc = include_str!("../../docs/guide.md")]
mod guide {}
