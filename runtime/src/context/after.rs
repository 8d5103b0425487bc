//! Job: `after_func`: something to do when a context ends.
//! Layer: L3 (blocking)
//! Invariants
//!   AF1  The goroutine is prepared at once and lies among the node's children: whoever takes it
//!        out, the end of the context or `stop`, decides whether it begins.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::handle::Context;
use super::node::{Child, NO_SLOT, Node};
use crate::sched::dormant::Dormant;

/// Of a function that waits for the end of a context; see [`after_func`]. Dropping the handle
/// changes nothing.
pub struct AfterFunc {
    place: Place,
}

enum Place {
    /// The context never ends.
    Nowhere,
    Begun,
    Child(Arc<Node>, AtomicUsize),
}

/// Runs `f` once in a goroutine of its own when `ctx` ends; at once if it has ended. It is dropped
/// without a run if it is stopped, or if nobody can end the context any more. Never blocks.
///
/// # Panics
/// At the limit on goroutines (`GUSTY_MAX_GOROUTINES`). A panic of `f` is reported and ends its
/// goroutine.
///
/// ```
/// use gusty::{chan, context};
///
/// let (ctx, cancel) = context::with_cancel(&context::background());
/// let (tx, rx) = chan::bounded(1);
/// context::after_func(&ctx, move || tx.send("cleaned up").unwrap());
/// cancel.cancel();
/// assert_eq!(rx.recv(), Ok("cleaned up"));
/// ```
#[track_caller]
pub fn after_func(ctx: &Context, f: impl FnOnce() + Send + 'static) -> AfterFunc {
    let Some(node) = &ctx.node else { return AfterFunc { place: Place::Nowhere } };
    let f: Box<dyn FnOnce() + Send> = Box::new(f);
    let slot = AtomicUsize::new(NO_SLOT);
    let place = match node.add(Child::Start(Dormant::new(Location::caller(), f)), &slot) {
        Ok(()) => Place::Child(node.clone(), slot),
        Err(Child::Start(dormant)) => {
            dormant.start();
            Place::Begun
        }
        Err(Child::Node(_)) => unreachable!("it was a goroutine"),
    };
    AfterFunc { place }
}

impl AfterFunc {
    /// Takes the function back: true if it has not begun and will not, false if it has, or may run
    /// at this moment, which this does not wait for. Drops it in the first case. Never blocks.
    ///
    /// ```
    /// use gusty::context;
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let handle = context::after_func(&ctx, || unreachable!());
    /// assert!(handle.stop());
    /// drop(cancel);
    /// ```
    pub fn stop(self) -> bool {
        match self.place {
            Place::Nowhere => true,
            Place::Begun => false,
            Place::Child(node, slot) => node.remove(&slot).is_some(), // AF1
        }
    }
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}
