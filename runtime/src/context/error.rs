//! Job: why a context ended.
//! Layer: L3 (blocking)

use std::error::Error as StdError;
use std::sync::Arc;
use std::{fmt, io};

/// Why a context ended. What led to it is [`Context::cause`](super::Context::cause).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Somebody cancelled it, or one that it descends from.
    Cancelled,
    /// Its deadline passed, or that of one that it descends from.
    DeadlineExceeded,
}

/// What led to the end of a context, shared by all that descend from it.
pub type Cause = Arc<dyn StdError + Send + Sync>;

impl Error {
    /// Whether a deadline passed.
    pub fn is_timeout(self) -> bool {
        self == Error::DeadlineExceeded
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Cancelled => "context cancelled",
            Error::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl StdError for Error {}

/// `TimedOut` or `Other`; never `Interrupted`, after which callers try again.
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
        io::Error::new(kind, error)
    }
}

/// How and why a context ended.
#[derive(Clone)]
pub(super) struct Reason {
    pub(super) error: Error,
    pub(super) cause: Option<Cause>,
}

impl Reason {
    pub(super) fn cause(&self) -> Cause {
        self.cause.clone().unwrap_or_else(|| Arc::new(self.error))
    }
}
