//! Job: one direction of one descriptor as a state machine: is it ready, who waits for it.
//! Not here: the kernel (`poller`), which descriptor this is (`slots`), who the waiters are.
//! Invariants
//!   GA1  Everything that decides about waiting is in one word, so its modification order decides:
//!        an enqueue that comes first is seen by the event (WAITERS), an event that comes first is
//!        seen by the enqueue (READY or another tick). No fence, no second look.
//!   GA2  WAITERS is set and cleared under the queue lock, and set before the lock of a non-empty
//!        queue is released. Who sees WAITERS and then takes the lock finds every waiter that was
//!        queued before.
//!   GA3  The tick moves with every event and every `wake_all`. What somebody concluded from an
//!        older tick (drained, nothing to do) changes nothing any more.
//!   GA4  The generation moves when the gate changes hands. An event of an older one fails in the
//!        very operation that would have marked the gate ready.
//!   GA5  A waiter is claimed under the queue lock, and its node is not touched afterwards. So a
//!        waiter that was claimed by somebody else (a timeout) takes the lock once, in `remove`,
//!        and may then free its node.
//! Orderings
//!   E1  event/wake_all/close: RMW(Release) on the word -> load/enqueue(Acquire)
//!       what the caller published before (a deadline, a close) is seen by who finds the new word
//!   E2  enqueue: RMW(Release) on the word -> event/wake_all/close: RMW(Acquire)
//!       the other half of GA1; the node itself travels through the queue lock
//!   E3  open: RMW(Release); epoll_ctl -> epoll_wait; event: RMW (through the kernel)
//!       an event of a generation finds the word of that generation or of a later one
//! Checked by: the loom models in `gate/models.rs`.
//!
//! ```text
//!     63        32 31      4   3      2       1      0
//!    | generation |  tick  | HANGUP WAITERS CLOSED READY |
//! ```
//!
//! How a waiter uses it (EAGAIN says "nothing now", so it may wait for the next edge):
//!
//! ```text
//!     seen = load()
//!     system call -> done, or EAGAIN:
//!     clear(seen)                     keeps READY if an event came since `seen`
//!     enqueue(seen, node) -> Queued   park
//!                         -> Retry    an event or a wake_all came since `seen`: start again
//!                         -> Closed   fail
//! ```
//!
//! HANGUP says that the last event told of an end (RDHUP, HUP, ERR). A stream read that returns
//! less than asked for proves that the buffer is empty, but not that there will be another edge:
//! data and FIN may have arrived with the same one. So a short transfer clears READY only without
//! HANGUP, whereas EAGAIN, which the kernel never answers at an end, clears both.

#[cfg(all(test, loom))]
mod models;

use crate::sync::{AtomicU64, Ordering, SpinLock};
use crate::waiters::{WaitNode, WaitQueue};

const READY: u64 = 1;
const CLOSED: u64 = 1 << 1;
const WAITERS: u64 = 1 << 2;
const HANGUP: u64 = 1 << 3;
const TICK: u64 = 1 << 4;
const TICK_MASK: u64 = (1 << GENERATION_SHIFT) - TICK;
const GENERATION_SHIFT: u32 = 32;

/// Takes waiters over from the poller.
pub trait Sink {
    /// Tries to claim a waiter that was just taken off its queue; true if this call won it, and
    /// then whoever owns the sink has to wake it.
    ///
    /// Called under a spin lock: must not block, lock, allocate or call this crate.
    ///
    /// # Safety
    /// Only the poller calls this, with a value that was given to a [`WaitNode`] whose waiter has
    /// not been able to leave its wait before this call: what the value refers to is alive.
    unsafe fn claim(&mut self, waiter: usize) -> bool;
}

/// A snapshot of one direction: whether it was ready, and as of which event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Readiness(u64);

impl Readiness {
    /// A system call is worth trying. Starts true; after that, false means that the last call
    /// found nothing and no event has come since.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.0 & READY != 0
    }

    /// The descriptor is being closed.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// The other side will send or take no more, or there is an error to collect.
    #[must_use]
    pub fn is_hangup(self) -> bool {
        self.0 & HANGUP != 0
    }

    fn tick(self) -> u64 {
        self.0 & TICK_MASK
    }

    fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    fn with_next_tick(self) -> Readiness {
        let tick = self.0.wrapping_add(TICK) & TICK_MASK;
        Readiness(self.0 & !TICK_MASK | tick)
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness")
            .field("ready", &self.is_ready())
            .field("closed", &self.is_closed())
            .field("hangup", &self.is_hangup())
            .field("tick", &(self.tick() / TICK))
            .finish()
    }
}

/// What became of an attempt to wait.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The waiter is queued: an event, a `wake_all` or a close will claim it.
    Queued,
    /// Do not wait: something happened since the snapshot. Look again.
    Retry,
    /// Do not wait: the descriptor is being closed.
    Closed,
}

/// How many waiters a call took off a queue, and how many of them the sink could claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) taken: usize,
    pub(crate) claimed: usize,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, other: Taken) {
        self.taken += other.taken;
        self.claimed += other.claimed;
    }
}

/// One direction of one descriptor.
pub(crate) struct Gate {
    word: AtomicU64,
    queue: SpinLock<WaitQueue>,
}

impl Gate {
    /// A gate that nobody owns, of generation 0.
    pub(crate) fn new() -> Gate {
        Gate { word: AtomicU64::new(CLOSED), queue: SpinLock::new(WaitQueue::new()) }
    }

    /// Gives the gate to a new owner, who has it alone. It starts ready, because trying is cheaper
    /// than waiting for the first event. Returns its generation.
    pub(crate) fn open(&self) -> u32 {
        let generation = self.load().generation();
        self.hand_over(generation, READY);
        generation
    }

    /// Takes the gate from its last owner: from here on, events for it are stale (GA4).
    pub(crate) fn retire(&self) {
        let generation = self.load().generation().wrapping_add(1);
        self.hand_over(generation, CLOSED);
    }

    fn hand_over(&self, generation: u32, flags: u64) {
        let next = u64::from(generation) << GENERATION_SHIFT | flags;
        let before = self.word.swap(next, Ordering::AcqRel); // E3: before `epoll_ctl` names it
        debug_assert_eq!(before & WAITERS, 0, "somebody waits for a descriptor without owner");
    }

    #[inline]
    pub(crate) fn load(&self) -> Readiness {
        Readiness(self.word.load(Ordering::Acquire)) // E1
    }

    /// The kernel answered EAGAIN to a call that was made after `seen` was loaded.
    pub(crate) fn clear(&self, seen: Readiness) {
        self.clear_unless(0, seen, READY | HANGUP);
    }

    /// A stream took or gave less than it was asked to, in a call made after `seen` was loaded.
    pub(crate) fn clear_after_short(&self, seen: Readiness) {
        self.clear_unless(HANGUP, seen, READY);
    }

    fn clear_unless(&self, keep: u64, seen: Readiness, bits: u64) {
        // Relaxed: nothing is published, and a failed exchange only means that there is news.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let current = Readiness(word).tick() == seen.tick(); // GA3
            (current && word & keep == 0 && word & bits != 0).then_some(word & !bits)
        });
    }

    /// The kernel reported this direction to be ready, for the owner of `generation`.
    pub(crate) fn event(&self, generation: u32, hangup: bool, sink: &mut impl Sink) -> Taken {
        let flags = if hangup { READY | HANGUP } else { READY };
        self.advance(sink, |word| {
            (word.generation() == generation) // GA4
                .then_some(Readiness(word.with_next_tick().0 | flags))
        })
    }

    /// Wakes all waiters without saying that the direction is ready: what they decided to wait by
    /// (a deadline) has changed. Who is about to wait by the old state is stopped too (GA3).
    pub(crate) fn wake_all(&self, sink: &mut impl Sink) -> Taken {
        self.advance(sink, |word| Some(word.with_next_tick()))
    }

    /// Marks the gate as closed; false if it was already. The waiters are the caller's to wake.
    pub(crate) fn close(&self) -> bool {
        self.word.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0 // E1, E2
    }

    fn advance(
        &self,
        sink: &mut impl Sink,
        step: impl Fn(Readiness) -> Option<Readiness>,
    ) -> Taken {
        // E3: an RMW reads the latest word, which is of the event's generation or of a later one.
        let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1, E2
        match self.word.fetch_update(ok, err, |word| step(Readiness(word)).map(|next| next.0)) {
            Ok(before) if before & WAITERS != 0 => self.take(Readiness(before).generation(), sink),
            _ => Taken::default(),
        }
    }

    fn take(&self, generation: u32, sink: &mut impl Sink) -> Taken {
        self.queue.with(|queue| {
            let mut count = Taken::default();
            // The gate may have changed hands since WAITERS was seen: its new waiters are not ours.
            if self.load().generation() != generation {
                return count;
            }
            // First, so that a claimed waiter finds the gate at rest. GA2: under the lock.
            self.word.fetch_and(!WAITERS, Ordering::Relaxed);
            // SAFETY: the lock is held.
            while let Some(waiter) = unsafe { queue.pop() } {
                count.taken += 1;
                // SAFETY: it was queued until now and the lock is held (GA5).
                count.claimed += usize::from(unsafe { sink.claim(waiter) });
            }
            count
        })
    }

    /// Queues `node` unless something has happened since `seen`.
    ///
    /// # Safety
    /// `node` is on no queue. If the answer is `Queued`, it stays alive and in place until a sink
    /// has claimed its waiter or `remove` has returned. From that moment it may be claimed.
    pub(crate) unsafe fn enqueue(&self, seen: Readiness, node: &WaitNode) -> Enqueued {
        self.queue.with(|queue| {
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire); // E1, E2
            let set = self.word.fetch_update(ok, err, |word| {
                let wait = word & (READY | CLOSED) == 0 && Readiness(word).tick() == seen.tick();
                wait.then_some(word | WAITERS)
            });
            match set {
                Ok(_) => {
                    // SAFETY: the lock is held; the caller's contract.
                    unsafe { queue.push(node) };
                    Enqueued::Queued
                }
                Err(word) if word & CLOSED != 0 => Enqueued::Closed,
                Err(_) => Enqueued::Retry,
            }
        })
    }

    /// Takes `node` off the queue if it is still there, and says so. Afterwards nobody touches it.
    ///
    /// # Safety
    /// `node` is on this gate's queue or on none.
    pub(crate) unsafe fn remove(&self, node: &WaitNode) -> bool {
        self.queue.with(|queue| {
            // SAFETY: the lock is held; the caller's contract.
            let was_queued = unsafe { queue.unlink(node) };
            if was_queued && queue.is_empty() {
                self.word.fetch_and(!WAITERS, Ordering::Relaxed); // GA2: under the lock
            }
            was_queued
        })
    }
}
