//! Job: one epoll instance: who may poll, how long, and from kernel events to gates.
//! Not here: readiness and queues (`gate`), the handle of a descriptor and making one (`source`).
//! Invariants
//!   PO1  One thread polls at a time: the one that holds `engine`. Nobody waits for that lock.
//!   PO2  A block ends only for a claimed waiter, a ring, the deadline or an error.
//!   PO3  While a thread blocks until a deadline, the timer is armed with it; while it blocks
//!        forever, it is not armed. Every delivered expiry disarms it, whoever polled (TI1).
//!   PO4  `waiters` counts a waiter before it can be claimed, so the count never goes below zero.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::bell::Bell;
use crate::gate::{Sink, Taken};
use crate::slots::{Key, Slot, Slots};
use crate::sync::SpinLock;
use crate::timer::{self, Timer};

/// Events taken from the kernel at once.
const BATCH: usize = 1024;

/// Tokens that no [`Key`] has (see `slots::BUCKETS`).
const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// How long a poll may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Not at all.
    Now,
    /// Until this moment, in nanoseconds of CLOCK_MONOTONIC. One in the past is `Now`.
    At(u64),
    /// Until something happens.
    Never,
}

/// What a poll did.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// Nothing: another thread is polling.
    Busy,
    /// The kernel was asked. A blocking poll comes back with at least one of these.
    Done {
        /// How many waiters the sink has claimed.
        claimed: usize,
        /// A [`Poller::notify`] ended or prevented the block. Always false for `Deadline::Now`.
        notified: bool,
        /// The deadline has passed. Always false for `Deadline::Now` and `Deadline::Never`.
        expired: bool,
    },
}

/// Watches descriptors and hands over who waited for them.
///
/// Descriptors are registered once, edge-triggered, for both directions. Shared by reference:
/// any thread may register, wait, notify and poll; one at a time polls.
pub struct Poller {
    engine: SpinLock<Engine>,
    registry: Registry,
    waker: Waker,
    bell: Bell,
    slots: Slots,
    waiters: CachePadded<AtomicUsize>,
}

/// What only the polling thread uses.
struct Engine {
    poll: Poll,
    events: Events,
    timer: Timer,
}

/// What one batch of events came to.
#[derive(Default)]
struct Batch {
    claimed: usize,
    timer_fired: bool,
}

impl Poller {
    /// Opens a poller: four descriptors (epoll and a duplicate, eventfd, timerfd).
    ///
    /// # Errors
    /// Those of the system calls; typically that the process is out of descriptors.
    pub fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        let timer = Timer::new()?;
        registry.register(&mut SourceFd(&timer.fd()), TIMER, Interest::READABLE)?;
        let engine = Engine { poll, events: Events::with_capacity(BATCH), timer };
        Ok(Poller {
            engine: SpinLock::new(engine),
            registry,
            waker,
            bell: Bell::new(),
            slots: Slots::new(),
            waiters: CachePadded::new(AtomicUsize::new(0)),
        })
    }

    /// Asks the kernel for events and offers `sink` everybody who waited for one of them.
    ///
    /// Blocks until `deadline` at most, unless somebody is claimed or notifies before; interruption
    /// by signals is not seen. The end of a block is as exact as the kernel's high-resolution timers.
    /// Returns [`PollOutcome::Busy`] at once if another thread is polling, whatever the deadline.
    ///
    /// # Errors
    /// Those of `epoll_wait` and `timerfd_settime`, none of which is expected.
    pub fn poll(&self, deadline: Deadline, sink: &mut impl Sink) -> io::Result<PollOutcome> {
        self.engine
            // PO1: who does not get the lock does not wait for it.
            .try_with(|engine| match deadline {
                Deadline::Now => self.look(engine, sink),
                Deadline::At(at) if at <= timer::now() => self.look(engine, sink).map(expire),
                Deadline::At(at) => self.block(engine, Some(at), sink),
                Deadline::Never => self.block(engine, None, sink),
            })
            .unwrap_or(Ok(PollOutcome::Busy))
    }

    /// Makes the poll that is blocking return; if none is, the next one that would block does not.
    /// What the caller wrote before is seen by the thread that comes back.
    ///
    /// Returns whether a thread had to be woken, by a system call. Further calls until that thread
    /// is back cost none, nor do calls while nobody blocks. Never blocks.
    ///
    /// # Errors
    /// Those of a write to an eventfd, none of which is expected.
    pub fn notify(&self) -> io::Result<bool> {
        let wake = self.bell.ring();
        if wake {
            self.waker.wake()?;
        }
        Ok(wake)
    }

    /// How many waiters are queued on all descriptors of this poller. A waiter counts from just
    /// before it is queued until just after it was offered to a sink. Exact for what the calling
    /// thread did itself, otherwise a hint.
    #[must_use]
    #[inline]
    pub fn waiters(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    fn look(&self, engine: &mut Engine, sink: &mut impl Sink) -> io::Result<PollOutcome> {
        let Batch { claimed, .. } = self.batch(engine, Some(Duration::ZERO), sink)?;
        Ok(PollOutcome::Done { claimed, notified: false, expired: false })
    }

    fn block(
        &self,
        engine: &mut Engine,
        deadline: Option<u64>,
        sink: &mut impl Sink,
    ) -> io::Result<PollOutcome> {
        // BE1: PO1 makes this the only thread between `begin` and `end`.
        if !self.bell.begin() {
            let Batch { claimed, .. } = self.batch(engine, Some(Duration::ZERO), sink)?;
            return Ok(PollOutcome::Done { claimed, notified: true, expired: false });
        }
        // PO3: also without a deadline, because an earlier block may have left the timer armed.
        let result = engine.timer.arm(deadline).and_then(|()| {
            loop {
                match self.batch(engine, None, sink)? {
                    // Events that concern nobody, or a late wake-up for an earlier block (PO2).
                    Batch { claimed: 0, timer_fired: false } if !self.bell.is_rung() => {}
                    batch => break Ok(batch),
                }
            }
        });
        let notified = self.bell.end();
        let Batch { claimed, timer_fired } = result?;
        Ok(PollOutcome::Done { claimed, notified, expired: timer_fired })
    }

    fn batch(
        &self,
        engine: &mut Engine,
        timeout: Option<Duration>,
        sink: &mut impl Sink,
    ) -> io::Result<Batch> {
        // The deadline is absolute and the timer stays armed, so an interrupted wait just goes on.
        while let Err(error) = engine.poll.poll(&mut engine.events, timeout) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let mut batch = Batch::default();
        for event in &engine.events {
            match event.token() {
                WAKER => {} // the bell knows
                TIMER => {
                    engine.timer.fired(); // PO3: in a poll that does not block, too
                    batch.timer_fired = true;
                }
                token => batch.claimed += self.dispatch(key(token), event, sink),
            }
        }
        Ok(batch)
    }

    /// An event of epoll: IN, RDHUP, HUP and ERR concern the reader; OUT, HUP and ERR the writer.
    fn dispatch(&self, key: Key, event: &Event, sink: &mut impl Sink) -> usize {
        let Some(slot) = self.slots.get(key.index) else { return 0 };
        let read_end = event.is_read_closed() || event.is_error();
        let write_end = event.is_write_closed() || event.is_error();
        let mut sum = Taken::default();
        if event.is_readable() || read_end {
            sum += slot.read.event(key.generation, read_end, sink);
        }
        if event.is_writable() || write_end {
            sum += slot.write.event(key.generation, write_end, sink);
        }
        self.uncount(sum.taken);
        sum.claimed
    }

    pub(crate) fn count(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed); // PO4
    }

    pub(crate) fn uncount(&self, waiters: usize) {
        if waiters != 0 {
            self.waiters.fetch_sub(waiters, Ordering::Relaxed);
        }
    }

    /// From here on the kernel reports events of `fd`, under `key`.
    pub(crate) fn watch(&self, fd: RawFd, key: Key) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut SourceFd(&fd), token(key), interest)
    }

    pub(crate) fn unwatch(&self, fd: RawFd) -> io::Result<()> {
        self.registry.deregister(&mut SourceFd(&fd))
    }

    /// Makes slots for more descriptors, if it is time. Allocates; takes no lock.
    ///
    /// # Errors
    /// `ENFILE` if there are as many as there can be.
    pub fn make_room(&self) -> io::Result<()> {
        let made = self.slots.make_room();
        made.then_some(()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))
    }

    /// A slot for a descriptor; `release` takes it back.
    pub(crate) fn acquire(&self) -> Option<(Key, &Slot)> {
        self.slots.acquire()
    }

    pub(crate) fn release(&self, key: Key) {
        self.slots.release(key);
    }
}

fn expire(outcome: PollOutcome) -> PollOutcome {
    match outcome {
        PollOutcome::Done { claimed, notified, .. } => {
            PollOutcome::Done { claimed, notified, expired: true }
        }
        PollOutcome::Busy => outcome,
    }
}

const _: () = assert!(usize::BITS == 64, "a token has room for an index and a generation");

fn token(key: Key) -> Token {
    Token((key.index as usize) << 32 | key.generation as usize)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the token")]
fn key(token: Token) -> Key {
    Key { index: (token.0 >> 32) as u32, generation: token.0 as u32 }
}
