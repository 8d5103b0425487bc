//! Job: the sleep that only an event ends, announced so that wakers pay next to nothing.
//! Not here: how a thread blocks (`watchdog` parks it), and when to sleep (`policy`). It is what
//! makes an idle process silent (SM3).
//! Invariants
//!   DS1  Only the watchdog stores `ASLEEP`.
//!   DS2  Of all wakers of one sleep exactly one is told to unpark, or the watchdog saw for itself.
//! Orderings
//!   F1  watchdog: word = ASLEEP; fence; look for work   against   waker: publish work; fence; read
//!       word. The two fences (SeqCst) are totally ordered. If the watchdog's is first, the waker
//!       reads ASLEEP and wakes it; if the waker's is first, the watchdog finds the work. Neither
//!       is missed by both.
//!       The watchdog's own writes are swaps because the model checker orders only those reliably
//!       between a waker's; in the language's total order of the word, stores would do.
//!   E1  waker: swap(AWAKE, Release) -> watchdog: load(Acquire)   it sees what the waker wrote
//! Checked by: `loom_tests`; the stress test in `watchdog`

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct DeepSleep(AtomicU32);

impl DeepSleep {
    pub(crate) fn new() -> DeepSleep {
        DeepSleep(AtomicU32::new(AWAKE))
    }

    /// Sleeps until woken, unless `work_exists`. For the watchdog only (DS1).
    ///
    /// `park` blocks the thread until it is unparked, or returns early for no reason; it returns
    /// false to give up, because time is over. What an unpark after that leaves behind makes a later
    /// `park` return at once, which is harmless.
    pub(crate) fn sleep(&self, work_exists: impl FnOnce() -> bool, mut park: impl FnMut() -> bool) {
        self.0.swap(ASLEEP, Ordering::Relaxed); // ordered by the fence
        fence(Ordering::SeqCst); // F1
        if !work_exists() {
            while self.0.load(Ordering::Acquire) == ASLEEP && park() {} // E1
        }
        self.0.swap(AWAKE, Ordering::Relaxed); // nobody waits for it: a hint for wakers
    }

    /// Whether the caller must unpark the watchdog. It has published its work and executed a
    /// store-load fence since (F1). One load, unless the watchdog is asleep.
    #[must_use = "the watchdog goes on sleeping"]
    #[inline]
    pub(crate) fn claim_wake(&self) -> bool {
        // Relaxed: behind the caller's fence; what follows from ASLEEP is decided by the swap.
        self.0.load(Ordering::Relaxed) == ASLEEP && self.0.swap(AWAKE, Ordering::Release) == ASLEEP // E1, DS2
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ASLEEP
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::DeepSleep;
    use std::{
        sync::atomic::{AtomicU64, Ordering, fence},
        thread,
    };

    #[test]
    fn a_hundred_thousand_wakes_are_not_lost() {
        const ROUNDS: u64 = 100_000;
        let (deep, published, seen) = (DeepSleep::new(), AtomicU64::new(0), AtomicU64::new(0));
        let mut parked = 0_u64;
        thread::scope(|scope| {
            let watchdog = thread::current();
            let (deep, published, seen) = (&deep, &published, &seen);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    published.store(round, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                    if deep.claim_wake() {
                        watchdog.unpark();
                    }
                    let mut spins = 0_u32;
                    while seen.load(Ordering::Relaxed) < round {
                        spins += 1;
                        // Mostly stay on the CPU, so that the next round races with the sleep.
                        if spins.is_multiple_of(64) {
                            thread::yield_now()
                        } else {
                            std::hint::spin_loop()
                        }
                    }
                }
            });
            let mut last = 0;
            while last < ROUNDS {
                let park = || {
                    parked += 1;
                    thread::park();
                    true
                };
                deep.sleep(|| published.load(Ordering::Relaxed) > last, park);
                last = published.load(Ordering::Relaxed);
                seen.store(last, Ordering::Relaxed);
            }
        });
        assert!(parked > 0, "the test never slept, so it proved nothing");
    }

    #[test]
    fn work_found_in_the_last_look_forbids_the_sleep() {
        let deep = DeepSleep::new();
        deep.sleep(|| true, || panic!("must not park"));
        assert!(!deep.is_announced());
        assert!(!deep.claim_wake(), "nobody sleeps");
    }

    #[test]
    fn exactly_one_waker_is_told_to_unpark() {
        let deep = DeepSleep::new();
        let mut told = 0;
        let park = || {
            told += usize::from(deep.claim_wake()) + usize::from(deep.claim_wake());
            true
        };
        deep.sleep(|| false, park);
        assert_eq!(told, 1);
    }

    #[test]
    fn giving_up_ends_the_sleep() {
        let deep = DeepSleep::new();
        let mut parks = 0;
        let park = || {
            parks += 1;
            parks < 3 // twice for no reason, then time is over
        };
        deep.sleep(|| false, park);
        assert_eq!(parks, 3);
        assert!(!deep.is_announced());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::DeepSleep;
    use loom::{
        model::Builder,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering, fence},
        },
        thread,
    };

    /// `wakers` threads publish one unit of work each; the watchdog sleeps until it has seen all.
    /// A lost wake-up is a deadlock, which loom reports.
    fn nothing_is_lost(wakers: usize, preemption_bound: Option<usize>) {
        let mut model = Builder::new();
        model.preemption_bound = preemption_bound;
        model.check(move || {
            let shared = Arc::new((DeepSleep::new(), AtomicUsize::new(0)));
            let watchdog = thread::current();
            for _ in 0..wakers {
                let (shared, watchdog) = (shared.clone(), watchdog.clone());
                thread::spawn(move || {
                    let (deep, published) = &*shared;
                    published.fetch_add(1, Ordering::Relaxed);
                    fence(Ordering::SeqCst);
                    if deep.claim_wake() {
                        watchdog.unpark();
                    }
                });
            }
            let (deep, published) = &*shared;
            let mut seen = 0;
            while seen < wakers {
                let work_exists = || published.load(Ordering::Relaxed) > seen;
                let park = || {
                    thread::park();
                    true
                };
                deep.sleep(work_exists, park);
                seen = published.load(Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn one_waker() {
        nothing_is_lost(1, None);
    }

    #[test]
    fn two_wakers() {
        nothing_is_lost(2, Some(3));
    }
}
