//! Job: the cases with `sync::mpsc::channel`: may's mpsc.

pub(crate) use gusty::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, channel,
};

#[path = "any.rs"]
mod any;
