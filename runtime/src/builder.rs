//! Job: settings for one goroutine.
//! Layer: L3 (blocking)
//! Not here: what they do (`sched`), the process's settings (`config`).

use std::io;
use std::panic::Location;

use crate::sched::g::{LIGHT, PINNED};
use crate::stack::SizeClass;
use crate::task::{JoinHandle, Settings, start};

/// Settings for one goroutine, as [`std::thread::Builder`].
///
/// ```
/// let handle = gusty::Builder::new()
///     .name("worker")
///     .stack_size(64 * 1024)
///     .spawn(|| gusty::current().name().map(str::to_owned))
///     .unwrap();
/// assert_eq!(handle.join().unwrap().as_deref(), Some("worker"));
/// ```
#[derive(Debug, Default, Clone)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    flags: u8,
}

impl Builder {
    /// Default settings.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A name for panic messages, overflow reports and dumps.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The most stack this goroutine may use, in bytes, rounded up to a power of two of at least
    /// 64 KiB. Only pages that are touched cost memory.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// The goroutine stays on one OS thread: the one that runs it first.
    ///
    /// For code that must not change threads but does not mind that others run on the same thread
    /// while it waits. It costs balance: if its thread is busy, no other can take it over, and each
    /// of its wake-ups takes a lock and may have to wake that thread. One that computes for long keeps
    /// the others of its thread waiting, though not those of other threads.
    ///
    /// ```
    /// let pinned = gusty::Builder::new().pinned().spawn(|| {
    ///     let thread = unsafe { libc::gettid() };
    ///     gusty::yield_now();
    ///     assert_eq!(unsafe { libc::gettid() }, thread);
    /// });
    /// pinned.unwrap().join().unwrap();
    /// ```
    pub fn pinned(mut self) -> Builder {
        self.flags |= PINNED;
        self
    }

    /// The goroutine has no thread-local storage of its own: it uses that of the thread it runs on,
    /// which changes when it parks.
    ///
    /// Its switches do without setting a register: for masses of tiny goroutines that only compute
    /// and use this crate's channels, locks and sockets. In `go!`: `go!(unsafe light, ..)`.
    ///
    /// # Safety
    /// Over every call that may park, the closure and whatever it calls must not keep anything that
    /// is tied to the thread's thread-locals: a reference into one, a borrow of a `RefCell` in one,
    /// `errno`, `thread::current()`, a lock that records its thread. The compiler may itself keep the
    /// address of a thread-local: functions that use one must not be inlined into ones that park.
    pub unsafe fn light(mut self) -> Builder {
        self.flags |= LIGHT;
        self
    }

    /// Starts a goroutine that runs `f`. See [`spawn`](crate::spawn).
    ///
    /// # Errors
    /// `InvalidInput` for a stack size of 0 or above 1 GiB, `OutOfMemory` at the limit on
    /// goroutines, the kernel's error if it gives no memory.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let site = Location::caller();
        start(f, self.into_settings()?, site)
    }

    /// As [`Builder::spawn`], for a closure and a result that may borrow.
    ///
    /// # Safety
    /// The goroutine has ended before anything that `f` or `T` borrows is gone, and the handle,
    /// with the result in it, has been joined or dropped: also if the caller panics.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let site = Location::caller();
        start(f, self.into_settings()?, site)
    }

    pub(crate) fn into_settings(self) -> io::Result<Settings> {
        let class = self.stack_size.map(SizeClass::for_size).transpose();
        let class = class.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Settings { name: self.name, class, flags: self.flags })
    }
}
