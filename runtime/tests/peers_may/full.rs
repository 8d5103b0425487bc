//! Job: the cases of channels that fill, and what they share. `channel` and its types are the
//!   parent's.

pub(crate) use super::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, TrySendError, channel,
};
pub(crate) use crate::common::{Drops, until};
pub(crate) use crate::crew::{Crew, LONG, ROUNDS, SHORT, cases, linger};

/// A meeting, a single place, a few.
pub(crate) const BOUNDS: [usize; 3] = [0, 1, 3];

mod bounded_ends;
mod bounded_streams;
