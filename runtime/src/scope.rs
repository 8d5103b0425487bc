//! Job: goroutines that may borrow from their parent, as `std::thread::scope`.
//! Layer: L4 (API)
//! Not here: plain spawning (`task`).
//! Invariants
//!   SO1  `running` counts the goroutines that may still touch something of 'scope or 'env; each
//!        decrements it as its very last act, after its closure and everything it owned are gone.
//!   SO2  `scope` does not return, not even by a panic, before `running` is 0.
//!   SO3  What ends a scope early (an error of its body, a panic of anybody in it) ends its context
//!        before `scope` waits: children that look at it do not keep the scope open.
//! Orderings
//!   E1  finish: running.fetch_sub(Release) -> scope: running.load(Acquire)   all borrows ended

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::builder::Builder;
use crate::context::{self, CancelHandle, Context};
use crate::goroutine::Goroutine;
use crate::sched::ext::Ext;
use crate::sched::g::WaitReason;
use crate::sched::park;
use crate::sys::clock::NEVER;
use crate::task::{JoinHandle, Result, start};

struct Shared {
    running: AtomicUsize,
    panicked: AtomicBool,
    /// Where the scope's owner waits for `running` to become 0.
    owner: Arc<Ext>,
    /// Ends the scope's context, if it has one.
    cancel: Option<CancelHandle>,
}

impl Shared {
    fn cancel(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }

    fn finish(&self, panicked: bool) {
        if panicked {
            self.panicked.store(true, Ordering::Relaxed); // ordered by E1
        }
        let owner = self.owner.clone(); // the scope may be gone after the decrement
        if self.running.fetch_sub(1, Ordering::Release) == 1 {
            // E1
            owner.unpark();
        }
    }
}

/// Where scoped goroutines are started; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    shared: Arc<Shared>,
    context: Context,
    // Invariant in both lifetimes, as std's.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, which may start goroutines that borrow what `f` can borrow, and waits for all of
/// them. Parks a goroutine, blocks a plain thread.
///
/// # Panics
/// If `f` panics, or a goroutine whose handle was not joined did; all are waited for first.
///
/// ```
/// let mut counts = [0; 4];
/// gusty::scope(|s| {
///     for (i, count) in counts.iter_mut().enumerate() {
///         s.spawn(move || *count = i * i);
///     }
/// });
/// assert_eq!(counts, [0, 1, 4, 9]);
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    run(context::background(), None, f, |_| false)
}

/// As [`scope`], with a [context](Scope::context) below `ctx` that tells the children when to stop:
/// it ends if the body returns an error, if the body or a child panics, or if `ctx` ends. Children
/// that wait under it, or look at it, then return early, and so does the scope: leaving its body by
/// `?` keeps nobody waiting and leaves nobody behind.
///
/// If the body returns `Ok`, the children go on to their ends; the context ends after them.
///
/// # Errors
/// What the body returned, after all children have ended.
///
/// # Panics
/// As [`scope`].
///
/// ```
/// use gusty::{context, scope_ctx, time};
///
/// let failed: Result<(), &str> = scope_ctx(&context::background(), |s| {
///     // Would go on for good, but for the error below.
///     s.spawn(|| time::sleep_ctx(s.context(), time::Duration::MAX));
///     Err("cannot connect")?;
///     Ok(())
/// });
/// assert_eq!(failed, Err("cannot connect"));
/// ```
pub fn scope_ctx<'env, F, T, E>(ctx: &Context, f: F) -> std::result::Result<T, E>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> std::result::Result<T, E>,
{
    let (ctx, cancel) = context::with_cancel(ctx);
    run(ctx, Some(cancel), f, std::result::Result::is_err)
}

fn run<'env, F, T>(
    context: Context,
    cancel: Option<CancelHandle>,
    f: F,
    is_early: impl FnOnce(&T) -> bool,
) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let shared = Arc::new(Shared {
        running: AtomicUsize::new(0),
        panicked: AtomicBool::new(false),
        owner: Ext::new(0, None),
        cancel,
    });
    let scope = Scope { shared, context, scope: PhantomData, env: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    if result.as_ref().map_or(true, is_early) {
        scope.shared.cancel(); // SO3
    }
    while scope.shared.running.load(Ordering::Acquire) != 0 {
        // E1, SO2
        scope.shared.owner.park(park::current(), NEVER, WaitReason::Scope);
    }
    scope.shared.cancel(); // whatever else looks at the scope's context: it is over
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.shared.panicked.load(Ordering::Relaxed) => {
            panic!("a scoped goroutine panicked")
        }
        Ok(value) => value,
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a goroutine that may borrow from the scope. Otherwise as [`crate::spawn`].
    ///
    /// # Panics
    /// As [`crate::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.start(Builder::new(), f, Location::caller()) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot spawn a goroutine: {error}"),
        }
    }

    /// The scope's context: of [`scope_ctx`], one that ends when the scope is to be left early; of
    /// [`scope`], one that never ends.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn start<F, T>(
        &'scope self,
        builder: Builder,
        f: F,
        site: &'static Location<'static>,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let settings = builder.into_settings()?;
        let packet = Arc::new(Packet { result: UnsafeCell::new(None) });
        let (theirs, shared) = (packet.clone(), self.shared.clone());
        self.shared.running.fetch_add(1, Ordering::Relaxed); // before the goroutine can finish
        let body = move || {
            let result = catch_unwind(AssertUnwindSafe(f));
            let panicked = result.is_err();
            if panicked {
                shared.cancel(); // SO3
            }
            // SAFETY: the handle looks only after this goroutine has exited.
            unsafe { *theirs.result.get() = Some(result) };
            let unhandled = Arc::into_inner(theirs).is_some_and(Packet::discard);
            shared.finish(panicked && unhandled); // SO1
        };
        match start(body, settings, site) {
            Ok(handle) => {
                let (packet, shared) = (Some(packet), self.shared.clone());
                Ok(ScopedJoinHandle { handle, packet, shared, scope: PhantomData })
            }
            Err(error) => {
                self.shared.finish(false);
                Err(error)
            }
        }
    }
}

impl Builder {
    /// As [`Builder::spawn`], in a [`scope`].
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.start(self, f, Location::caller())
    }
}

/// The result of a scoped goroutine, shared with its handle.
struct Packet<T> {
    result: UnsafeCell<Option<Result<T>>>,
}

// SAFETY: the goroutine writes before it exits, the handle reads after that.
unsafe impl<T: Send> Sync for Packet<T> {}

impl<T> Packet<T> {
    /// Drops a result nobody took; true if it was a panic.
    fn discard(self) -> bool {
        let result = self.result.into_inner();
        let panicked = matches!(result, Some(Err(_)));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(result))).map_err(Box::leak);
        panicked
    }
}

/// Owns the right to join a scoped goroutine.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<()>,
    /// `None` once joined.
    packet: Option<Arc<Packet<T>>>,
    shared: Arc<Shared>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the goroutine to end; see [`JoinHandle::join`].
    ///
    /// # Errors
    /// The goroutine panicked.
    pub fn join(mut self) -> Result<T> {
        self.handle.wait();
        let packet = self.packet.take().and_then(Arc::into_inner).expect("its other owner is gone");
        packet.result.into_inner().expect("an exited goroutine left a result")
    }

    /// Whether the goroutine has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The goroutine's identity.
    pub fn goroutine(&self) -> Goroutine {
        self.handle.goroutine()
    }

    /// As [`goroutine`](ScopedJoinHandle::goroutine), borrowed and under std's name.
    pub fn thread(&self) -> &Goroutine {
        self.handle.thread()
    }
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    /// Detaches the goroutine; the scope still waits for it, and answers for its panic.
    fn drop(&mut self) {
        if self.packet.take().and_then(Arc::into_inner).is_some_and(Packet::discard) {
            self.shared.panicked.store(true, Ordering::Relaxed); // read by this thread of control
        }
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.handle, f)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.shared.running.load(Ordering::Relaxed);
        f.debug_struct("Scope").field("running", &running).finish_non_exhaustive()
    }
}
