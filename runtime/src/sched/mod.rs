//! Job: the scheduler: G, M, P and the loop that brings them together.
//! Layer: L2 (sched)
//! Not here: what goroutines wait for (L3), the public API (L4).
//!
//! A **G** is a goroutine: a header of 128 bytes and, from its first run on, a stack. An **M** is
//! an OS thread; it has a stack of its own, g0, on which it schedules. A **P** is the right to run
//! goroutines; there are GOMAXPROCS of them. An M with a P takes Gs from the P's queue and runs
//! them; an M without one sleeps, or waits in the poller for everybody.
//!
//! Read in this order: `run` (the loop), `find` (where work comes from), `park` and `ready` (how a
//! goroutine stops and goes on), `idle` (how nobody is forgotten).
//!
//! ```text
//!             spawn ──> ready ──> next slot / local queue / global queue
//!                         ^                      │
//!     waker, timer, poller│                      v
//!             park <── goroutine runs <── find_runnable ── steal, poll, sleep
//!              │   (G -> G directly if the local queue has one that can go on)
//!              └──> commit publishes the parked G, on the other side of the switch
//! ```

pub(crate) mod alarm;
mod astray;
pub(crate) mod call;
pub(crate) mod claim;
mod comeback;
mod deadlock;
pub(crate) mod dormant;
pub(crate) mod dump;
mod errand;
pub(crate) mod ext;
pub(crate) mod fatal;
mod find;
pub(crate) mod foreign;
pub(crate) mod g;
pub(crate) mod global;
mod global_queue;
pub(crate) mod gslab;
mod home;
mod hook;
mod idle;
pub(crate) mod lifecycle;
mod line;
pub(crate) mod list;
mod loan;
pub(crate) mod locked;
pub(crate) mod m;
pub(crate) mod metrics;
mod monitor;
mod own;
pub(crate) mod p;
pub(crate) mod park;
mod permit;
mod pick;
mod pinned;
pub(crate) mod poll;
mod preempt;
pub(crate) mod procs;
pub(crate) mod ready;
mod report;
mod retake;
mod retire;
mod run;
mod slices;
pub(crate) mod spawn;
mod starved;
mod steal;
mod stopped;
mod taker;
pub(crate) mod threads;
mod timers;
mod watch;
