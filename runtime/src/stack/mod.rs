//! Job: stacks for goroutines: where they are mapped, how they are guarded, how they are reused.
//! Layer: L0 (machine)
//! Not here: what runs on a stack, switching (`arch`), reporting an overflow (`sys::signal`).
//! Invariants
//!   ST1  Every stack has a guard at its low end before it is handed out, and no advice given to
//!        the kernel later covers a guard.
//!   ST2  A slab is never unmapped once it is published: an address that was a stack stays one.
//!   ST3  A stack is in one list, in one unused range of a slab, or with one owner.
//!
//! In import order: `class` (sizes), `kind`, `error`, `advise` (batched madvise), `uffd`, `guard` (the
//! three ways to make a guard), `registry` (which stack is at this address?), `slab` (mapping), `ring`
//! (free lists), `pool` (reuse). Stacks are taken and given back by scheduling stacks, and trimmed by
//! the watchdog: so nothing here allocates, after the settings were chosen.
//!
//! A stack takes address space for its full size and memory for the pages it has touched: it
//! starts at one page and grows by page faults.

mod advise;
mod class;
mod error;
mod guard;
mod kind;
mod pool;
mod registry;
mod ring;
mod slab;
#[cfg(test)]
mod tests;
mod uffd;

pub(crate) use class::{GUARD_BYTES, SizeClass};
pub(crate) use kind::GuardKind;
pub(crate) use pool::{Furnisher, LocalCache, Stack, furnish_with, trim, warm};
pub(crate) use registry::{Hit, find, for_each_top};
pub(crate) use slab::choose_guard;
