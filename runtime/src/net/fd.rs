//! Job: a descriptor registered with the poller: try the call, else wait until it is worth trying.
//! Layer: L3 (blocking)
//! Not here: which calls there are (`tcp`), the readiness protocol (`gusty_netpoll`).
//! Invariants
//!   FD1  A `Wait` and its node stay in place until the node is off the gate's queue and the
//!        commit has made its last touch (`committed`).
//!   FD2  The kernel's registration goes before the descriptor does (drop order: `close`, then io).
//!   FD3  The poller's locks are taken in sections only (SN2 of `sys::section`).
//!   FD4  The number stays open, and ours, as long as there is a handle: it may have been lent.
//! Orderings
//!   E1  commit: committed.store(Release) -> wait_ready: committed.load(Acquire)

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::Backoff;
use gusty_netpoll::{Direction, Enqueued, Readiness, Source, WaitNode};

use crate::context::Context;
use crate::sched::claim::{CANCELLED, TIMED_OUT, Wait};
use crate::sched::g::WaitReason;
use crate::sched::list::GList;
use crate::sched::{lifecycle, park, poll, ready};
use crate::sys::clock::{self, NEVER, Nanos};
use crate::sys::section::Section;
use crate::wait::{self, Until};

/// A non-blocking descriptor and its place in the poller.
pub(super) struct Pollable<S: AsRawFd> {
    source: ManuallyDrop<Source>,
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    io: S,
}

impl<S: AsRawFd> Pollable<S> {
    pub(super) fn new(io: S) -> io::Result<Pollable<S>> {
        lifecycle::ensure_started();
        let source = loop {
            poll::make_room()?; // allocates: before the section
            let _section = Section::enter(); // FD3
            if let Some(source) = poll::register(io.as_raw_fd())? {
                break ManuallyDrop::new(source);
            }
        };
        let (read_timeout, write_timeout) = (AtomicU64::new(NEVER), AtomicU64::new(NEVER));
        Ok(Pollable { source, read_timeout, write_timeout, io })
    }

    pub(super) fn io(&self) -> &S {
        &self.io
    }

    fn timeout_cell(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Read => &self.read_timeout,
            Direction::Write => &self.write_timeout,
        }
    }

    /// As std: `Some(0)` is an error. Applies to calls that begin afterwards.
    pub(super) fn set_timeout(&self, direction: Direction, d: Option<Duration>) -> io::Result<()> {
        if d == Some(Duration::ZERO) {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "cannot set a timeout of zero"));
        }
        let ns = d.map_or(NEVER, |d| u64::try_from(d.as_nanos()).unwrap_or(NEVER));
        self.timeout_cell(direction).store(ns, Ordering::Relaxed); // a setting, orders nothing
        Ok(())
    }

    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        let ns = self.timeout_cell(direction).load(Ordering::Relaxed); // a setting
        (ns != NEVER).then(|| Duration::from_nanos(ns))
    }

    /// Runs `call` until it does not say `WouldBlock`, waiting in between, until `ctx` ends if there
    /// is one.
    #[inline]
    pub(super) fn retry<R>(
        &self,
        direction: Direction,
        ctx: Option<&Context>,
        mut call: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut deadline = None;
        loop {
            let seen = self.source.readiness(direction);
            if seen.is_closed() {
                return Err(closed());
            }
            if seen.is_ready() {
                match call(&self.io) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.source.clear_ready(direction, seen);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    done => return done,
                }
            }
            let deadline = *deadline.get_or_insert_with(|| self.deadline(direction));
            self.wait(direction, seen, deadline, ctx)?;
        }
    }

    /// As `retry` for a stream transfer of at most `len` bytes: fewer mean that the kernel's buffer
    /// is drained (or full), which saves the call that would say so.
    #[inline]
    pub(super) fn transfer(
        &self,
        direction: Direction,
        ctx: Option<&Context>,
        len: usize,
        mut call: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.retry(direction, ctx, |io| {
            let seen = self.source.readiness(direction);
            let n = call(io)?;
            if 0 < n && n < len {
                self.source.clear_ready_after_short(direction, seen);
            }
            self.ended_by_others(direction, n, len)
        })
    }

    /// Passes on what a transfer of at most `len` bytes moved; nothing, because we closed meanwhile,
    /// is an error and not the end of the stream.
    #[inline]
    pub(super) fn ended_by_others(
        &self,
        direction: Direction,
        n: usize,
        len: usize,
    ) -> io::Result<usize> {
        let ours = n == 0 && len != 0 && self.source.readiness(direction).is_closed();
        if ours { Err(closed()) } else { Ok(n) }
    }

    fn deadline(&self, direction: Direction) -> Nanos {
        match self.timeout_cell(direction).load(Ordering::Relaxed) {
            NEVER => NEVER,
            ns => clock::now().saturating_add(ns),
        }
    }

    /// Parks until the direction is worth another try.
    pub(super) fn wait(
        &self,
        direction: Direction,
        seen: Readiness,
        deadline: Nanos,
        ctx: Option<&Context>,
    ) -> io::Result<()> {
        let until = Until { deadline, cancel: ctx.and_then(Context::cancel) };
        let wait = Wait::new(park::current());
        let node = WaitNode::new((&raw const wait).expose_provenance());
        let committed = AtomicBool::new(false);
        let (wait_ref, node_ref, done) = (&wait, &node, &committed);
        let source = &*self.source;
        let reason = match direction {
            Direction::Read => WaitReason::IoRead,
            Direction::Write => WaitReason::IoWrite,
        };
        // SAFETY: a sink claims under the gate's lock, and `remove` takes it below unless a sink
        // has claimed; the commit queues the node, and its last touch is waited for (FD1).
        let outcome = unsafe {
            wait::park_queued(wait_ref, until, reason, move || {
                if source.enqueue(direction, seen, node_ref) != Enqueued::Queued
                    && wait_ref.try_claim(poll::READY)
                {
                    ready::ready(wait_ref.g());
                }
                done.store(true, Ordering::Release); // E1
            })
        };
        let backoff = Backoff::new();
        while !committed.load(Ordering::Acquire) {
            // E1
            backoff.snooze(); // a handful of instructions are left, unless their thread is off its CPU
        }
        let error = match outcome {
            TIMED_OUT => io::Error::new(io::ErrorKind::TimedOut, "i/o timeout"),
            CANCELLED => ctx.and_then(Context::err).expect("what ends waits has ended").into(),
            _ => return Ok(()),
        };
        let _section = Section::enter(); // FD3
        // SAFETY: the node was used with this gate only.
        unsafe { self.source.remove(direction, &node) };
        Err(error)
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// As `close`, and lets go of what the descriptor stands for, though handles are left: a socket
    /// that leads nowhere takes its place (FD4). Calls that are on their way to the kernel fail there.
    pub(super) fn let_go(&self) {
        self.close(); // FD2
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        // SAFETY: no preconditions.
        let nowhere = unsafe { libc::socket(libc::AF_INET, kind, 0) };
        if nowhere >= 0 {
            // SAFETY: our descriptor, which stays open (FD4), and the one just made.
            unsafe {
                libc::dup3(nowhere, self.io.as_raw_fd(), libc::O_CLOEXEC);
                libc::close(nowhere);
            }
        } // else the last handle lets go
    }

    /// Ends the descriptor for everybody: those who wait on it get an error. It is closed when the
    /// last handle is dropped.
    pub(super) fn close(&self) {
        let _section = Section::enter(); // FD3
        let mut list = GList::new();
        poll::close(&self.source, &mut list);
        ready::ready_list(&mut list);
    }
}

impl<S: AsRawFd> Drop for Pollable<S> {
    fn drop(&mut self) {
        let _section = Section::enter(); // FD3
        self.close(); // FD2
        // SAFETY: dropped here only.
        unsafe { ManuallyDrop::drop(&mut self.source) };
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "use of closed network connection")
}
