//! Job: what a model check builds of channels: all that senders and receivers do to one.
//! Layer: L3 (blocking)
//! Not here: handles, selections of several channels, moments.

mod buffer;
mod channel;
mod late;
mod share;
mod state;
mod two_step;

#[cfg(test)]
mod channel_models;
#[cfg(test)]
mod select_models;
