//! Job: what is true only if a goroutine has thread-local storage of its own.

#[path = "tls/killers.rs"]
mod killers;
