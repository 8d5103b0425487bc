//! Job: the cases with `chan::bounded`.

pub(crate) use gusty::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, TrySendError,
    bounded as channel,
};

#[path = "full.rs"]
mod full;
