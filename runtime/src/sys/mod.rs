//! Job: the contacts with the operating system that everything else stands on.
//! Layer: L0 (machine)
//! Not here: stacks (`stack`), instruction-set details (`arch`), scheduling.

pub(crate) mod clock;
#[cfg(not(loom))]
pub(crate) mod cpu;
#[cfg(not(loom))]
pub(crate) mod errno;
#[cfg(not(loom))]
pub(crate) mod futex;
pub(crate) mod hold;
#[cfg(not(loom))]
#[cfg_attr(not(test), expect(dead_code, reason = "not all ways are used yet"))]
pub(crate) mod kick;
#[cfg(not(loom))]
pub(crate) mod lock;
#[cfg(loom)]
#[path = "lock_model.rs"]
pub(crate) mod lock;
#[cfg(not(loom))]
pub(crate) mod map;
#[cfg(not(loom))]
pub(crate) mod map_vec;
#[cfg(not(loom))]
pub(crate) mod mask;
#[cfg(not(loom))]
#[cfg_attr(not(test), expect(dead_code, reason = "for the scheduler's preemption"))]
pub(crate) mod membarrier;
#[cfg(loom)]
#[path = "membarrier_model.rs"]
pub(crate) mod membarrier;
#[cfg(not(loom))]
pub(crate) mod mutex;
#[cfg(not(loom))]
pub(crate) mod note;
#[cfg(not(loom))]
pub(crate) mod rand;
#[cfg(not(loom))]
pub(crate) mod section;
#[cfg(loom)]
#[path = "section_model.rs"]
pub(crate) mod section;
pub(crate) mod shim;
#[cfg(not(loom))]
pub(crate) mod signal;
#[cfg(not(loom))]
pub(crate) mod sleep_lock;
#[cfg(not(loom))]
pub(crate) mod text;
#[cfg(not(loom))]
pub(crate) mod thread;
pub(crate) mod whereabouts;
