//! Job: the cases with a bounded channel of more room than they need: may's spsc, whose senders never
//!   wait either.

pub(crate) use gusty::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError,
};

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    gusty::chan::bounded(1 << 12)
}

#[path = "any.rs"]
#[expect(clippy::duplicate_mod, reason = "that is the point")]
mod any;
