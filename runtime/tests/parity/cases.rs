//! Job: the list of the cases, and what they share. `sync`, `thread` and `run` are the parent's.

use super::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};
pub(crate) use super::{run, sync, thread};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

mod barrier;
mod condvar;
mod lazy;
mod mpsc;
mod mpsc_sync;
mod mutex;
mod once;
mod rwlock;

pub(crate) const SHORT: Duration = Duration::from_millis(2);

/// Longer than any test may take.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// How often a case repeats what goes wrong rarely.
pub(crate) const ROUNDS: usize = if cfg!(debug_assertions) { 100 } else { 1000 };

/// Counts its drops.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

impl Drops {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A value whose drop is counted.
pub(crate) struct Dropped(pub(crate) Drops);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The message of the panic that `f` ends with.
pub(crate) fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("must panic");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .expect("a message")
}
