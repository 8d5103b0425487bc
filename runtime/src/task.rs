//! Job: goroutines as the user sees them: `spawn` and `JoinHandle`.
//! Layer: L3 (blocking)
//! Not here: settings (`builder`), the header and the queues (`sched`), scoped goroutines (`scope`).
//! Invariants
//!   TK1  A header's inline words (or the box they point to) hold the closure until it runs, then
//!        the result while OUTPUT_LIVE is set. The type parameters are fixed by the `Task`.
//!   TK2  The `JoinHandle` owns the result once `join` is EXITED; before that the goroutine does.
//! Orderings
//!   E1  finish: join.swap(EXITED) -> join: join.load(Acquire)   (partner: sched/run.rs)

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crate::config;
use crate::goroutine::Goroutine;
use crate::sched::dormant::Dormant;
use crate::sched::g::{
    G, GRef, INLINE_WORDS, JOIN_DETACHED, JOIN_EXITED, JOIN_OPEN, JOIN_WAKER, OUTPUT_LIVE, Task,
    WaitReason,
};
use crate::sched::gslab::NoHeader;
use crate::sched::{lifecycle, park, ready, spawn as sched_spawn};
use crate::stack::SizeClass;

/// What a finished goroutine leaves: its value, or the payload of its panic.
pub type Result<T> = std::result::Result<T, Box<dyn Any + Send + 'static>>;

/// Closure first, result later (TK1).
union Stage<F, T> {
    closure: ManuallyDrop<F>,
    output: ManuallyDrop<Result<T>>,
}

struct Typed<F, T>(PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> Typed<F, T> {
    /// Whether the stage fits into the header.
    const INLINE: bool =
        size_of::<Stage<F, T>>() <= INLINE_WORDS * 8 && align_of::<Stage<F, T>>() <= 16;

    const TASK: &'static Task =
        &Task { run: Self::run, drop_output: Self::drop_output, take_output: Self::take_output };

    /// # Safety
    /// The header's owner calls, for a header filled by `fill`.
    unsafe fn stage(g: &G) -> *mut Stage<F, T> {
        let words = g.inline.get();
        if Self::INLINE {
            words.cast()
        } else {
            // SAFETY: `fill` stored the box's address there.
            let bits = unsafe { (*words)[0].assume_init() };
            std::ptr::with_exposed_provenance_mut(bits as usize)
        }
    }

    /// Room for a stage that does not fit into a header.
    fn room() -> Option<Box<MaybeUninit<Stage<F, T>>>> {
        (!Self::INLINE).then(Box::new_uninit)
    }

    /// `room` is what [`Typed::room`] returned. Allocates nothing.
    fn fill(g: &G, closure: F, room: Option<Box<MaybeUninit<Stage<F, T>>>>) {
        let stage = Stage { closure: ManuallyDrop::new(closure) };
        let words = g.inline.get();
        if let Some(room) = room {
            let bits = Box::into_raw(Box::write(room, stage)).expose_provenance() as u64;
            // SAFETY: the header is the caller's alone.
            unsafe { (*words)[0].write(bits) };
        } else {
            // SAFETY: it fits, and the header is the caller's alone.
            unsafe { words.cast::<Stage<F, T>>().write(stage) };
        }
    }

    /// # Safety
    /// A boxed stage that holds nothing any more; called once.
    unsafe fn free_box(stage: *mut Stage<F, T>) {
        if !Self::INLINE {
            // SAFETY: made by Box in `fill`; a union drops nothing.
            drop(unsafe { Box::from_raw(stage) });
        }
    }

    /// Runs the closure; see [`Task::run`].
    unsafe fn run(g: &G) {
        // SAFETY: the goroutine owns its header while it runs (G2).
        let stage = unsafe { Self::stage(g) };
        // SAFETY: TK1: the closure, moved out once.
        let closure = unsafe { ManuallyDrop::take(&mut (*stage).closure) };
        let result = catch_unwind(AssertUnwindSafe(closure));
        if g.join.load(Ordering::Acquire) == JOIN_DETACHED {
            // partner: the swap in JoinHandle::drop
            discard(result);
            // SAFETY: empty now, and nobody will ask for it.
            unsafe { Self::free_box(stage) };
            return;
        }
        let live = !Self::INLINE || std::mem::needs_drop::<T>() || result.is_err();
        // SAFETY: TK1: the closure is gone.
        unsafe { (*stage).output = ManuallyDrop::new(result) };
        g.set_flag(OUTPUT_LIVE, live);
    }

    unsafe fn drop_output(g: &G) {
        // SAFETY: the caller owns a header with a live output (TK1, TK2).
        unsafe {
            let stage = Self::stage(g);
            let output = ManuallyDrop::take(&mut (*stage).output);
            Self::free_box(stage);
            discard(output);
        }
    }

    unsafe fn take_output(g: &G, to: *mut ()) {
        // SAFETY: the caller owns an exited header (TK2) and passes room for a Result<T>.
        unsafe {
            let stage = Self::stage(g);
            to.cast::<Result<T>>().write(ManuallyDrop::take(&mut (*stage).output));
            Self::free_box(stage);
        }
    }
}

/// Drops a result nobody wants; a panic in its destructor ends here (the hook has reported it).
fn discard<T>(result: Result<T>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
        // A payload whose own drop panics would panic here: it is leaked instead.
        Box::leak(payload);
    }
}

/// Starts a goroutine that runs `f`, and returns a handle to join it.
///
/// Costs about 40 ns. Never blocks, except at the limit on goroutines
/// (`GUSTY_MAX_GOROUTINES`), where a goroutine first lets others run to their end. Dropping the
/// handle detaches the goroutine. May be called from anywhere: goroutines, plain threads,
/// destructors. When `main` returns, the process ends and running goroutines end with it.
///
/// # Panics
/// At the limit on goroutines, or if the kernel gives no memory; [`Builder::spawn`](crate::Builder::spawn)
/// returns an error instead.
///
/// ```
/// let answer = gusty::spawn(|| 6 * 7).join().unwrap();
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match start(f, Settings::default(), Location::caller()) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a goroutine: {error}"),
    }
}

/// How a goroutine is made.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) class: Option<SizeClass>,
    /// `LIGHT`, `PINNED`.
    pub(crate) flags: u8,
}

/// # Errors
/// See [`Builder::spawn`](crate::Builder::spawn).
#[inline]
pub(crate) fn start<F: FnOnce() -> T, T>(
    f: F,
    settings: Settings,
    site: &'static Location<'static>,
) -> io::Result<JoinHandle<T>> {
    lifecycle::ensure_started();
    let class = settings.class.unwrap_or_else(|| config::settings().stack);
    let (flags, name) = (settings.flags, settings.name);
    let task = Typed::<F, T>::TASK;
    let room = Typed::<F, T>::room();
    match sched_spawn::spawn(task, class, flags, name, site, |g| Typed::<F, T>::fill(g, f, room)) {
        Ok(g) => Ok(JoinHandle { g, _result: PhantomData }),
        Err(NoHeader::Limit(limit)) => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("the limit of {limit} goroutines is reached (GUSTY_MAX_GOROUTINES)"),
        )),
        Err(NoHeader::Memory(errno)) => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Owns the right to join a goroutine; dropping it detaches the goroutine.
///
/// Also a [`Future`] of the same result, for async code outside the runtime.
pub struct JoinHandle<T> {
    g: GRef,
    _result: PhantomData<Result<T>>,
}

// SAFETY: the handle gives out `T` and `&Goroutine` only; whoever spawns demands `T: Send`.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: `&JoinHandle` gives no access to the result.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Waits for the goroutine to end and returns its value, or `Err` with the panic's payload.
    /// Parks a goroutine, blocks a plain thread.
    ///
    /// # Errors
    /// The goroutine panicked.
    pub fn join(self) -> Result<T> {
        self.wait();
        self.take()
    }

    /// Whether the goroutine has ended, so that `join` would return at once. Never blocks.
    pub fn is_finished(&self) -> bool {
        self.g.join.load(Ordering::Acquire) == JOIN_EXITED // E1
    }

    /// The goroutine's identity: id, name, `unpark`.
    pub fn goroutine(&self) -> Goroutine {
        self.thread().clone()
    }

    /// As [`goroutine`](JoinHandle::goroutine), borrowed and under std's name.
    pub fn thread(&self) -> &Goroutine {
        // SAFETY: the header is freed by the handle or after it (SP1).
        unsafe { Goroutine::of(&self.g) }
    }

    pub(crate) fn wait(&self) {
        while !self.is_finished() {
            self.forget_waker();
            let (g, me) = (self.g, park::current());
            // SAFETY: `finish` readies the waiter that it finds, once; if it came first, we do.
            unsafe {
                park::park(WaitReason::Join, move || {
                    let (ok, err) = (Ordering::AcqRel, Ordering::Acquire); // E1
                    let seen = g.join.compare_exchange(JOIN_OPEN, me.to_bits(), ok, err);
                    if seen.is_err() {
                        ready::ready(me);
                    }
                });
            }
        }
    }

    /// Takes out a waker that an earlier `poll` left: from now on `wait` is who waits.
    fn forget_waker(&self) {
        let seen = self.g.join.load(Ordering::Acquire); // E1
        if seen & JOIN_WAKER != 0 {
            let (ok, err) = (Ordering::AcqRel, Ordering::Relaxed); // E1
            if self.g.join.compare_exchange(seen, JOIN_OPEN, ok, err).is_ok() {
                // SAFETY: taken out by the exchange.
                drop(unsafe { take_waker(seen) });
            }
        }
    }

    /// The result of a goroutine that has ended.
    fn take(self) -> Result<T> {
        let this = ManuallyDrop::new(self);
        let task = this.g.task.get().expect("set at spawn");
        let mut out = MaybeUninit::<Result<T>>::uninit();
        // SAFETY: TK2; the handle's T is the task's. The header is freed once (SP1): not by drop.
        unsafe {
            (task.take_output)(&this.g, out.as_mut_ptr().cast());
            this.g.set_flag(OUTPUT_LIVE, false);
            sched_spawn::free(this.g);
            out.assume_init()
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        match self.g.join.swap(JOIN_DETACHED, Ordering::AcqRel) {
            // E1, and partner: the loads in `run` and `finish`
            JOIN_OPEN => {}
            JOIN_EXITED => {
                if self.g.flag(OUTPUT_LIVE) {
                    let task = self.g.task.get().expect("set at spawn");
                    // SAFETY: TK2.
                    unsafe { (task.drop_output)(&self.g) };
                    self.g.set_flag(OUTPUT_LIVE, false);
                }
                sched_spawn::free(self.g);
            }
            // SAFETY: a joiner borrows the handle, so this is a waker that `poll` left.
            tagged => drop(unsafe { take_waker(tagged) }),
        }
    }
}

/// A goroutine that will call `waker`, tagged for `join`. It is made by who polls: the exit, which finds
/// it, is in a section (RN4 of `sched::run`).
#[track_caller]
fn leave_waker(waker: Waker) -> usize {
    Dormant::new(Location::caller(), move || waker.wake()).into_bits() | JOIN_WAKER
}

/// # Safety
/// `tagged` was taken out of `join`, or not put there, and came from `leave_waker`.
unsafe fn take_waker(tagged: usize) -> Dormant {
    debug_assert!(tagged & JOIN_WAKER != 0);
    // SAFETY: promised by the caller.
    unsafe { Dormant::from_bits(tagged & !JOIN_WAKER) }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    /// # Panics
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let join = &self.g.join;
        let mut seen = join.load(Ordering::Acquire); // E1
        if seen != JOIN_EXITED {
            let tagged = leave_waker(cx.waker().clone());
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire); // E1
            while seen != JOIN_EXITED {
                match join.compare_exchange(seen, tagged, ok, err) {
                    Ok(JOIN_OPEN) => return Poll::Pending,
                    Ok(old) => {
                        // SAFETY: taken out by the exchange; only `poll` stores here meanwhile.
                        drop(unsafe { take_waker(old) });
                        return Poll::Pending;
                    }
                    Err(now) => seen = now,
                }
            }
            // SAFETY: not published.
            drop(unsafe { take_waker(tagged) });
        }
        let task = self.g.task.get().expect("polled again after it was ready");
        let mut out = MaybeUninit::<Result<T>>::uninit();
        // SAFETY: TK2. The task is taken away so that a second poll panics and drop finds nothing.
        let result = unsafe {
            (task.take_output)(&self.g, out.as_mut_ptr().cast());
            out.assume_init()
        };
        self.g.set_flag(OUTPUT_LIVE, false);
        self.g.task.set(None);
        Poll::Ready(result)
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.g.id()).finish_non_exhaustive()
    }
}
