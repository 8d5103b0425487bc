//! Job: the selection: decides one of several operations, waiting while none is possible.
//! Layer: L3 (blocking)
//! Not here: what an operation does (`port`), looking at all together and waiting (`enter`), who
//!   offers the choice (`select`, `expand`).
//! Source: Go's selectgo.
//!
//! First a look without locks says which operations are worth a try, and one of them, at random, is
//! tried by itself: that decides most selects, and locks one channel. Only if none can be had are all
//! channels locked.

pub use super::case::Case;
use super::case::{Order, random_below};
use super::channel::Outcome;
use super::enter::{Entered, enter};
use super::late::Grant;
use super::port::{Goal, Port};
use crate::sched::claim::{CANCELLED, FIRST_TOKEN, TIMED_OUT, Wait};
use crate::sched::park;
use crate::sys::clock;
use crate::sys::section::Section;
use crate::wait::{OTHER, Until};

/// A decided operation; dropping it gives it up.
pub(super) struct Chosen<'a> {
    pub(super) index: usize,
    pub(super) port: &'a dyn Port,
    grant: Option<Grant>,
}

impl Chosen<'_> {
    pub(super) fn into_grant(mut self) -> Grant {
        self.grant.take().expect("taken once")
    }
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        // Of the others nothing is to be given up.
        if let Some(Grant::Room | Grant::Receiver(_)) = self.grant
            && let Some(grant) = self.grant.take()
        {
            self.port.give_up(grant);
        }
    }
}

/// Which of several possible operations is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bias {
    /// Any.
    None,
    /// The first.
    First,
}

/// Decides one of the operations, waiting until `until` (`None`: not at all).
///
/// # Safety
/// The slots of receives have room for a value.
#[inline(never)] // the callers are inlined: see `run`
pub(super) unsafe fn choose<'a>(
    cases: &mut [Case<'a, '_>],
    bias: Bias,
    until: Option<Until<'_>>,
) -> Result<Chosen<'a>, Outcome> {
    let mut choice = None;
    let index = run(cases, bias, Goal::Perform, until, &mut |case| {
        // SAFETY: promised by the caller.
        choice = unsafe { case.port.decide(case.slot) };
        choice.is_some()
    })?;
    let case = &mut cases[index];
    let grant = match choice {
        Some(grant) => grant,
        None if case.is_send => case.partner.grant(),
        None => Grant::Received,
    };
    if let (Grant::Received, false) = (&grant, case.filled.is_null()) {
        // SAFETY: points into the slot, which is borrowed.
        unsafe { case.filled.write(true) };
    }
    Ok(Chosen { index, port: case.port, grant: Some(grant) })
}

/// Waits until `until` for one of the operations to be possible.
pub(super) fn watch(
    cases: &mut [Case<'_, '_>],
    bias: Bias,
    until: Option<Until<'_>>,
) -> Result<usize, Outcome> {
    run(cases, bias, Goal::Watch, until, &mut |case| {
        let _section = Section::enter(); // CS4 of `enter`
        let lock = case.port.place(Goal::Watch).lock;
        // SAFETY: null or the lock of the port's channel, which lives as long as the port.
        let lock = unsafe { lock.as_ref() };
        lock.inspect(|lock| lock.lock());
        // SAFETY: locked.
        let possible = unsafe { case.port.is_possible() };
        // SAFETY: locked above.
        lock.inspect(|lock| unsafe { lock.unlock() });
        possible
    })
}

/// The index of an operation that `attempt` said yes to, or whose node was served.
///
/// Inlined, as `enter` is, so that a wait is one call: that saves some 3 ns for each of fewer returns,
/// probably because the processor predicts them by what the goroutine before has called.
#[inline(always)]
fn run<'a, 's>(
    cases: &mut [Case<'a, 's>],
    bias: Bias,
    goal: Goal,
    until: Option<Until<'_>>,
    attempt: &mut dyn FnMut(&Case<'a, 's>) -> bool,
) -> Result<usize, Outcome> {
    let mut me = None;
    if let Some(index) = likely(cases, bias).filter(|&i| attempt(&cases[i])) {
        return Ok(index);
    }
    loop {
        if until.is_none() && cases.len() < 2 {
            // What is seen of one channel is one moment's.
            return any(cases, bias, attempt).ok_or(Outcome::NotNow);
        }
        let me = *me.get_or_insert_with(park::current);
        let wait = Wait::new(me);
        let mut over = false;
        match enter(cases, goal, until, &wait) {
            Entered::Possible => {}
            Entered::Ended(TIMED_OUT) if until.is_none() => return Err(Outcome::NotNow),
            Entered::Ended(TIMED_OUT) => {
                over = until.is_some_and(|until| until.deadline <= clock::now());
            }
            Entered::Ended(CANCELLED) => return Err(Outcome::Cancelled),
            Entered::Ended(token) => {
                let index = (token - FIRST_TOKEN) / 2;
                // Otherwise closed, or a partner gave up, or watched: look again, there first.
                if goal == Goal::Perform && token & OTHER == 0 || attempt(&cases[index]) {
                    return Ok(index);
                }
            }
        }
        if let Some(index) = any(cases, bias, attempt) {
            return Ok(index);
        }
        if over {
            return Err(Outcome::NotNow);
        }
    }
}

/// One of the operations that look possible, each with equal chance, or the first.
fn likely(cases: &[Case<'_, '_>], bias: Bias) -> Option<usize> {
    let mut seen = cases.iter().enumerate().filter(|(_, case)| case.port.looks_possible());
    let (first, _) = seen.next()?;
    if bias == Bias::First {
        return Some(first);
    }
    // Of the n seen so far each is kept with a chance of 1/n.
    let mut kept = (first, 1);
    for (i, _) in seen {
        let n = kept.1 + 1;
        kept = (if random_below(n) == 0 { i } else { kept.0 }, n);
    }
    Some(kept.0)
}

/// The first that `attempt` says yes to, in random order.
fn any<'a, 's>(
    cases: &[Case<'a, 's>],
    bias: Bias,
    attempt: &mut dyn FnMut(&Case<'a, 's>) -> bool,
) -> Option<usize> {
    let mut order = Order::of(cases.len());
    let order = order.as_mut();
    for i in 0..order.len() {
        if bias == Bias::None {
            order.swap(i, i + random_below((order.len() - i) as u32) as usize);
        }
        if attempt(&cases[order[i] as usize]) {
            return Some(order[i] as usize);
        }
    }
    None
}
