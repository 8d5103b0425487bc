//! Job: thread-local storage of a goroutine's own, so that to std, C and glibc it is a thread.
//! Layer: L0 (machine)
//! Not here: switching stacks (`arch`), where stacks come from (`stack`), when goroutines run.
//! Invariants: those of the files: FS, WD, HO, MD, SA, TE, SU, MA, BL, DT, KE, HK.
//!
//! A thread's block is glibc's control block with the thread-locals of all libraries below it; the
//! FS register holds its address. A goroutine gets one like it at the top of its stack, written
//! after the model of a fresh thread's, and the scheduler switches the register with the stack.
//!
//! In import order: `fsbase` (the register), `words` (our own thread-locals), `modules` (which
//! library has which), `sample` and `template` (the model), `surplus`, `malloc`, `host` (the thread
//! underneath), `dtors` and `keys` (what runs at exit), `block`, `hooks` (libc functions that must
//! know), `alloc`, `selftest`.

mod alloc;
mod block;
mod dtors;
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
mod words;

use std::sync::OnceLock;

pub use alloc::Alloc;
pub(crate) use alloc::unwrapped;
pub(crate) use block::{Block, Layout, bind, dirty, prepare, reset, run_destructors};
pub(crate) use fsbase::{fs, set_fs};
pub(crate) use host::Host;
pub(crate) use words::{SCHED, SECTION, at, get, on_goroutine, set};

use block::Shape;
use modules::{Images, Module};
use template::Template;

/// How far a goroutine is a thread of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// Each has its own block.
    Own,
    /// They share the block of whatever thread they run on.
    Shared,
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
    /// Why the level is not `Own`, else an empty string.
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
            level: Level::Shared,
            reason: "as the settings demand",
            shares_malloc: false,
            surplus: options.surplus,
            layout: Layout { used_below_fs: 0, above_fs: 0, in_first_page: 0 },
        };
        if options.at_most == Level::Own {
            match prepare_blocks(&options, &mut outcome) {
                Ok(()) => (outcome.level, outcome.reason) = (Level::Own, ""),
                Err(reason) => outcome.reason = reason,
            }
        }
        outcome
    })
}

/// What [`init`] found, if it was called.
pub(crate) fn outcome() -> Option<&'static Outcome> {
    OUTCOME.get()
}

/// What [`init`] decided; `Shared` before.
pub(crate) fn level() -> Level {
    OUTCOME.get().map_or(Level::Shared, |outcome| outcome.level)
}

fn prepare_blocks(options: &Options, outcome: &mut Outcome) -> Result<(), &'static str> {
    if !fsbase::writable() {
        return Err("the processor or the kernel does not let programs set the FS base");
    }
    if !hooks::in_place() {
        return Err("libc's functions come before ours: the runtime is in a library opened later");
    }
    let control = template::control_size().ok_or("libc has no _thread_db_sizeof_pthread")?;
    let reserved = template::reserved_below(control).ok_or("no _dl_get_tls_static_info")?;
    let dtv_fixed = modules::last_id();
    let used = lowest(&modules::statics(reserved));
    let mut eaten = Vec::new();
    if outcome.surplus == Surplus::Eat {
        match surplus::eat(reserved.saturating_sub(used)) {
            Some(libraries) => eaten = libraries,
            None => outcome.surplus = Surplus::Keep,
        }
    }
    let mut modules = modules::statics(reserved);
    modules.retain(|module| !eaten.contains(&module.id));
    let align = modules.iter().map(|module| module.align).max().unwrap_or(1);
    if align > block::MAX_ALIGN {
        return Err("a thread-local is aligned to more than a page");
    }
    // Newer versions of glibc have their rseq area here.
    let rseq = template::rseq().map_or(0, |at| usize::try_from(-at).unwrap_or(0));
    let used = lowest(&modules).max(rseq);
    let sample = sample::take(used.next_multiple_of(16))?;
    if sample.sp >= sample.fs - used {
        return Err("a thread's stack is not below its thread-locals");
    }
    // SAFETY: valid on any thread.
    let errno = unsafe { libc::__errno_location() }.addr().wrapping_sub(fs()) as isize;
    let is_libc = |module: &&Module| module.contains(errno);
    let libc = *modules.iter().find(is_libc).ok_or("libc's errno is not at a fixed offset")?;
    let template = Template::from_sample(&sample, &libc)?;
    modules.retain(|module| !module.contains(errno));
    Images::publish(Images::leak(&modules));
    let grows = outcome.surplus == Surplus::Keep;
    let below = if grows { reserved.max(used) } else { used };
    outcome.layout = Layout::new(control, below, dtv_fixed + eaten.len(), align);
    block::set_shape(Shape { template, layout: outcome.layout, dtv_fixed, errno, grows })?;
    if !hooks::wrap_handler() {
        return Err("glibc's handler for setuid was not found");
    }
    if grows {
        hooks::track(options.each_stack);
    }
    let caches = malloc::find(&sample, &libc);
    malloc::share(caches);
    outcome.shares_malloc = selftest::run(caches.is_some())?;
    if !outcome.shares_malloc {
        malloc::share(None);
    }
    block::enable(block::shape().ok_or("blocks have no shape")?);
    Ok(())
}

/// How far below the FS base the thread-locals of these libraries begin.
fn lowest(modules: &[Module]) -> usize {
    modules.iter().map(|module| module.below).max().unwrap_or(0)
}
