//! Job: one thread's sleep and its wake-up, without loss: a wake before the sleep is remembered.
//! Layer: L0 (machine)
//! Not here: who sleeps and why.
//! Invariants
//!   NT1  Only one thread sleeps on a note; any thread may wake it.
//! Orderings
//!   E1  wake: swap(SET, Release) -> sleep: load/swap(Acquire)   what the waker wrote is seen
//! Source: Go's `note` (lock_futex), with a remembered wake as in std's futex parker.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{clock::Nanos, futex};

const EMPTY: u32 = 0;
const SET: u32 = 1;
const SLEEPING: u32 = 2;

/// See the module. `const`-constructible, one word.
#[repr(transparent)]
#[derive(Default)]
pub(crate) struct Note(AtomicU32);

impl Note {
    pub(crate) const fn new() -> Note {
        Note(AtomicU32::new(EMPTY))
    }

    /// Whether somebody sleeps, or is about to, and has not been woken.
    pub(crate) fn is_slept_on(&self) -> bool {
        self.0.load(Ordering::Acquire) == SLEEPING // an observation
    }

    /// Forgets a remembered wake. Only for the thread that will sleep (NT1).
    pub(crate) fn clear(&self) {
        self.0.store(EMPTY, Ordering::Relaxed);
    }

    /// Wakes the sleeper, or lets its next `sleep` return at once. A system call only if it sleeps.
    pub(crate) fn wake(&self) {
        let word = &raw const self.0;
        if self.0.swap(SET, Ordering::Release) == SLEEPING {
            // E1
            futex::wake(word, 1);
        }
    }

    /// Blocks this OS thread until `wake`, consuming it.
    pub(crate) fn sleep(&self) {
        self.sleep_until(None);
    }

    /// Blocks this OS thread until `wake` (true, consumed) or the deadline (false).
    pub(crate) fn sleep_until(&self, deadline: Option<Nanos>) -> bool {
        loop {
            let (ok, err) = (Ordering::Acquire, Ordering::Acquire); // E1
            match self.0.compare_exchange(EMPTY, SLEEPING, ok, err) {
                Ok(_) | Err(SLEEPING) => {}
                Err(_) => {
                    self.0.store(EMPTY, Ordering::Relaxed); // only the sleeper resets (NT1)
                    return true;
                }
            }
            if !futex::wait(&self.0, SLEEPING, deadline) {
                // Timed out; a wake may have come in the meantime and must not be lost.
                return self.0.swap(EMPTY, Ordering::Acquire) == SET; // E1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Note;
    use crate::sys::clock;
    use std::sync::Arc;

    #[test]
    fn a_wake_before_the_sleep_is_remembered_once() {
        let note = Note::new();
        note.wake();
        note.sleep();
        assert!(!note.sleep_until(Some(clock::now() + 1_000_000)));
    }

    #[test]
    fn ping_pong_loses_nothing() {
        let pair = Arc::new((Note::new(), Note::new()));
        let other = pair.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..20_000 {
                other.0.sleep();
                other.1.wake();
            }
        });
        for _ in 0..20_000 {
            pair.0.wake();
            pair.1.sleep();
        }
        thread.join().unwrap();
    }
}
