//! Job: thread-local storage of a goroutine's own, so that to std, C and glibc it is a thread.
//! Layer: L0 (machine)
//! Not here: switching stacks (`arch`), where stacks come from (`stack`), when goroutines run.
//! Invariants: those of the files: FS, WD, HO, MD, SA, TE, SU, MA, DV, BL, PT, FK, DT, KE, HK.
//!
//! A thread's block is glibc's control block with the thread-locals of all libraries below it; the
//! FS register holds its address. A goroutine gets one like it at the top of its stack, written
//! after the model of a fresh thread's, and the scheduler switches the register with the stack.
//!
//! Two levels have blocks: `Own`, where they are written here, and `Pthread`, where libc makes them:
//! slower to make and larger, but it takes less knowledge of libc.
//!
//! In import order: `fsbase` (the register), `words` (our own thread-locals), `modules` (which
//! library has which), `sample` and `template` (the model), `surplus`, `malloc`, `host` (the thread
//! underneath), `dtors` and `keys` (what runs at exit), `dtv`, `block`, `thread` (blocks that libc
//! makes), `fork` (children), `hooks` (libc functions that must know), `alloc`, `selftest`.

#![cfg_attr(
    target_feature = "crt-static",
    allow(dead_code, unused_imports, reason = "goroutines share thread-locals there (HK3)")
)]

mod alloc;
mod block;
mod dtors;
mod dtv;
mod fork;
mod fsbase;
mod hooks;
mod host;
mod keys;
mod malloc;
mod modules;
mod sample;
mod selftest;
mod surplus;
mod template;
#[cfg(test)]
mod tests;
mod thread;
mod words;

use std::sync::OnceLock;

pub use alloc::Alloc;
pub(crate) use alloc::unwrapped;
pub(crate) use block::{Block, Layout, bind, dirty, prepare, reset, run_destructors};
pub(crate) use fsbase::{fs, set_fs};
pub(crate) use host::Host;
pub(crate) use words::{SCHED, SECTION, add, at, get, on_goroutine, set, set_const};

use block::{Shape, Source};
use modules::{Images, Module};
use sample::Sample;
use template::Template;

use crate::stack;

/// How far a goroutine is a thread of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// Each has its own block, written here.
    Own,
    /// Each has its own block, which libc made for a thread.
    Pthread,
    /// They use the block of the thread that runs them first, and stay on that thread.
    Pinned,
    /// They use the block of whatever thread they run on.
    Shared,
}

impl Level {
    /// Do goroutines have blocks of their own?
    pub(crate) fn has_blocks(self) -> bool {
        matches!(self, Level::Own | Level::Pthread)
    }
}

/// What happens to the room for thread-locals of libraries loaded later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Surplus {
    /// It is used up: a block and a small stack fit into one page, but libraries that insist on
    /// such room cannot be loaded any more.
    Eat,
    /// Each block keeps it: any library can be loaded, a goroutine takes a page more.
    Keep,
}

/// How to [`init`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Do not try for more than this.
    pub(crate) at_most: Level,
    pub(crate) surplus: Surplus,
    /// Calls its argument with the top of every stack that a block may be on.
    pub(crate) each_stack: fn(&mut dyn FnMut(usize)),
}

/// What [`init`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) level: Level,
    /// Why the level is not a better one, else an empty string.
    pub(crate) reason: &'static str,
    /// Do goroutines share the malloc caches of their threads? If not, each that allocates builds
    /// its own (or a malloc other than glibc's is in use).
    pub(crate) shares_malloc: bool,
    pub(crate) surplus: Surplus,
    pub(crate) layout: Layout,
}

static OUTCOME: OnceLock<Outcome> = OnceLock::new();

/// Decides the level, once per process: later calls return the first one's outcome. Takes half a
/// millisecond and two short-lived threads.
pub(crate) fn init(options: Options) -> &'static Outcome {
    OUTCOME.get_or_init(|| {
        let mut outcome = Outcome {
            level: if options.at_most.has_blocks() { Level::Pinned } else { options.at_most },
            reason: "as the settings demand",
            shares_malloc: false,
            surplus: options.surplus,
            layout: Layout { used_below_fs: 0, above_fs: 0, in_first_page: 0 },
        };
        let mut eaten = Vec::new();
        if options.at_most == Level::Own {
            match prepare_clones(&options, &mut outcome, &mut eaten) {
                Ok(()) => (outcome.level, outcome.reason) = (Level::Own, ""),
                Err(reason) => outcome.reason = reason,
            }
        }
        if options.at_most.has_blocks() && !outcome.level.has_blocks() {
            match prepare_threads(&options, &mut outcome, &eaten) {
                Ok(()) => outcome.level = Level::Pthread,
                Err(reason) if options.at_most == Level::Pthread => outcome.reason = reason,
                Err(reason) => outcome.reason = join(outcome.reason, reason),
            }
        }
        outcome
    })
}

/// Both reasons, once per process.
fn join(first: &'static str, second: &'static str) -> &'static str {
    match first == second {
        true => first,
        false => format!("{first}; with threads: {second}").leak(),
    }
}

/// What [`init`] found, if it was called.
pub(crate) fn outcome() -> Option<&'static Outcome> {
    OUTCOME.get()
}

/// What [`init`] decided; `Shared` before.
#[inline]
pub(crate) fn level() -> Level {
    OUTCOME.get().map_or(Level::Shared, |outcome| outcome.level)
}

/// What both levels need.
fn check_system() -> Result<(), &'static str> {
    if cfg!(target_feature = "crt-static") {
        return Err("the program is linked statically, so libc cannot be hooked"); // HK3
    }
    if !fsbase::writable() {
        return Err("the processor or the kernel does not let programs set the FS base");
    }
    if !hooks::in_place() {
        return Err("libc's functions come before ours: the runtime is in a library opened later");
    }
    Ok(())
}

/// The level `Own`.
fn prepare_clones(
    options: &Options,
    outcome: &mut Outcome,
    eaten: &mut Vec<usize>,
) -> Result<(), &'static str> {
    check_system()?;
    let control = template::control_size().ok_or("libc has no _thread_db_sizeof_pthread")?;
    let reserved = template::reserved_below(control).ok_or("no _dl_get_tls_static_info")?;
    let dtv_fixed = modules::last_id();
    let used = lowest(&modules::statics(reserved));
    if outcome.surplus == Surplus::Eat {
        match surplus::eat(reserved.saturating_sub(used)) {
            Some(libraries) => *eaten = libraries,
            None => outcome.surplus = Surplus::Keep,
        }
    }
    let (modules, libc) = own_modules(reserved, eaten)?;
    // Newer versions of glibc have their rseq area here.
    let rseq = template::rseq().map_or(0, |at| usize::try_from(-at).unwrap_or(0));
    let used = lowest(&modules).max(rseq);
    let sample = sample::take(used.next_multiple_of(16))?;
    if sample.sp >= sample.fs - used {
        return Err("a thread's stack is not below its thread-locals");
    }
    let template = Template::from_sample(&sample, &libc)?;
    let grows = outcome.surplus == Surplus::Keep;
    let below = if grows { reserved.max(used) } else { used };
    let align = modules.iter().map(|module| module.align).max().unwrap_or(1);
    let layout = Layout::new(control, below, dtv_fixed + eaten.len(), align);
    let source = Source::Clones { template, dtv_fixed };
    let shape = Shape { source, layout, errno: errno_offset(), grows };
    try_blocks(shape, modules, &sample, &libc, options, outcome, selftest::on_clone)
}

/// The level `Pthread`.
fn prepare_threads(
    options: &Options,
    outcome: &mut Outcome,
    eaten: &[usize],
) -> Result<(), &'static str> {
    check_system()?;
    let [(top, limit), other] = selftest::stacks_for_ever().ok_or("no memory for a thread")?;
    // SAFETY: a stack of ours that stays (PT1).
    let first = unsafe { thread::first(top, limit) }?;
    let below = (first.fs - first.sp).next_multiple_of(16);
    let (modules, libc) = own_modules(below, eaten)?;
    // SAFETY: the thread is gone.
    if !unsafe { thread::table_is_as_expected(&first, &libc) } {
        return Err("the loader's table of thread-locals is not as expected");
    }
    if eaten.is_empty() {
        outcome.surplus = Surplus::Keep; // there is nothing to gain
    }
    let sample = sample::take(lowest(&modules).max(libc.below).next_multiple_of(16))?;
    let above_fs = top - first.fs;
    let layout = Layout { used_below_fs: below, above_fs, in_first_page: above_fs + below };
    let source = Source::Threads(first.fields);
    let shape = Shape { source, layout, errno: errno_offset(), grows: true };
    let test = |shares| selftest::on_thread(other, shares);
    try_blocks(shape, modules, &sample, &libc, options, outcome, test)?;
    stack::furnish_with(stack::Furnisher { furnish: thread::furnish, bytes: above_fs + below });
    Ok(())
}

/// The libraries with thread-locals within `room` below the FS base but those in `eaten`, and libc.
fn own_modules(room: usize, eaten: &[usize]) -> Result<(Vec<Module>, Module), &'static str> {
    let mut modules = modules::statics(room);
    modules.retain(|module| !eaten.contains(&module.id));
    if modules.iter().any(|module| module.align > block::MAX_ALIGN) {
        return Err("a thread-local is aligned to more than a page");
    }
    let is_libc = |module: &&Module| module.contains(errno_offset());
    let libc = *modules.iter().find(is_libc).ok_or("libc's errno is not at a fixed offset")?;
    Ok((modules, libc))
}

/// Where libc's errno is, from the FS base.
fn errno_offset() -> isize {
    // SAFETY: valid on any thread.
    unsafe { libc::__errno_location() }.addr().wrapping_sub(fs()) as isize
}

/// Tries blocks of this shape with `test`; goroutines have them from then on.
fn try_blocks(
    shape: Shape,
    mut modules: Vec<Module>,
    sample: &Sample,
    libc: &Module,
    options: &Options,
    outcome: &mut Outcome,
    test: impl FnOnce(bool) -> Result<bool, &'static str>,
) -> Result<(), &'static str> {
    modules.retain(|module| !module.contains(shape.errno));
    Images::publish(Images::leak(&modules));
    outcome.layout = shape.layout;
    let shape = block::set_shape(shape);
    if !hooks::wrap_handler() {
        return Err("glibc's handler for setuid was not found");
    }
    if !fork::follow() {
        return Err("no memory to register for forks");
    }
    if shape.grows {
        hooks::track(options.each_stack);
    }
    let caches = malloc::find(sample, libc, errno_offset());
    malloc::share(caches);
    outcome.shares_malloc = test(caches.is_some())?;
    if !outcome.shares_malloc {
        malloc::share(None);
    }
    block::enable(shape);
    Ok(())
}

/// How far below the FS base the thread-locals of these libraries begin.
fn lowest(modules: &[Module]) -> usize {
    modules.iter().map(|module| module.below).max().unwrap_or(0)
}
