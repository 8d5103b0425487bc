//! Job: `ErrGroup`: goroutines that work at one thing, and the first error among them.
//! Layer: L3 (blocking)
//! Invariants
//!   EG1  A goroutine of the group stores its failure, then gives its place back, then is done: who
//!        has waited finds both.
//! Source: Go's x/sync/errgroup. A panic ends the group there and here; here `wait` resumes it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::permit::OwnedSemaphorePermit;
use super::semaphore::Semaphore;
use super::wait_group::WaitGroup;
use crate::context::{self, CancelHandle, Context};
use crate::sys::lock::SpinLock;
use crate::task::{self, Settings};

/// A [`WaitGroup`] whose goroutines can fail: [`wait`](ErrGroup::wait) returns the first error.
///
/// Made [`with_context`](ErrGroup::with_context), it also ends that context with the first error, so
/// that the others stop. A panic counts as an error, and `wait` resumes it. Dropping the group
/// without waiting leaves its goroutines to themselves, and their context ends when the last of
/// them does.
///
/// ```
/// use gusty::sync::ErrGroup;
///
/// let group = ErrGroup::new();
/// for text in ["1", "2", "x"] {
///     group.go(move || text.parse::<u8>().map(drop));
/// }
/// assert_eq!(group.wait(), "x".parse::<u8>().map(drop));
/// ```
pub struct ErrGroup<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    running: WaitGroup,
    limit: SpinLock<Option<Arc<Semaphore>>>,
    first: SpinLock<First<E>>,
    cancel: Option<CancelHandle>,
}

enum First<E> {
    None,
    Some(Failure<E>),
    /// Handed to who waited.
    Taken,
}

enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<E> Shared<E> {
    /// Keeps the first failure, and ends the context. A later one is dropped.
    fn fail(&self, failure: Failure<E>) {
        let late = {
            let mut first = self.first.lock();
            match *first {
                First::None => {
                    *first = First::Some(failure);
                    None
                }
                _ => Some(failure),
            }
        };
        match late {
            None => self.end_context(),
            // A destructor of a late failure that panics concerns nobody any more.
            Some(late) => _ = catch_unwind(AssertUnwindSafe(|| drop(late))).map_err(Box::leak),
        }
    }

    fn end_context(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }

    /// What a finished group says.
    fn result(&self) -> Result<(), E> {
        self.end_context();
        let first = {
            let mut first = self.first.lock();
            match *first {
                First::Some(_) => std::mem::replace(&mut *first, First::Taken),
                _ => First::None,
            }
        };
        match first {
            First::Some(Failure::Error(error)) => Err(error),
            First::Some(Failure::Panic(payload)) => resume_unwind(payload),
            _ => Ok(()),
        }
    }
}

impl<E: Send + 'static> ErrGroup<E> {
    /// A group without a limit and without a context.
    pub fn new() -> ErrGroup<E> {
        ErrGroup::with_cancel(None)
    }

    /// A group, and a context below `parent` that ends with the group's first error, and at the
    /// latest when [`wait`](ErrGroup::wait) returns.
    ///
    /// ```
    /// use gusty::{context, sync::ErrGroup, time};
    ///
    /// let (group, ctx) = ErrGroup::with_context(&context::background());
    /// group.go(|| Err("no route"));
    /// group.go(move || {
    ///     // Stops when the other fails.
    ///     time::sleep_ctx(&ctx, time::Duration::MAX).map_err(|_| "stopped")
    /// });
    /// assert_eq!(group.wait(), Err("no route"));
    /// ```
    pub fn with_context(parent: &Context) -> (ErrGroup<E>, Context) {
        let (ctx, cancel) = context::with_cancel(parent);
        (ErrGroup::with_cancel(Some(cancel)), ctx)
    }

    fn with_cancel(cancel: Option<CancelHandle>) -> ErrGroup<E> {
        let (running, first) = (WaitGroup::new(), SpinLock::new(First::None));
        ErrGroup { shared: Arc::new(Shared { running, limit: SpinLock::new(None), first, cancel }) }
    }

    /// From now on, at most `limit` of its goroutines exist at a time; `usize::MAX` is no limit.
    /// With 0, none is started any more.
    ///
    /// # Panics
    /// Some are running.
    #[track_caller]
    pub fn set_limit(&self, limit: usize) {
        let idle = self.shared.running.wait_timeout(Duration::ZERO);
        assert!(idle, "the limit of an ErrGroup is changed while its goroutines run");
        let new = (limit <= Semaphore::MAX_PERMITS).then(|| Arc::new(Semaphore::new(limit)));
        let old = std::mem::replace(&mut *self.shared.limit.lock(), new);
        drop(old);
    }

    fn limit(&self) -> Option<Arc<Semaphore>> {
        self.shared.limit.lock().clone()
    }

    /// Starts a goroutine of the group; at the [limit](ErrGroup::set_limit), waits until another one
    /// has ended: parks a goroutine, blocks a plain thread. (A goroutine of the group that starts
    /// others waits with its own place taken: at a limit of 1, for good.)
    ///
    /// # Panics
    /// As [`crate::spawn`].
    #[track_caller]
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        self.start(self.limit().map(Semaphore::acquire_owned), f, Location::caller());
    }

    /// As [`go`](ErrGroup::go), unless the limit is reached: then it returns false, and `f` is
    /// dropped. Never waits.
    ///
    /// # Panics
    /// As [`crate::spawn`].
    ///
    /// ```
    /// let group = gusty::sync::ErrGroup::<()>::new();
    /// group.set_limit(0);
    /// assert!(!group.try_go(|| unreachable!()));
    /// ```
    #[must_use = "false says that nothing was started"]
    #[track_caller]
    pub fn try_go<F>(&self, f: F) -> bool
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let place = match self.limit() {
            None => None,
            Some(limit) => match limit.try_acquire_many_owned(1) {
                None => return false,
                place => place,
            },
        };
        self.start(place, f, Location::caller());
        true
    }

    #[track_caller]
    fn start<F>(&self, place: Option<OwnedSemaphorePermit>, f: F, site: &'static Location<'static>)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let shared = self.shared.clone();
        shared.running.add(1);
        let body = move || {
            match catch_unwind(AssertUnwindSafe(f)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => shared.fail(Failure::Error(error)),
                Err(payload) => shared.fail(Failure::Panic(payload)),
            }
            drop(place); // EG1
            shared.running.done();
        };
        if let Err(error) = task::start(body, Settings::default(), site) {
            self.shared.running.done();
            panic!("cannot spawn a goroutine: {error}");
        }
    }

    /// Waits until all have ended. Parks a goroutine, blocks a plain thread. The group can be used
    /// again, but an error that was returned once is not returned again, nor is a later one.
    ///
    /// # Errors
    /// The first error that one of them returned.
    ///
    /// # Panics
    /// Resumes the panic of one of them, if that came before any error.
    pub fn wait(&self) -> Result<(), E> {
        self.shared.running.wait();
        self.shared.result()
    }

    /// As [`wait`](ErrGroup::wait), for at most `timeout`; `None` if that passed first.
    ///
    /// # Panics
    /// As [`wait`](ErrGroup::wait).
    ///
    /// ```
    /// use std::time::Duration;
    /// let group = gusty::sync::ErrGroup::<()>::new();
    /// assert_eq!(group.wait_timeout(Duration::from_millis(1)), Some(Ok(())));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<(), E>> {
        self.shared.running.wait_timeout(timeout).then(|| self.shared.result())
    }
}

impl<E: Send + 'static> Default for ErrGroup<E> {
    fn default() -> ErrGroup<E> {
        ErrGroup::new()
    }
}

impl<E> fmt::Debug for ErrGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrGroup").field("running", &self.shared.running).finish_non_exhaustive()
    }
}
