//! What the benchmark programs share: the measuring harness and a look at the own process.
//!
//! The suite itself is the binary `gusty-benches`; `docs/benchmarks.md` says how to run it and what
//! each figure means. This library knows no runtime: neither gusty nor a peer.

pub mod harness;
pub mod process;
pub mod stats;
