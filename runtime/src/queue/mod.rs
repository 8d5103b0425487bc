//! Job: the pure data structures of the scheduler, over words and atomics only.
//! Layer: L1 (structures)
//! Not here: crossbeam's deque and injector, which the scheduler uses as they are.

pub(crate) mod claim_word;
pub(crate) mod searchers;
