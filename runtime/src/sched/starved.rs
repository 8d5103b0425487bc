//! Job: goroutines that could not get a stack: back pressure instead of failure.
//! Layer: L2 (sched)
//! Not here: the limits that were hit (`stack`).
//! Invariants
//!   SV1  A starved G is in the list until a stack was given back after it was put there; it is
//!        then made ready and tries again.
//! Orderings
//!   E1  add: COUNT.fetch_add; fence; try again  <->  exit: stack given back; fence; COUNT.load.
//!       One of the two sees the other. (partner: sched/run.rs)
//!
//! The caller of `go!` has long gone on, so there is nobody to give an error to; running the
//! closure's destructor needs a stack, too. Waiting loses nothing: the goroutine runs as soon as
//! another one ends. If no goroutine holds a stack, none will ever come back: that is fatal.

use std::fmt::Display;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fatal;
use super::g::GRef;
use super::global::SCHED;
use super::line;
use super::list::GList;
use super::ready;
use crate::sys::lock::SpinLock;
use crate::sys::shim::store_load_fence;

static LIST: SpinLock<GList> = SpinLock::new(GList::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Puts `g`, which got no stack because of `error`, aside.
#[cold]
pub(crate) fn add(g: GRef, error: &dyn Display) {
    static WARNED: Once = Once::new();
    let id = g.id();
    let held: i64 = (0..SCHED.made())
        .map(|i| SCHED.p(i).stacks_held.load(Ordering::Relaxed)) // exact when nobody else runs
        .sum();
    if held == 0 {
        fatal::fatal(format_args!("no stack for goroutine {id}: {error}"));
    }
    LIST.lock().push(g);
    COUNT.fetch_add(1, Ordering::Relaxed); // ordered by the fence
    store_load_fence(); // E1
    WARNED.call_once(|| {
        line::print(format_args!(
            "gusty: no stack for goroutine {id}: {error}; it starts when another one has ended"
        ));
    });
}

/// Whether anybody waits for a stack. Not fenced: only stacks that come back through the global
/// list can be missed, and those are looked for again by `add`'s caller.
#[inline]
pub(crate) fn any() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

/// A stack was given back: lets the longest-waiting G try again.
#[cold]
pub(crate) fn retry() {
    let g = LIST.lock().pop();
    if let Some(g) = g {
        COUNT.fetch_sub(1, Ordering::Release); // E1
        ready::push_global(g);
    }
}
