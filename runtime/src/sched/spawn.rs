//! Job: making a goroutine's header and queueing it; freeing it.
//! Layer: L2 (sched)
//! Not here: closures, results and handles (`task`), the first run (`run`).
//! Invariants
//!   SP1  A header is freed once, by whoever comes second: the exit or the dropped handle.

use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ext::Ext;
use super::g::{BEYOND_LIMIT, G, GRef, GStatus, JOIN_DETACHED, Task};
use super::gslab::{self, NoHeader};
use super::list::GList;
use super::m;
use super::p;
use super::park;
use super::ready;
use crate::stack::SizeClass;
use crate::sys::clock;
use crate::sys::section::Section;

/// How often a spawn at the limit lets others run before it gives up: by yielding first, then by
/// sleeping, because those who make room may run on other Ps.
const LIMIT_YIELDS: u32 = 64;
const LIMIT_SLEEPS: u32 = 200;
const LIMIT_SLEEP: Duration = Duration::from_millis(1);

/// Makes a goroutine of `task` and queues it; `fill` writes its closure into the header
/// or into memory made before: it runs in a section.
pub(crate) fn spawn(
    task: &'static Task,
    class: SizeClass,
    flags: u8,
    name: Option<String>,
    site: &'static Location<'static>,
    fill: impl FnOnce(&G),
) -> Result<GRef, NoHeader> {
    let ext = name.map(Ext::named); // allocates: outside of the section
    let _section = Section::enter_if_outside(); // RD3 of `ready`
    let (g, id) = header()?;
    gslab::init(g, id, class.index(), flags, task, site);
    if let Some(ext) = ext {
        g.set_ext(ext);
    }
    fill(&g);
    ready::make_next_inside(g);
    Ok(g)
}

/// A free header and an id. At the limit, lets others end first.
fn header() -> Result<(GRef, u64), NoHeader> {
    let mut tries = 0;
    loop {
        match try_header() {
            // Goroutines that run to their end make room: let them.
            Err(NoHeader::Limit(_)) if may_wait() && tries < LIMIT_YIELDS + LIMIT_SLEEPS => {
                tries += 1;
                if tries <= LIMIT_YIELDS {
                    park::yield_now();
                } else {
                    park::sleep_until(clock::after(LIMIT_SLEEP));
                }
            }
            other => return other,
        }
    }
}

/// A free header and an id, if the limit allows.
#[inline]
pub(super) fn try_header() -> Result<(GRef, u64), NoHeader> {
    match m::current().and_then(m::M::p) {
        Some(p) => {
            // SAFETY: this M owns P (P1); the borrow ends with the block.
            let owned = unsafe { p.owned() };
            owned.take_header().map(|g| (g, owned.next_id()))
        }
        None => {
            gslab::take(1).map(|mut one| (one.pop().expect("one was asked for"), p::foreign_id()))
        }
    }
}

/// Whether the caller can wait for others: g0 cannot.
fn may_wait() -> bool {
    m::current().is_none_or(|m| m.cur().is_some())
}

/// Gives a header back (SP1). Frees an Ext, so not in a section if there may be one.
#[inline]
pub(crate) fn free(g: GRef) {
    g.drop_ext();
    g.set_status(GStatus::Free);
    if g.flag(BEYOND_LIMIT) {
        return gslab::give_beyond_limit(g);
    }
    let _section = Section::enter_if_outside(); // RD3 of `ready`
    match m::current().and_then(m::M::p) {
        // SAFETY: this M owns P (P1); the borrow ends here.
        Some(p) => unsafe { p.owned() }.give_header(g),
        None => {
            let mut one = GList::new();
            one.push(g);
            gslab::give(one);
        }
    }
}

/// Frees the Ext of a goroutine that has run, if nobody can ask for it any more; true if it did.
#[inline]
pub(super) fn sheds(g: GRef) -> bool {
    if g.ext.load(Ordering::Relaxed).is_null() {
        return false; // nobody else may make one, if it is detached; else that one's handle frees it
    }
    let detached = g.join.load(Ordering::Acquire) == JOIN_DETACHED; // partner: JoinHandle's drop
    if detached {
        g.drop_ext();
    }
    detached
}
