//! Job: the handle of one registered descriptor: making it, readiness, waiting, closing.
//! Not here: the protocol of one direction (`gate`), polling (`poller`).
//! Invariants
//!   SO1  A slot belongs to the one `Source` made for it, and goes back when that is dropped.
//!   SO2  Closing marks both directions, then leaves epoll, then wakes: who is woken finds the mark,
//!        and when `close` returns, the number of the descriptor may be reused.

use std::fmt;
use std::io;
use std::os::fd::RawFd;

use crate::gate::{Enqueued, Gate, Readiness, Sink, Taken};
use crate::poller::Poller;
use crate::slots::{Key, Slot};
use crate::waiters::WaitNode;

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Data, a connection to accept, the end of the stream, an error.
    Read,
    /// Room to write, a finished connect, an error.
    Write,
}

/// A descriptor that a [`Poller`] watches.
///
/// Share it by reference or `Arc`. Dropping it gives its slot back and makes no system call: without
/// a [`Source::close`] before, the kernel goes on watching, and its events are recognised as stale.
pub struct Source {
    poller: &'static Poller,
    slot: &'static Slot,
    key: Key,
    fd: RawFd,
}

impl Poller {
    /// Starts to watch `fd`, which should be non-blocking. Does not own it: [`Source::close`] comes
    /// before `close(2)`. One system call; never blocks.
    ///
    /// # Errors
    /// `EPERM` for what epoll does not take (regular files, directories), `EEXIST` if `fd` is
    /// registered already, `EBADF`, `ENOSPC` and `ENOMEM` as `epoll_ctl(2)` says; `ENFILE` if this
    /// poller has no slot left.
    pub fn register(&'static self, fd: RawFd) -> io::Result<Source> {
        loop {
            self.make_room()?;
            if let Some(source) = self.register_in_room(fd)? {
                return Ok(source);
            }
        }
    }

    /// As [`register`](Poller::register), but allocates nothing: `None` if there is no slot for it, so
    /// that [`make_room`](Poller::make_room) must be called (again). For callers that must not wait
    /// for the allocator.
    ///
    /// # Errors
    /// As `register`.
    pub fn register_in_room(&'static self, fd: RawFd) -> io::Result<Option<Source>> {
        let Some((key, slot)) = self.acquire() else { return Ok(None) };
        let source = Source { poller: self, slot, key, fd }; // SO1: gives the slot back on an error
        self.watch(fd, key)?;
        Ok(Some(source))
    }
}

impl Source {
    fn gate(&self, direction: Direction) -> &Gate {
        match direction {
            Direction::Read => &self.slot.read,
            Direction::Write => &self.slot.write,
        }
    }

    /// The state of a direction; one load. Taken before a system call, it later tells whether
    /// something happened since.
    #[inline]
    #[must_use]
    pub fn readiness(&self, direction: Direction) -> Readiness {
        self.gate(direction).load()
    }

    /// Whether the descriptor is being closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.readiness(Direction::Read).is_closed()
    }

    /// A system call made after `seen` was taken answered EAGAIN. Forgets the readiness, unless an
    /// event came since.
    pub fn clear_ready(&self, direction: Direction, seen: Readiness) {
        self.gate(direction).clear(seen);
    }

    /// A call on a **stream** made after `seen` was taken moved something, but less than it was
    /// asked to: the next one would answer EAGAIN. Forgets the readiness and so saves that call,
    /// unless an event came since or the stream has ended (there will be no further edge). Not for
    /// datagrams, nor for pipes in packet mode.
    pub fn clear_ready_after_short(&self, direction: Direction, seen: Readiness) {
        self.gate(direction).clear_after_short(seen);
    }

    /// Queues `node` to be claimed by the next event, unless something has happened since `seen`.
    /// Several waiters of one direction queue up, and an event wakes them all.
    ///
    /// Whoever waits takes `seen`, then looks (system call, deadline), then `clear_ready`, then
    /// this. From the moment of this call the waiter may be claimed: so the caller has saved its
    /// state before. Never blocks.
    ///
    /// # Safety
    /// - `node` is on no queue.
    /// - If the answer is [`Enqueued::Queued`], `node` stays alive and in place, and so does what
    ///   its value refers to as far as the sinks use it, until either a sink has claimed the
    ///   waiter, or [`Source::remove`] with it has returned.
    /// - `self` is not dropped before that either.
    pub unsafe fn enqueue(
        &self,
        direction: Direction,
        seen: Readiness,
        node: &WaitNode,
    ) -> Enqueued {
        self.poller.count(); // PO4
        // SAFETY: the caller's contract.
        let result = unsafe { self.gate(direction).enqueue(seen, node) };
        if result != Enqueued::Queued {
            self.poller.uncount(1);
        }
        result
    }

    /// Takes `node` off the queue if it is still there, and says whether it was. For a waiter that
    /// was claimed by something else, a deadline for instance: when this returns, nobody touches
    /// the node any more. Never blocks.
    ///
    /// # Safety
    /// `node` was enqueued on this source, in this direction, or is on no queue.
    pub unsafe fn remove(&self, direction: Direction, node: &WaitNode) -> bool {
        // SAFETY: the caller's contract.
        let was_queued = unsafe { self.gate(direction).remove(node) };
        self.poller.uncount(usize::from(was_queued));
        was_queued
    }

    /// Offers all waiters of a direction to `sink`, so that they look again at what they wait by
    /// (a deadline that was changed before this call). Who is about to be queued gets
    /// [`Enqueued::Retry`], provided that it took its snapshot before it looked. Returns how many
    /// were claimed. Never blocks.
    pub fn wake_all(&self, direction: Direction, sink: &mut impl Sink) -> usize {
        let Taken { taken, claimed } = self.gate(direction).wake_all(sink);
        self.poller.uncount(taken);
        claimed
    }

    /// Stops watching the descriptor and offers all waiters to `sink`; nobody can be queued any
    /// more. Call it before `close(2)`. Only the first call does something. One system call; never
    /// blocks. Returns how many waiters were claimed.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`, typically that the descriptor was closed before. The waiters have
    /// been offered all the same.
    pub fn close(&self, sink: &mut impl Sink) -> io::Result<usize> {
        // SO2: marked, out of epoll, woken: in this order.
        if !self.slot.read.close() {
            return Ok(0);
        }
        self.slot.write.close();
        let left = self.poller.unwatch(self.fd);
        let claimed = self.wake_all(Direction::Read, sink) + self.wake_all(Direction::Write, sink);
        left.map(|()| claimed)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.poller.release(self.key); // SO1
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("fd", &self.fd)
            .field("read", &self.readiness(Direction::Read))
            .field("write", &self.readiness(Direction::Write))
            .finish_non_exhaustive()
    }
}
