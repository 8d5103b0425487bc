//! Job: the selection: decides one of several operations, waiting while none is possible.
//! Layer: L3 (blocking)
//! Not here: what an operation does (`port`), who offers the choice (`select`, `expand`).
//! Invariants
//!   CS1  All channels of a select are locked before it looks at all of them or queues, in the order
//!        of the locks' addresses, each once. So its view of them is one moment's, and nothing is
//!        lost between looking and queueing.
//!   CS2  The commit's last touch of the waiter's frame comes before its last unlock, and the waiter
//!        takes every lock again before it leaves: the frame outlives the commit. Without any lock
//!        (timers only) the commit does not touch it.
//!   CS3  One of the nodes is claimed at most; all are unlinked before the select returns. Nobody
//!        finds itself: a select's own nodes are queued only after it has looked.
//!   CS4  The locks are taken without guards, so in a section that begins before and ends after.
//! Source: Go's selectgo.
//!
//! First each operation is tried by itself, in random order: that decides most selects, and locks
//! one channel at a time. Only if that fails are all of them locked.

use std::marker::PhantomData;
use std::ptr;

use super::channel::Outcome;
use super::late::{Grant, Partner};
use super::port::{Goal, Port};
use crate::sched::claim::{CANCELLED, FIRST_TOKEN, TIMED_OUT, Wait};
use crate::sched::g::WaitReason;
use crate::sched::list::GList;
use crate::sched::{park, ready};
use crate::sys::clock::{self, NEVER};
use crate::sys::lock::RawSpin;
use crate::sys::rand::Rand;
use crate::sys::section::Section;
use crate::wait::{self, Node, OTHER, Until};

/// As many operations need no memory for their order.
const FEW: usize = 16;

/// One operation to choose from; `'s` is how long the slot of a receive is borrowed.
pub struct Case<'a, 's> {
    pub(super) port: &'a dyn Port,
    lock: *const RawSpin,
    /// Room for the value of a receive.
    pub(super) slot: *mut (),
    /// Set when the slot has got a value.
    filled: *mut bool,
    node: Option<Node>,
    partner: Partner,
    _slot: PhantomData<&'s mut ()>,
}

impl<'a, 's> Case<'a, 's> {
    pub(super) fn new(port: &'a dyn Port, slot: *mut (), filled: *mut bool) -> Case<'a, 's> {
        let lock = port.lock().map_or(ptr::null(), ptr::from_ref);
        let partner = Partner::new();
        Case { port, lock, slot, filled, node: None, partner, _slot: PhantomData }
    }

    /// # Safety
    /// The slot of a receive has room for a value.
    unsafe fn decide(&self) -> Option<Grant> {
        // SAFETY: promised by the caller.
        unsafe { self.port.decide(self.slot) }
    }

    /// Whether it is possible, for who has locked it.
    unsafe fn is_possible(&self) -> bool {
        // SAFETY: promised by the caller.
        unsafe { self.port.is_possible() }
    }

    fn spin(&self) -> Option<&'a RawSpin> {
        // SAFETY: null or the lock of the port's channel, which lives as long as the port.
        unsafe { self.lock.as_ref() }
    }
}

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
        if let Some(grant) = self.grant.take() {
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
pub(super) unsafe fn choose<'a>(
    cases: &mut [Case<'a, '_>],
    bias: Bias,
    until: Option<Until<'_>>,
) -> Result<Chosen<'a>, Outcome> {
    let mut choice = None;
    let index = with_order(cases.len(), |order| {
        run(cases, order, bias, Goal::Perform, until, &mut |case| {
            // SAFETY: promised by the caller.
            choice = unsafe { case.decide() };
            choice.is_some()
        })
    })?;
    let case = &mut cases[index];
    let grant = match choice {
        Some(grant) => grant,
        None if case.port.slot().is_none() => case.partner.grant(),
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
    with_order(cases.len(), |order| {
        run(cases, order, bias, Goal::Watch, until, &mut |case| {
            let _section = Section::enter(); // CS4
            let lock = case.spin();
            lock.inspect(|lock| lock.lock());
            // SAFETY: locked.
            let possible = unsafe { case.is_possible() };
            // SAFETY: locked above.
            lock.inspect(|lock| unsafe { lock.unlock() });
            possible
        })
    })
}

fn with_order<R>(len: usize, f: impl FnOnce(&mut [usize]) -> R) -> R {
    if len <= FEW {
        let mut order: [usize; FEW] = std::array::from_fn(|i| i);
        f(&mut order[..len])
    } else {
        f(&mut (0..len).collect::<Vec<_>>())
    }
}

/// The index of an operation that `attempt` said yes to, or whose node was served.
fn run<'a, 's>(
    cases: &mut [Case<'a, 's>],
    order: &mut [usize],
    bias: Bias,
    goal: Goal,
    until: Option<Until<'_>>,
    attempt: &mut dyn FnMut(&Case<'a, 's>) -> bool,
) -> Result<usize, Outcome> {
    let mut rand = Rand::new(clock::cycles() ^ order.as_ptr().addr() as u64);
    let mut me = None;
    let mut over = false;
    let mut first = None;
    loop {
        if let Some(index) = first.take().filter(|&index: &usize| attempt(&cases[index])) {
            return Ok(index);
        }
        if bias == Bias::First {
            order.sort_unstable();
        }
        for i in 0..order.len() {
            if bias == Bias::None && i + 1 < order.len() {
                order.swap(i, i + rand.below((order.len() - i) as u32) as usize);
            }
            if attempt(&cases[order[i]]) {
                return Ok(order[i]);
            }
        }
        if over {
            return Err(Outcome::NotNow);
        }
        if until.is_none() && order.len() < 2 {
            return Err(Outcome::NotNow); // what was seen of one channel was one moment's
        }
        let me = *me.get_or_insert_with(park::current);
        let wait = Wait::new(me);
        match enter(cases, order, goal, until, &wait) {
            Entered::Possible => {}
            Entered::Ended(TIMED_OUT) if until.is_none() => return Err(Outcome::NotNow),
            Entered::Ended(TIMED_OUT) => {
                over = until.is_some_and(|until| until.deadline <= clock::now());
            }
            Entered::Ended(CANCELLED) => return Err(Outcome::Cancelled),
            Entered::Ended(token) => {
                let index = (token - FIRST_TOKEN) / 2;
                if goal == Goal::Perform && token & OTHER == 0 {
                    return Ok(index);
                }
                first = Some(index); // closed, or a partner gave up, or watched: look again
            }
        }
    }
}

/// How looking at all of them together ended.
enum Entered {
    /// One was possible.
    Possible,
    /// It was waited, or not (`TIMED_OUT`).
    Ended(usize),
}

/// Locks all channels, and waits in them if no operation is possible (CS1).
fn enter(
    cases: &mut [Case<'_, '_>],
    order: &mut [usize],
    goal: Goal,
    until: Option<Until<'_>>,
    wait: &Wait,
) -> Entered {
    // Stable: the random order of operations on one channel is that of their nodes.
    order.sort_by_key(|&i| cases[i].lock.addr());
    let mut deadline = until.map_or(NEVER, |until| until.deadline);
    for (i, case) in cases.iter_mut().enumerate() {
        deadline = deadline.min(case.port.deadline());
        let is_send = case.port.slot().is_none();
        let data = if is_send { case.partner.as_data() } else { case.slot };
        let node = Node::new(wait, data, FIRST_TOKEN + 2 * i, false);
        case.node = Some(if is_send { node.late() } else { node });
    }
    let cases = &*cases;
    let _section = Section::enter(); // CS4
    each_lock(cases, order, |lock, _| lock.lock());
    // SAFETY: all are locked.
    let possible = cases.iter().any(|case| unsafe { case.is_possible() });
    let Some(until) = until.filter(|_| !possible) else {
        // SAFETY: locked above.
        unsafe { unlock_all(cases, order) };
        return if possible { Entered::Possible } else { Entered::Ended(TIMED_OUT) };
    };
    let mut watchers = GList::new();
    for case in order.iter().map(|&i| &cases[i]) {
        let (Some(_), Some(node)) = (case.spin(), &case.node) else { continue };
        // SAFETY: locked; the node stays there, in the caller's cases, and is unlinked below.
        unsafe {
            while goal == Goal::Perform // CW1
                && let Some(watcher) = case.port.queue(Goal::Watch).pop_claimed(wait::SERVED)
            {
                watchers.push(watcher.g);
            }
            case.port.queue(goal).push_back(node);
        }
    }
    // Those without a lock come first. If there are no others nothing holds the waiter back once it
    // is woken, and the commit does not look at its frame at all.
    let locked = order.partition_point(|&i| cases[i].lock.is_null());
    let (all, order_at): (*const _, *const _) = (cases, &raw const order[locked..]);
    let commit = move || {
        // SAFETY: all are locked, so the frame is there until the last unlock (CS2).
        unsafe { unlock_all(all, order_at) };
        if !watchers.is_empty() {
            ready::ready_list(&mut watchers);
        }
    };
    // SAFETY: every queue with a node is locked until the commit; who pops a node readies us.
    let outcome =
        unsafe { wait::park_queued(wait, Until { deadline, ..until }, WaitReason::Select, commit) };
    // CS3: nobody finds the nodes any more.
    each_lock(cases, order, |lock, same| {
        lock.lock();
        for &i in same {
            if let Some(node) = &cases[i].node {
                // SAFETY: locked just now.
                unsafe { cases[i].port.queue(goal) }.remove(node);
            }
        }
        // SAFETY: as above.
        unsafe { lock.unlock() };
    });
    Entered::Ended(outcome)
}

/// Calls `f` with each lock once, in order, and with the operations on its channel.
fn each_lock(cases: &[Case<'_, '_>], order: &[usize], mut f: impl FnMut(&RawSpin, &[usize])) {
    for same in order.chunk_by(|&a, &b| cases[a].lock == cases[b].lock) {
        if let Some(lock) = cases[same[0]].spin() {
            f(lock, same);
        }
    }
}

/// Unlocks every lock once; the last unlock is the last thing it does (CS2).
///
/// # Safety
/// `each_lock` has locked with the same arguments, or with more in front that have no lock; they are
/// there until the last unlock.
unsafe fn unlock_all(cases: *const [Case<'_, '_>], order: *const [usize]) {
    let mut held: Option<&RawSpin> = None;
    for i in 0..order.len() {
        // SAFETY: in bounds; the last lock is still held.
        let next =
            unsafe { (*cases.cast::<Case<'_, '_>>().add(*order.cast::<usize>().add(i))).spin() };
        if let (Some(lock), Some(next)) = (held, next)
            && !ptr::eq(lock, next)
        {
            // SAFETY: locked; each comes up once, because equal ones are adjacent.
            unsafe { lock.unlock() };
        }
        held = next;
    }
    if let Some(lock) = held {
        // SAFETY: as above.
        unsafe { lock.unlock() };
    }
}
