//! Job: loans: the P of a goroutine that computes is borrowed for an urgent one, and given back. The
//!   computing one goes on meanwhile, beside it, and in most cases never hears of it.
//! Layer: L2 (sched)
//! Not here: what is run on a loan (`errand`), taking (`taker`), the lender that enters the runtime
//!   meanwhile (`comeback`), a loan that takes too long (`monitor`).
//! Invariants
//!   LN1  While `P::lender` names an M, that M has lost this P, in user code, and the owner has borrowed
//!        it. The lender clears it when it notices, before it can lose another P; everybody else
//!        changes it with the `Taker`. So who has the `Taker` and reads the lender may give back.
//!   LN2  A loan does not end the lender's turn: rounds on a loan are errands.
//!   LN3  On each P urgent goroutines get at most half of the time, and a granularity on top: a loan
//!        that lasts for t makes a debt of 2t from its begin, which time pays; nothing is lent while
//!        the debt reaches further than a granularity into the future.
//!   LN4  Nobody borrows from a goroutine that has had its P for less than `STANDS_NS`: where those are
//!        short, the Ps themselves look at the network and at the urgent ones as soon.
//! Orderings
//!   E1  borrow: lender.store; fence; hold.load  <->  comeback: hold LOST to GONE; fence; lender is
//!       cleared. Either the borrower sees the loss noticed, or the lender finds its name.

use std::sync::atomic::Ordering;

use super::global::SCHED;
use super::m::{self, M};
use super::metrics;
use super::p::{NOBODY, P};
use super::stopped;
use super::taker::{self, From, Taker};
use crate::config;
use crate::sys::clock::{self, NEVER, Nanos};
use crate::sys::shim::store_load_fence;

/// LN4. As often as a P that is in the scheduler looks at the network (`pick`).
const STANDS_NS: Nanos = 50_000;
/// How often one who would give back asks for the `Taker` until it lets others have the CPU.
const TRIES: u32 = 1_000;

/// How long, in nanoseconds, urgent goroutines may go on at once; 0: nothing is lent.
fn granularity() -> Nanos {
    config::settings().granularity
}

/// When the debt of `p` would end if the loan that began at `begin` ended now (LN3).
fn debt(p: &P, begin: Nanos, now: Nanos) -> Nanos {
    let before = p.debt_until.load(Ordering::Relaxed).max(begin);
    before.saturating_add(2 * now.saturating_sub(begin))
}

/// Borrows a P for `m`, which has none and is on g0: that of the goroutine which has lent least. False
/// if none can be had now; see [`again`].
pub(super) fn borrow(m: &'static M) -> bool {
    let p = take_one();
    m.set_p(p);
    p.is_some()
}

/// As [`borrow`] for an M that is still to be made, so that it mans the poller afterwards. None while a
/// loan is out: whoever has it will man the poller.
pub(super) fn borrow_for_new() -> Option<&'static P> {
    if ps().any(P::is_lent) { None } else { take_one() }
}

fn take_one() -> Option<&'static P> {
    let now = clock::now();
    let p = candidate(now)?;
    let taker = Taker::try_new()?;
    let lender = taker.take(p, From::Lender)?;
    p.lent_at.store(now, Ordering::Relaxed);
    p.lender.store(lender.id, Ordering::Relaxed); // E1
    store_load_fence(); // E1
    if !lender.hold.is_unnoticed() {
        p.lender.store(NOBODY, Ordering::Relaxed); // it has noticed already: P is the caller's for good
    }
    metrics::LOANS.add();
    Some(p)
}

/// The P to borrow now.
fn candidate(now: Nanos) -> Option<&'static P> {
    // AS1 of `stopped`.
    let lent = ps().filter(|p| p.is_lent()).count();
    let possible =
        granularity() != 0 && taker::is_possible() && stopped::count() + lent < stopped::limit();
    let latest = now.saturating_add(granularity());
    let debts = ps().filter(|p| possible && may_lend(p, now)).map(|p| (debt(p, now, now), p));
    let (debt, p) = debts.min_by_key(|(debt, _)| *debt)?;
    (debt <= latest).then_some(p)
}

fn ps() -> impl Iterator<Item = &'static P> {
    (0..SCHED.made()).map(|i| SCHED.p(i)).filter(|p| p.id < SCHED.procs())
}

/// LN4, and it is not lent already.
fn may_lend(p: &'static P, now: Nanos) -> bool {
    let stands = p.stands_for(now) >= STANDS_NS; // looked at in any case, so that it begins to stand
    stands && !p.is_lent() && m::get(p.m_id.load(Ordering::Relaxed)).is_some()
}

/// Whether some goroutine computes for so long that nobody looks at the network.
pub(super) fn somebody_computes() -> bool {
    let now = clock::now();
    ps().any(|p| p.is_lent() || may_lend(p, now))
}

/// When to try again to borrow a P; NEVER if nobody urgent waits.
pub(super) fn again() -> Nanos {
    if SCHED.urgent().is_empty() || granularity() == 0 || !taker::is_possible() {
        return NEVER;
    }
    let now = clock::now();
    let least = ps().map(|p| p.debt_until.load(Ordering::Relaxed)).min().unwrap_or(0);
    least.saturating_sub(granularity()).max(now + STANDS_NS)
}

/// Whether the owner of `p`, which is lent, may run one more urgent goroutine on it (LN3).
pub(super) fn may_go_on(p: &P, now: Nanos) -> bool {
    debt(p, p.lent_at.load(Ordering::Relaxed), now) <= now.saturating_add(granularity())
}

/// Ends the loan of `m`'s P. True if the lender has it again; false if it does not want it any more, so
/// that `m` keeps it.
pub(super) fn give_back(m: &'static M, p: &'static P) -> bool {
    m.set_p(None);
    let back = return_to_lender(p);
    if !back {
        m.set_p(Some(p));
        p.end_turn();
    }
    back
}

/// As [`give_back`] for a P that the caller owns otherwise.
pub(super) fn return_to_lender(p: &'static P) -> bool {
    let mut tries = 0;
    loop {
        if let Some(taker) = Taker::try_new() {
            return return_with(&taker, p);
        }
        tries += 1;
        if tries % TRIES == 0 {
            std::thread::yield_now(); // whoever has it is off its CPU
        } else {
            std::hint::spin_loop();
        }
    }
}

/// As [`return_to_lender`] for one who has the `Taker`.
pub(super) fn return_with(taker: &Taker, p: &'static P) -> bool {
    let id = p.lender.swap(NOBODY, Ordering::Relaxed); // LN1
    let Some(lender) = m::get(id) else { return false };
    let debt = debt(p, p.lent_at.load(Ordering::Relaxed), clock::now());
    p.debt_until.store(debt, Ordering::Relaxed);
    taker.give_back(p, lender)
}

/// The M to which `p` is on loan keeps it; returns the lender, which computes on without a P. With the
/// `Taker`.
pub(super) fn forget(p: &'static P) -> Option<&'static M> {
    let lender = m::get(p.lender.swap(NOBODY, Ordering::Relaxed))?; // LN1
    p.end_turn();
    lender.hold.is_unnoticed().then_some(lender)
}

/// `m` has noticed that it has lost its P, and will say so; if that is on loan, the loan is over (LN1),
/// and it is returned.
pub(super) fn noticed(m: &'static M) -> Option<&'static P> {
    let p = m.p()?;
    store_load_fence(); // E1
    let (ok, err) = (Ordering::Relaxed, Ordering::Relaxed); // LN1; nothing else is concluded from it
    p.lender.compare_exchange(m.id, NOBODY, ok, err).ok().map(|_| p)
}
