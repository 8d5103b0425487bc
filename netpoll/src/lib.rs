//! Job: readiness of descriptors for a scheduler of green threads: kernel events in, waiters out.
//! Not here: goroutines, threads, timers, sockets, system calls on the descriptors.
//!
//! The crate knows tokens and opaque waiters, nothing of who waits or what is done about it:
//!
//! - A [`Poller`] is one epoll instance. One thread at a time calls [`Poller::poll`], which returns
//!   events as claimed waiters through a [`Sink`]; [`Poller::notify`] ends its block.
//! - A [`Source`] is one registered descriptor, with a readiness and a FIFO of waiters for each
//!   [`Direction`]. Nothing is ever re-armed: registration is edge-triggered and happens once.
//! - A [`WaitNode`] is the place of one waiter in such a queue. It lives on the waiter's stack.
//!
//! Every waiter is woken by every event of its direction and tries again; a wake-up is a hint, the
//! system call decides.

mod bell;
mod gate;
mod poller;
mod slots;
mod source;
mod sync;
mod timer;
mod waiters;

pub use gate::{Enqueued, Readiness, Sink};
pub use poller::{Deadline, PollOutcome, Poller};
pub use source::{Direction, Source};
pub use waiters::WaitNode;
