//! [`std::thread`]'s names for goroutines: a program moves by changing one `use`.
//!
//! ```
//! use gusty::thread; // was: use std::thread;
//!
//! let worker = thread::Builder::new()
//!     .name("worker".into())
//!     .spawn(|| thread::current().name().map(str::to_owned))
//!     .unwrap();
//! assert_eq!(worker.join().unwrap().as_deref(), Some("worker"));
//!
//! let mut squares = [0; 4];
//! thread::scope(|s| {
//!     for (i, square) in squares.iter_mut().enumerate() {
//!         s.spawn(move || *square = i * i);
//!     }
//! });
//! assert_eq!(squares, [0, 1, 4, 9]);
//! ```
//!
//! The types are those at the crate's root; only [`Builder`] differs, in that its `name` takes a
//! `String`. Everything works on plain threads, too: there `park`, `sleep` and the like block the
//! thread, and `spawn` starts a goroutine.
//!
//! What differs from std:
//!
//! - [`panicking`], [`LocalKey`] and [`thread_local!`] are std's own: what a goroutine sees of
//!   thread-locals is on the page about soundness in the documentation.
//! - A stack size is rounded up to a power of two, and one above 1 GiB is an error.
//! - `sleep_ms` and `park_timeout_ms`, deprecated in std, are left out.
//! - Ids and the text of `Debug` say `Goroutine` where std says `Thread`.

// Job: `std::thread` for goroutines: names, and a builder with std's signatures.
// Layer: L4 (API)
// Not here: what stands behind the names (`task`, `scope`, `goroutine`).

use std::io;
use std::num::NonZero;

use crate::builder;
use crate::runtime;

#[doc(no_inline)]
pub use std::thread::{AccessError, LocalKey, panicking};
#[doc(no_inline)]
pub use std::thread_local;

pub use crate::goroutine::{
    Goroutine as Thread, GoroutineId as ThreadId, current, park, park_timeout, yield_now,
};
pub use crate::scope::{Scope, ScopedJoinHandle, scope};
pub use crate::task::{JoinHandle, Result, spawn};
pub use crate::time::{sleep, sleep_until};

/// The least stack there is: std, too, rounds up what is too little.
const LEAST_STACK: usize = 1;

/// How many goroutines run at the same time: GOMAXPROCS, which is the number of CPUs that the
/// process may use, unless it was set.
///
/// Starts the runtime if nothing has yet. Never blocks.
///
/// # Errors
/// None; the type is that of [`std::thread::available_parallelism`].
///
/// ```
/// let n = gusty::thread::available_parallelism().unwrap();
/// assert_eq!(n.get(), gusty::runtime::gomaxprocs(0));
/// ```
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    NonZero::new(runtime::gomaxprocs(0)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Settings for one goroutine, with exactly the signatures of [`std::thread::Builder`].
///
/// ```
/// let builder = gusty::thread::Builder::new().name("f".into()).stack_size(32 * 1024);
/// assert_eq!(builder.spawn(|| 1).unwrap().join().unwrap(), 1);
/// ```
#[derive(Debug)]
#[must_use = "must eventually spawn the goroutine"]
pub struct Builder {
    settings: builder::Builder,
    has_nul: bool,
}

impl Builder {
    /// Default settings: no name, the default size of stack.
    #[expect(clippy::new_without_default, reason = "std's has no Default either")]
    pub fn new() -> Builder {
        Builder { settings: builder::Builder::new(), has_nul: false }
    }

    /// A name for panic messages, overflow reports and dumps.
    pub fn name(self, name: String) -> Builder {
        let has_nul = name.contains('\0');
        Builder { settings: self.settings.name(name), has_nul }
    }

    /// The most stack this goroutine may use, in bytes, rounded up to what there is: 64 KiB at
    /// least. Only pages that are touched cost memory.
    pub fn stack_size(self, size: usize) -> Builder {
        Builder { settings: self.settings.stack_size(size.max(LEAST_STACK)), ..self }
    }

    /// Starts a goroutine that runs `f`; see [`spawn`].
    ///
    /// # Errors
    /// See [`crate::Builder::spawn`].
    ///
    /// # Panics
    /// The name contains a NUL, as in std.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.checked().spawn(f)
    }

    /// As [`spawn`](Builder::spawn), for a closure and a result that may borrow.
    ///
    /// # Safety
    /// See [`crate::Builder::spawn_unchecked`].
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Panics
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        // SAFETY: promised by the caller.
        unsafe { self.checked().spawn_unchecked(f) }
    }

    /// As [`spawn`](Builder::spawn), in a [`scope`].
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Panics
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.checked().spawn_scoped(scope, f)
    }

    #[track_caller]
    fn checked(self) -> builder::Builder {
        assert!(!self.has_nul, "thread name may not contain interior null bytes");
        self.settings
    }
}
