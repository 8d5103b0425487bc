//! Job: a fence between a side that is passed millions of times a second and one that is passed
//!   rarely: the frequent side pays nothing, the rare one makes all other threads execute theirs.
//! Layer: L0 (machine)
//! Not here: any protocol; the files that use it state theirs.
//! Invariants
//!   MB1  `light()` in one thread against `heavy()` in another order like two `fence(SeqCst)`: of
//!        (store a; light; load b) and (store b; heavy; load a) at least one sees the other's store.
//!   MB2  `register` has returned before any thread uses either; it decides for the whole process.
//!
//! By `membarrier(PRIVATE_EXPEDITED)` (Linux 4.14): the kernel interrupts the processors that run
//! threads of this process, 2 us; a thread that is not running has passed a fence in the kernel.
//! Where it is refused, the light side is a full fence (some 5 ns) and the heavy one, too.
//! Source: Linux's Documentation of membarrier(2); folly's AsymmetricThreadFence

use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

use libc::c_int;

const PRIVATE_EXPEDITED: c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

/// Does the kernel execute the light side's fence?
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

/// Asks the kernel for it. False if it refuses: the fences then cost what fences cost. Call it
/// before the first thread that uses them (MB2).
pub(crate) fn register() -> bool {
    let registered = membarrier(REGISTER_PRIVATE_EXPEDITED);
    ASYMMETRIC.store(registered, Ordering::Relaxed); // MB2 orders it
    registered
}

/// The frequent side of MB1.
#[inline(always)]
pub(crate) fn light() {
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// As [`light`] for who knows that the kernel executes the fence.
#[inline(always)]
pub(crate) fn light_where_asymmetric() {
    compiler_fence(Ordering::SeqCst);
}

/// Whether it does. Once true, always.
pub(crate) fn is_asymmetric() -> bool {
    ASYMMETRIC.load(Ordering::Relaxed)
}

/// The rare side of MB1. False if the kernel fails (in a child after `fork`, say): there was no
/// fence on the other side, so what was to follow must not be done. One system call, which may
/// take long where the processor is shared with other machines: hold no lock over it.
#[must_use = "without the fence the other side has not been seen"]
pub(crate) fn heavy() -> bool {
    if !ASYMMETRIC.load(Ordering::Relaxed) {
        fence(Ordering::SeqCst);
        return true;
    }
    membarrier(PRIVATE_EXPEDITED)
        || membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED)
}

fn membarrier(command: c_int) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU32;

    fn wait_for(word: &AtomicU32, round: u32) {
        for spins in 1.. {
            if word.load(Ordering::Acquire) >= round {
                return;
            }
            // Mostly stay on the processor, so that the two race in the next round.
            if spins % 256 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    /// Dekker's test, many times. (Without the fences some rounds in a million miss both stores.)
    fn never_misses_both() {
        const ROUNDS: u32 = 5_000;
        let (a, b) = (AtomicU32::new(0), AtomicU32::new(0));
        let turn = AtomicU32::new(0);
        let light_saw: Vec<AtomicU32> = (0..=ROUNDS).map(|_| AtomicU32::new(0)).collect();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for round in 1..=ROUNDS {
                    a.store(round, Ordering::Relaxed);
                    light();
                    light_saw[round as usize].store(b.load(Ordering::Relaxed), Ordering::Relaxed);
                    turn.store(round, Ordering::Release);
                    wait_for(&b, round);
                }
            });
            start.wait();
            for round in 1..=ROUNDS {
                b.store(round, Ordering::Relaxed);
                assert!(heavy());
                let saw = a.load(Ordering::Relaxed);
                wait_for(&turn, round);
                let other = light_saw[round as usize].load(Ordering::Relaxed);
                assert!(saw >= round || other >= round, "round {round}: {saw} {other}");
            }
        });
    }

    #[test]
    fn one_side_sees_the_other_with_and_without_the_kernel() {
        never_misses_both();
        if register() {
            never_misses_both();
        }
    }
}
