//! Job: the contacts with the operating system that everything else stands on.
//! Layer: L0 (machine)
//! Not here: stacks (`stack`), instruction-set details (`arch`), scheduling.

pub(crate) mod clock;
pub(crate) mod futex;
pub(crate) mod lock;
pub(crate) mod note;
pub(crate) mod rand;
pub(crate) mod shim;
pub(crate) mod signal;
