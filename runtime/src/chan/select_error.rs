//! Job: what a select fails with; the types of `crossbeam-channel`.
//! Layer: L3 (blocking)

use std::error::Error;
use std::fmt;

/// No operation was possible at once. From [`Select::try_select`](super::Select::try_select).
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TrySelectError;

/// The time passed before an operation was possible. From
/// [`Select::select_timeout`](super::Select::select_timeout).
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct SelectTimeoutError;

/// No operation was possible. From [`Select::try_ready`](super::Select::try_ready).
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TryReadyError;

/// The time passed before an operation was possible. From
/// [`Select::ready_timeout`](super::Select::ready_timeout).
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct ReadyTimeoutError;

const NONE_POSSIBLE: &str = "no operation of the select is possible without waiting";
const TIMED_OUT: &str = "timed out waiting for an operation of the select";

impl fmt::Display for TrySelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NONE_POSSIBLE)
    }
}

impl Error for TrySelectError {}

impl fmt::Display for SelectTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(TIMED_OUT)
    }
}

impl Error for SelectTimeoutError {}

impl fmt::Display for TryReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NONE_POSSIBLE)
    }
}

impl Error for TryReadyError {}

impl fmt::Display for ReadyTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(TIMED_OUT)
    }
}

impl Error for ReadyTimeoutError {}
