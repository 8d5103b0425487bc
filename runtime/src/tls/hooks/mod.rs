//! Job: libc functions that would do the wrong thing on a goroutine with a block of its own,
//!   defined here so that the whole process calls ours.
//! Layer: L0 (machine)
//! Invariants
//!   HK1  On a plain thread, and at every level without blocks, a hook does what libc does: it
//!        forwards, after one check.
//!   HK2  A hook may run before `main` and before `init`.
//!   HK3  Nothing is hooked in a program that is linked statically: the linker would not know which
//!        definition to take, and there is no next one to forward to.
//!
//! The linker takes these for the executable because its own definitions come before libc's, and
//! exports them because libc has them too, so libraries are served as well. In import order:
//! `next` (finding libc's), `at_exit`, `own_handle`, `loader`, `set_id`.

mod at_exit;
mod loader;
mod next;
mod own_handle;
mod set_id;

pub(super) use at_exit::in_place;
pub(super) use loader::track;
pub(super) use set_id::wrap_handler;
