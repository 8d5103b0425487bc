//! Job: what may's suite has for channels with a bound (std's cases, which may keeps for later), over
//!   both of ours, from goroutines, plain threads and both, with 1, 2, 4, 8 and 64 Ps.
//! Not here: channels that never fill (`peers_may_chan`).

mod common;
#[path = "peers_may/crew.rs"]
mod crew;

#[path = "peers_may/bounded.rs"]
mod bounded;
#[path = "peers_may/sync_channel.rs"]
mod sync_channel;
