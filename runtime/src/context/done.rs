//! Job: the end of a context as a channel, for `select!`.
//! Layer: L3 (blocking)
//! Not here: when it is closed (CX2 of `node`). The node knows the channel as a trait only, so that
//!   channels can know contexts.

use std::any::Any;

use super::handle::Context;
use super::node::Closes;
use crate::chan::{self, Receiver, Sender};

struct Done {
    tx: Sender<()>,
    rx: Receiver<()>,
}

impl Done {
    fn new() -> Done {
        let (tx, rx) = chan::bounded(0);
        Done { tx, rx }
    }
}

impl Closes for Done {
    fn close(&self) {
        self.tx.close();
    }

    fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }
}

impl Context {
    /// A channel that never carries a value and is closed when the context ends: a receive from it
    /// fails then. That of [`background`](super::background) stays open. All calls for one context
    /// give the same channel, made at the first.
    ///
    /// ```
    /// use gusty::{context, go};
    /// let (ctx, cancel) = context::with_cancel(&context::background());
    /// let done = ctx.done();
    /// go!(move || cancel.cancel());
    /// assert!(done.recv().is_err());
    /// assert!(ctx.err().is_some());
    /// ```
    pub fn done(&self) -> Receiver<()> {
        let Some(node) = &self.node else { return chan::never() };
        let done: &dyn Any = node.done_or_make(|| Box::new(Done::new()));
        done.downcast_ref::<Done>().expect("made above").rx.clone()
    }
}
