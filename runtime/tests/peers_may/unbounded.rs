//! Job: the cases with `chan::unbounded`: may's mpmc.

pub(crate) use gusty::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, unbounded as channel,
};

#[path = "any.rs"]
#[expect(clippy::duplicate_mod, reason = "that is the point")]
mod any;
