//! Job: the cases with `sync::mpsc::sync_channel`.

pub(crate) use gusty::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, SyncSender as Sender, TryRecvError,
    TrySendError, sync_channel as channel,
};

#[path = "full.rs"]
#[expect(clippy::duplicate_mod, reason = "that is the point")]
mod full;
