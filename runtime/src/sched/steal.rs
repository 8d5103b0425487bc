//! Job: taking work from other Ps.
//! Layer: L2 (sched)
//! Not here: when to steal (`find`).
//! Invariants
//!   SE1  Victims are visited in a fresh random order each pass; a victim's next slot is taken only in
//!        the last pass, and only if its owner has not come to another round within `GRACE_CYCLES`:
//!        otherwise it runs it itself, with warm caches, and goroutines that wake each other stay
//!        on one P.
//!   SE2  While others come to rounds, the last pass is repeated, for up to `WATCH_CYCLES`: a searcher
//!        that went to sleep at once would soon be woken, as every G that is made ready wakes one if
//!        nobody searches, by system calls on both sides that cost more than the watching. Not while
//!        a deadline has passed: who gives up goes on to the poller, and runs it from there.
//! Source: Go's stealWork; the order by a random start and a random stride coprime to the number
//!   of Ps, which visits every P once.

use std::sync::atomic::Ordering;

use super::g::GRef;
use super::global::SCHED;
use super::m::M;
use super::p::P;
use super::timers;
use crate::sys::clock;

const PASSES: u32 = 3;
/// Some 3 us at 2 to 3 GHz: what a goroutine may take from readying another to parking.
const GRACE_CYCLES: u64 = 8 * 1024;
/// Some 50 us.
const WATCH_CYCLES: u64 = 128 * 1024;

/// Steals half of some P's queue into `p`'s, which is empty, and returns one of the Gs.
pub(crate) fn steal(m: &'static M, p: &'static P) -> Option<GRef> {
    let begun = clock::cycles();
    for pass in 1.. {
        let stolen = visit_all(m, p, pass >= PASSES);
        if stolen.is_some() {
            return stolen;
        }
        if pass < PASSES {
            continue;
        }
        let alone = SCHED.searchers.idle() + 1 >= SCHED.procs();
        let over = clock::cycles().wrapping_sub(begun) > WATCH_CYCLES;
        let rounds = all_rounds();
        let due = timers::earliest() <= clock::now(); // who goes on to the poller runs them
        if alone || over || due || !SCHED.nothing_global() {
            break;
        }
        grace();
        if all_rounds() == rounds {
            break; // SE2: whoever runs is busy
        }
    }
    None
}

/// How many rounds the Ps have come to: a hint.
fn all_rounds() -> u32 {
    let round = |i| SCHED.p(i).tick.load(Ordering::Relaxed);
    (0..SCHED.made()).fold(0, |sum, i| sum.wrapping_add(round(i)))
}

/// One pass over the other Ps (SE1).
fn visit_all(m: &'static M, p: &'static P, next_too: bool) -> Option<GRef> {
    let n = u32::try_from(SCHED.made()).expect("at most MAX_PROCS");
    let mut victim = m.rand_below(n);
    let stride = coprime(m.rand_below(n) + 1, n);
    for _ in 0..n {
        if victim != p.id
            && let Some(g) = steal_from(SCHED.p(victim as usize), p, next_too)
        {
            return Some(g);
        }
        victim = (victim + stride) % n;
    }
    None
}

fn steal_from(victim: &'static P, p: &'static P, next_too: bool) -> Option<GRef> {
    // SAFETY: this M owns `p` (P1), which is another P and whose queue is empty.
    let stolen = unsafe { p.steal_from(victim) };
    stolen.or_else(|| if next_too { take_next(victim) } else { None })
}

/// The next slot's G of an owner that seems to be busy with something else (SE1), whose cache lines are
/// left alone meanwhile.
fn take_next(victim: &'static P) -> Option<GRef> {
    if !victim.has_next() {
        return None;
    }
    let round = victim.tick.load(Ordering::Relaxed); // a hint
    grace();
    let busy = victim.tick.load(Ordering::Relaxed) == round; // a hint
    if busy { victim.take_next() } else { None }
}

/// Leaves the others alone for `GRACE_CYCLES`.
fn grace() {
    let begun = clock::cycles();
    while clock::cycles().wrapping_sub(begun) < GRACE_CYCLES {
        std::hint::spin_loop();
    }
}

/// The first number at or above `start`, wrapping within `1..=n`, that is coprime to `n`.
fn coprime(start: u32, n: u32) -> u32 {
    let gcd = |mut a: u32, mut b: u32| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut k = start;
    while gcd(k, n) != 1 {
        k = k % n + 1;
    }
    k
}

#[cfg(test)]
mod tests {
    use super::coprime;

    #[test]
    fn every_stride_visits_every_p() {
        for n in 1..=40u32 {
            for start in 1..=n {
                let stride = coprime(start, n);
                let mut seen = vec![false; n as usize];
                let mut at = 0;
                for _ in 0..n {
                    seen[at as usize] = true;
                    at = (at + stride) % n;
                }
                assert!(seen.iter().all(|&s| s), "n {n} stride {stride}");
            }
        }
    }
}
