//! Job: the cases of channels that never fill, and what they share. `channel` and its types are the
//!   parent's.

pub(crate) use super::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, channel,
};
pub(crate) use crate::common::{Drops, until};
pub(crate) use crate::crew::{Crew, LONG, ROUNDS, SHORT, cases, linger};

mod ends;
mod iterate;
mod oneshot;
mod timed;
