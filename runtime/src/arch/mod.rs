//! Job: the one choice of instruction set, and the contract a port must meet.
//! Layer: L0 (machine)
//!
//! A port provides:
//! - `switch(save, to, msg, fs) -> msg`: leave this stack, storing where to come back at `*save`, and
//!   continue the context `to` with the thread pointer `fs` (0: with the present one); returns what
//!   the context that comes back here passes as `msg`.
//! - `start(save, top, arg, body, fs) -> msg`: leave this stack the same way and call `body(arg)` on the
//!   empty stack that ends at `top`. `body` never unwinds; it returns the context to continue and a
//!   message for it, and its stack is then no longer in use. Unwinders must stop at its caller.
//! - `prepare() -> bool`, `redirect(context, stack, landing) -> bool`, `room()`: make code that a signal
//!   interrupted call `landing` and then go on with all its registers as they were.
//! - `cycles()`: a free-running counter; `prefetch(addr)`: a hint that never faults.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{Exit, cycles, prefetch, start, switch};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{prepare, redirect};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("gusty runs on x86_64 only so far; arch/mod.rs says what a port must provide");
