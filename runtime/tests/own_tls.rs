//! Job: what is true only if a goroutine has thread-local storage of its own, and what has to be
//!   true at any level: see `tls/battery.rs` for which level promises what.
//! Not here: popular crates on goroutines (`compat/tests`), single blocks (`src/tls/tests.rs`).

mod common;

#[path = "tls/battery.rs"]
mod battery;
#[path = "tls/debugger.rs"]
mod debugger;
#[path = "tls/fork.rs"]
mod fork;
#[path = "tls/libc.rs"]
mod libc_calls;
#[path = "tls/libraries.rs"]
mod libraries;
#[path = "tls/locals.rs"]
mod locals;
#[path = "tls/panics.rs"]
mod panics;
#[path = "tls/settings.rs"]
mod settings;
#[path = "tls/std.rs"]
mod std_calls;
