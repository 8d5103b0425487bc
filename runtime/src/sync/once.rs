//! Job: `Once`: std's, over goroutines that park.
//! Layer: L3 (blocking)
//! Not here: values that are made once (`once_lock`, `lazy_lock`).
//! Invariants
//!   ON1  `state` is written under the lock, and from RUNNING only by who runs the closure.
//!   ON2  Waiters are queued while it is RUNNING (or, waiting for others to run one, before), with
//!        the number of the attempt they wait for. The end of an attempt wakes them, and none that
//!        queued for a later one.
//! Orderings
//!   E1  end of a run: state.store(COMPLETE, Release) -> state.load(Acquire)   what it did is seen

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::sched::claim::Wait;
use crate::sched::g::GRef;
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::sys::lock::{SpinGuard, SpinLock};
use crate::wait::{self, Node, OUTCOME_SERVED, SERVED, Until, WaitQueue};

const INCOMPLETE: u8 = 0;
const RUNNING: u8 = 1;
const POISONED: u8 = 2;
const COMPLETE: u8 = 3;

/// Runs a closure once, with [`std::sync::Once`]'s API and poisoning.
///
/// ```
/// use gusty::sync::Once;
///
/// static START: Once = Once::new();
/// let mut runs = 0;
/// for _ in 0..3 {
///     START.call_once(|| runs += 1);
/// }
/// assert_eq!(runs, 1);
/// ```
pub struct Once {
    state: AtomicU8,
    waiters: SpinLock<Waiters>,
}

struct Waiters {
    queue: WaitQueue,
    /// How many runs have ended.
    attempt: usize,
}

/// What a closure of [`Once::call_once_force`] learns; as [`std::sync::OnceState`].
pub struct OnceState {
    poisoned: bool,
}

// A panic in the closure is reported by poisoning.
impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

impl Once {
    /// Nothing has run yet.
    ///
    /// See [`Once`] for an example.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "std's has no Default either")]
    pub const fn new() -> Once {
        let waiters = Waiters { queue: WaitQueue::new(), attempt: 0 };
        Once { state: AtomicU8::new(INCOMPLETE), waiters: SpinLock::new(waiters) }
    }

    /// Runs `f` if nothing has run yet. When this returns, some closure has run to its end, and
    /// what it did is visible; who comes while it runs waits. Parks a goroutine, blocks a plain
    /// thread. A closure that calls its own `Once` never returns.
    ///
    /// # Panics
    /// An earlier closure panicked: the `Once` is poisoned. If `f` panics, that poisons it.
    ///
    /// See [`Once`] for an example.
    #[inline]
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(false, &mut |_| f.take().expect("called once")());
        }
    }

    /// As [`call_once`](Once::call_once), but also after a panic; `f` is told of that. If `f`
    /// returns, the `Once` is not poisoned any more.
    ///
    /// ```
    /// use gusty::sync::Once;
    ///
    /// static START: Once = Once::new();
    /// let _ = gusty::spawn(|| START.call_once(|| panic!("no luck"))).join();
    /// START.call_once_force(|state| assert!(state.is_poisoned()));
    /// START.call_once(|| unreachable!());
    /// ```
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(true, &mut |state| f.take().expect("called once")(state));
        }
    }

    /// Whether a closure has run to its end. What it did is visible then.
    ///
    /// ```
    /// let once = gusty::sync::Once::new();
    /// assert!(!once.is_completed());
    /// once.call_once(|| ());
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.state.load(Ordering::Acquire) == COMPLETE // E1
    }

    /// Waits until a closure has run to its end; runs none itself. Parks a goroutine, blocks a
    /// plain thread.
    ///
    /// # Panics
    /// A closure panicked, before or meanwhile.
    ///
    /// ```
    /// static READY: gusty::sync::Once = gusty::sync::Once::new();
    /// gusty::go!(|| READY.call_once(|| ()));
    /// READY.wait();
    /// ```
    pub fn wait(&self) {
        self.wait_until(false, Until::FOREVER);
    }

    /// As [`wait`](Once::wait), but goes on waiting after a panic, for a
    /// [`call_once_force`](Once::call_once_force) that succeeds.
    ///
    /// ```
    /// static READY: gusty::sync::Once = gusty::sync::Once::new();
    /// gusty::go!(|| READY.call_once_force(|_| ()));
    /// READY.wait_force();
    /// ```
    pub fn wait_force(&self) {
        self.wait_until(true, Until::FOREVER);
    }

    /// As [`wait`](Once::wait), for at most `timeout`; false if that passed first.
    ///
    /// # Panics
    /// As [`wait`](Once::wait).
    ///
    /// ```
    /// use std::time::Duration;
    /// let once = gusty::sync::Once::new();
    /// assert!(!once.wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_completed() || !timeout.is_zero() && self.wait_until(false, Until::timeout(timeout))
    }

    #[cold]
    #[track_caller]
    fn call(&self, force: bool, f: &mut dyn FnMut(&OnceState)) {
        let me = park::current();
        let poisoned = loop {
            let waiters = self.waiters.lock();
            match self.state() {
                COMPLETE => return,
                RUNNING => {
                    self.park(waiters, me, Until::FOREVER);
                    continue;
                }
                POISONED if !force => {
                    drop(waiters);
                    panic_poisoned();
                }
                before => {
                    self.state.store(RUNNING, Ordering::Relaxed); // ON1
                    break before == POISONED;
                }
            }
        };
        let mut run = Run { once: self, end: POISONED };
        f(&OnceState { poisoned });
        run.end = COMPLETE;
    }

    /// False if `until` came first; `force`: whatever panics.
    #[track_caller]
    pub(super) fn wait_until(&self, force: bool, until: Until<'_>) -> bool {
        let me = park::current();
        loop {
            let waiters = self.waiters.lock();
            match self.state() {
                COMPLETE => return true,
                POISONED if !force => {
                    drop(waiters);
                    panic_poisoned();
                }
                _ if !self.park(waiters, me, until) => return false,
                _ => {}
            }
        }
    }

    /// Under the lock, which orders it (ON1).
    fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// Waits for the end of the current attempt, or of the next one; false if `deadline` came
    /// first.
    fn park(&self, mut waiters: SpinGuard<'_, Waiters>, me: GRef, until: Until<'_>) -> bool {
        let wait = Wait::new(me);
        let attempt = ptr::without_provenance_mut(waiters.attempt);
        let node = Node::single(&wait, attempt, until);
        // SAFETY: popped by `end`, which readies us, or removed below; on this frame until then.
        let outcome = unsafe {
            waiters.queue.push_back(&node);
            wait::park_in(&self.waiters, waiters, &wait, until, WaitReason::Once)
        };
        let ended = outcome == OUTCOME_SERVED;
        if !ended {
            self.waiters.lock().queue.remove(&node);
        }
        ended
    }

    fn end(&self, state: u8) {
        {
            let mut waiters = self.waiters.lock();
            waiters.attempt = waiters.attempt.wrapping_add(1);
            self.state.store(state, Ordering::Release); // E1
        }
        wait::wake_all(&self.waiters, |waiters| {
            let attempt = waiters.attempt;
            waiters.queue.pop_claimed_if(SERVED, |data| data.addr() != attempt) // ON2
        });
    }
}

#[cold]
#[track_caller]
fn panic_poisoned() -> ! {
    panic!("Once instance has previously been poisoned");
}

/// A run of a closure; ends with it, also by a panic.
struct Run<'a> {
    once: &'a Once,
    end: u8,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.once.end(self.end);
    }
}

impl OnceState {
    /// Whether an earlier closure panicked.
    ///
    /// See [`Once::call_once_force`] for an example.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState").field("poisoned", &self.is_poisoned()).finish()
    }
}
