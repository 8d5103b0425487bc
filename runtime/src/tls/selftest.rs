//! Job: try a block on this system before anything depends on it.
//! Layer: L0 (machine)
//! Invariants
//!   SF1  What can go wrong is returned, not asserted: the runtime then does without blocks.
//!
//! One context runs on a block, suspends itself in the middle of everything, is resumed on another
//! thread and must notice nothing of it.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::ThreadId;

use super::block::{self, Block};
use super::fsbase::{fs, set_fs};
use super::host::{Host, errno, set_errno};
use super::thread;
use super::words::{self, DTOR, SCHED};
use crate::arch::{self, Exit};

const STACK: usize = 256 << 10;
/// Initial value of a thread-local, and what the context makes of it.
const INITIAL: u64 = 0x6775_7374_7921;
const CHANGED: u64 = 0x7461_6c6b;
/// A size that nothing else allocates, small enough to be cached.
const BLOCK_BYTES: usize = 936;
/// How often the context's mallocs are compared with the thread's before they count as separate.
const SHARE_TRIES: usize = 3;
/// What the scheduler's word holds meanwhile.
const MARK: usize = 0x5151;

std::thread_local! {
    static VALUE: Cell<u64> = const { Cell::new(INITIAL) };
    static DROPPED: Dropped = const { Dropped };
}

static DROPS: AtomicU32 = AtomicU32::new(0);

struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::Relaxed);
    }
}

/// What both sides know.
struct Test {
    /// Saved contexts: of the thread and of the block.
    home: Cell<usize>,
    away: Cell<usize>,
    host: Cell<usize>,
    fs: usize,
    starter: ThreadId,
    mutex: UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>,
    /// What was found wrong, in the words of `reason`.
    wrong: Cell<&'static str>,
    /// Freed by the thread right before; the context's malloc should return the same.
    freed: Cell<usize>,
    reused: Cell<u32>,
}

// SAFETY: the threads use it one after the other.
unsafe impl Sync for Test {}

/// Runs it on a clone (SF1). `Ok(true)` if goroutines can share malloc's caches, which is tried if
/// `shares` is set: more than once, for what malloc returns depends on other threads, too.
pub(super) fn on_clone(shares: bool) -> Result<bool, &'static str> {
    for _ in 0..if shares { SHARE_TRIES } else { 1 } {
        if on_one_clone()? && shares {
            return Ok(true);
        }
    }
    Ok(false)
}

fn on_one_clone() -> Result<bool, &'static str> {
    // Zeroed, so as good as a new mapping (BL1); aligned, as a stack's end is.
    let layout = std::alloc::Layout::from_size_align(STACK, 4096).map_err(|_| "no stack")?;
    // SAFETY: not of size 0.
    let base = unsafe { std::alloc::alloc_zeroed(layout) };
    if base.is_null() {
        return Err("no memory for the self-test");
    }
    let limit = base.expose_provenance();
    // SAFETY: the stack is ours, and nothing refers to it any more once the test is over.
    unsafe {
        let result = run_on(limit + STACK, limit);
        std::alloc::dealloc(base, layout);
        result
    }
}

/// The same on a thread's block, which it makes, on one of [`stacks_for_ever`].
pub(super) fn on_thread((top, limit): (usize, usize), shares: bool) -> Result<bool, &'static str> {
    // SAFETY: a stack of ours that stays (PT1).
    let reused = unsafe {
        thread::furnish(top, limit).map_err(|_| "no second thread can be made")?;
        run_on(top, limit)?
    };
    Ok(shares && reused)
}

/// Two stacks that are never unmapped (PT1): their tops and limits.
pub(super) fn stacks_for_ever() -> Option<[(usize, usize); 2]> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe { libc::mmap(ptr::null_mut(), 2 * STACK, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return None;
    }
    let [low, middle] = [0, STACK].map(|offset| base.expose_provenance() + offset);
    Some([(middle, low), (middle + STACK, middle)])
}

/// # Safety
/// As `block::bind`.
unsafe fn run_on(top: usize, limit: usize) -> Result<bool, &'static str> {
    // SAFETY: as for this function.
    let block = unsafe { block::bind(top, limit) };
    let test = Test {
        home: Cell::new(0),
        away: Cell::new(0),
        host: Cell::new(0),
        fs: block.fs(),
        starter: std::thread::current().id(),
        mutex: UnsafeCell::new(MaybeUninit::uninit()),
        wrong: Cell::new(""),
        freed: Cell::new(0),
        reused: Cell::new(0),
    };
    VALUE.set(1);
    let drops = DROPS.load(Ordering::Relaxed);
    enter(&test, block, true);
    if test.wrong.get().is_empty() {
        let shared = &test;
        let there = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .spawn_scoped(scope, move || enter(shared, block, false))?
                .join()
                .map_err(|_| std::io::ErrorKind::Other.into())
        });
        there.map_err(|_: std::io::Error| "no second thread for the self-test")?;
    }
    if !test.wrong.get().is_empty() {
        return Err(test.wrong.get());
    }
    // SAFETY: the context has returned.
    unsafe { block::reset(block) };
    let offset = VALUE.with(|value| ptr::from_ref(value).addr()).wrapping_sub(fs());
    let value = ptr::with_exposed_provenance::<u64>(block.fs().wrapping_add(offset));
    // SAFETY: this variable's place in a complete block.
    if unsafe { *value } != INITIAL || VALUE.get() != 1 {
        return Err("a thread-local was not reset");
    }
    if DROPS.load(Ordering::Relaxed) != drops + 1 {
        return Err("a thread-local was not dropped once");
    }
    Ok(test.reused.get() == 2)
}

/// Starts or resumes the context on the calling thread and returns when it suspends or ends.
fn enter(test: &Test, block: Block, start: bool) {
    let host = Host::here();
    // Twice: the first may fill the cache with other chunks of this size, and then its own does not
    // go there.
    for _ in 0..2 {
        // SAFETY: a valid size; freed at once.
        unsafe {
            let memory = std::hint::black_box(libc::malloc(BLOCK_BYTES));
            test.freed.set(memory.expose_provenance());
            libc::free(memory);
        }
    }
    test.host.set(host.fs);
    // SAFETY: nobody runs on the block; its context was saved by the other side or begins (SW1).
    // No thread-local is used here (SW2, FS2).
    unsafe {
        block::prepare(block, &host, MARK);
        set_fs(block.fs());
        if start {
            let argument = ptr::from_ref(test).expose_provenance();
            arch::start(test.home.as_ptr(), block.stack_top(), argument, body, 0);
        } else {
            arch::switch(test.home.as_ptr(), test.away.get(), 0, 0);
        }
        set_fs(host.fs);
    }
}

unsafe extern "C" fn body(test: usize) -> Exit {
    // SAFETY: `enter` passes the test, which outlives the context.
    let test = unsafe { &*ptr::with_exposed_provenance::<Test>(test) };
    let result = before(test).and_then(|own| {
        // SAFETY: `home` was saved by `enter` (SW1); the thread-locals used on both sides are this
        // block's.
        unsafe { arch::switch(test.away.as_ptr(), test.home.get(), 0, 0) };
        after(test, own)
    });
    if let Err(wrong) = result {
        test.wrong.set(wrong);
    }
    // SAFETY: the last thing here.
    unsafe { block::run_destructors() };
    Exit { to: test.home.get(), msg: 0 }
}

/// Is it as it should be?
fn check(right: bool, wrong: &'static str) -> Result<(), &'static str> {
    if right { Ok(()) } else { Err(wrong) }
}

#[inline(never)]
fn before(test: &Test) -> Result<ThreadId, &'static str> {
    try_malloc(test);
    check(fs() == test.fs, "the FS base did not switch")?;
    // SAFETY: no preconditions.
    let handle = unsafe { libc::pthread_self() };
    check(handle as usize == test.fs, "pthread_self is not the block")?;
    check(words::get::<SCHED>() == MARK, "our own words are not in the block")?;
    check(VALUE.replace(CHANGED) == INITIAL, "a thread-local has a wrong initial value")?;
    check(errno() == 0, "errno is not 0 at the start")?;
    DROPPED.with(|_| ());
    check(words::get::<DTOR>() != 0, "destructors are not registered with us")?;
    let own = std::thread::current().id();
    check(own != test.starter, "std takes the context for its thread")?;
    // SAFETY: initialised here, before any other use, by the only user.
    unsafe {
        let mutex = (*test.mutex.get()).as_mut_ptr();
        let mut kind = MaybeUninit::uninit();
        libc::pthread_mutexattr_init(kind.as_mut_ptr());
        libc::pthread_mutexattr_settype(kind.as_mut_ptr(), libc::PTHREAD_MUTEX_ERRORCHECK);
        libc::pthread_mutex_init(mutex, kind.as_ptr());
        check(libc::pthread_mutex_lock(mutex) == 0, "a mutex cannot be locked")?;
    }
    set_errno(libc::EXFULL);
    Ok(own)
}

#[inline(never)]
fn after(test: &Test, own: ThreadId) -> Result<(), &'static str> {
    check(errno() == libc::EXFULL, "errno did not survive the change of threads")?;
    try_malloc(test);
    check(fs() == test.fs, "the FS base did not switch back")?;
    check(words::get::<{ words::HOST }>() == test.host.get(), "the thread was not told")?;
    check(VALUE.get() == CHANGED, "a thread-local did not survive the change of threads")?;
    check(std::thread::current().id() == own, "std lost its thread")?;
    let caught = std::panic::catch_unwind(|| {
        std::panic::resume_unwind(Box::new(INITIAL));
    });
    let payload = caught.err().and_then(|payload| payload.downcast::<u64>().ok());
    check(payload.is_some_and(|payload| *payload == INITIAL), "a panic was not caught")?;
    check(!std::thread::panicking(), "a panic is still counted")?;
    // SAFETY: `before` initialised it.
    unsafe {
        let mutex = (*test.mutex.get()).as_mut_ptr();
        let deadlock = libc::pthread_mutex_lock(mutex) == libc::EDEADLK;
        let unlocked = libc::pthread_mutex_unlock(mutex) == 0;
        check(deadlock && unlocked, "a mutex forgot its owner")
    }
}

fn try_malloc(test: &Test) {
    // SAFETY: a valid size; freed at once.
    unsafe {
        let memory = std::hint::black_box(libc::malloc(BLOCK_BYTES));
        if memory.addr() == test.freed.get() {
            test.reused.set(test.reused.get() + 1);
        }
        libc::free(memory);
    }
}
