//! Job: the watchdog of a scheduler: a thread without a P that sees to what every P is too busy, or
//! too idle, to see to itself.
//! Not here: how any of it is done. The scheduler implements [`Host`]; this crate knows no
//! goroutine, no poller and no timer.
//!
//! Four parts, each of which can be tested without the next:
//!
//! - `policy`: [`decide`], a pure function of what was and what is, which names [`Action`]s;
//! - `backoff`: [`Backoff`], how long to rest while nothing needs doing;
//! - `deep`: the sleep without end of an idle process, and the cheap wake-up from it;
//! - `watchdog`: [`Sysmon`], the thread that puts them together.
//!
//! Invariants
//!   SM1  The thread takes no lock, allocates nothing and frees nothing after its start: a goroutine
//!        may be stopped inside the allocator while it runs. (What the [`Host`] does is the host's.)
//!   SM2  It never holds a P, so it may block in a system call without delaying a goroutine.
//!   SM3  While the process is idle it makes no system call at all.

mod backoff;
mod deep;
mod policy;
mod watchdog;

pub use backoff::Backoff;
pub use policy::{Action, Config, History, Probe, Proc, Rest, Snapshot, Why, decide};
pub use watchdog::{Host, Sysmon};
