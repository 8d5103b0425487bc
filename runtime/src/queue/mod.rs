//! Job: the pure data structures of the scheduler, over words and atomics only.
//! Layer: L1 (structures)

pub(crate) mod claim_word;
pub(crate) mod local;
pub(crate) mod searchers;
