//! Job: make, find and clean the block of a goroutine at the top of its stack.
//! Layer: L0 (machine)
//! Not here: what a block contains (`template`, `modules`), destructors (`dtors`, `keys`).
//! Invariants
//!   BL1  Memory between `stack_top` and the top of a stack holds zeroes or a complete block. A block
//!        is complete if the word after its dtv pointer is its own address.
//!   BL2  A block is written from outside only while nobody runs on it.
//!   BL3  A block that `reset` left is as new, so a stack taken from a pool is reused without work;
//!        one whose pages were given back reads as zeroes and is made again.
//!   BL4  The dtv of a clone never moves: it claims all entries up to the top of the stack, more than
//!        libraries can have (`hooks::loader` sees to that), so the loader never reallocates it.
//!   BL5  Where blocks are threads' (`thread`), stacks come with a complete block from the pool, and
//!        keep its pages.
//! Orderings
//!   E1  make: words.store, fence -> images load   ||   publish: images store, fence -> words load
//!       One side sees the other (MD2).
//!       (partner: tls/hooks/loader.rs)
//!   E2  set_shape: store(Release) -> shape: load(Acquire)   the shape is complete
//!
//! The upper end of a stack (for a block of a thread's the dtv is on libc's heap):
//!
//! ```text
//!     top           |                                  |
//!                   | entries of the dtv, never touched|  GROWTH
//!     page boundary |----------------------------------|
//!                   | dtv: capacity, generation, entries
//!                   | libc's control block of a thread |
//!     fs         -> |----------------------------------|
//!                   | thread-locals                    |  used_below_fs
//!     stack_top  -> |----------------------------------|
//!                   | the stack, downwards             |
//! ```

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

use super::host::Host;
use super::modules::Images;
use super::template::{DTV, Template};
use super::words::{self, HOST, SCHED, STACK_LIMIT};
use super::{dtors, dtv, keys, malloc};

/// Address space above the block for entries of the dtv that need more than its first page.
const GROWTH: usize = 4096;
/// Entries of the dtv in the page of the block beyond those in use at the start.
const SPARE_ENTRIES: usize = 3;
/// Address of the block, again (BL1).
pub(super) const COMPLETE: isize = 16;

/// How a block is placed, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// Thread-locals, and room kept for those of libraries loaded later.
    pub(crate) used_below_fs: usize,
    /// From the FS base to the top of the stack.
    pub(crate) above_fs: usize,
    /// What a stack's first page loses to its block.
    pub(crate) in_first_page: usize,
}

/// Where blocks come from.
pub(super) enum Source {
    /// They are written here. The first entries of their dtv, `dtv_fixed`, are for libraries that
    /// were there before `init`.
    Clones { template: Template, dtv_fixed: usize },
    /// libc makes them, for threads (`thread`).
    Threads(Fields),
}

/// Fields of libc's control block, by their offsets from the FS base.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) tid: isize,
    /// Flags of cancellation, exit and changes of ids; known if the debugger interface tells.
    pub(super) flags: Option<isize>,
    pub(super) rseq: Option<isize>,
    /// As [`Template::specific`].
    pub(super) specific: Option<isize>,
}

pub(super) struct Shape {
    pub(super) source: Source,
    pub(super) layout: Layout,
    /// Where libc's errno is.
    pub(super) errno: isize,
    /// May libraries loaded later add variables to existing blocks?
    pub(super) grows: bool,
}

/// Leaked, and replaced only while `init` tries one level after the other.
static SHAPE: AtomicPtr<Shape> = AtomicPtr::new(ptr::null_mut());
/// Distance of a block from the top of its stack; 0 while goroutines have none.
static BELOW_TOP: AtomicUsize = AtomicUsize::new(0);

/// The largest alignment of thread-locals that a block can have.
pub(super) const MAX_ALIGN: usize = 4096;
const MIN_ALIGN: usize = 64;

impl Layout {
    /// For a control block of `control` bytes, `below` bytes of thread-locals, and `entries` in use
    /// of the dtv.
    pub(super) fn new(control: usize, below: usize, entries: usize, align: usize) -> Layout {
        let align = align.clamp(MIN_ALIGN, MAX_ALIGN);
        let dtv = (2 + entries + SPARE_ENTRIES) * dtv::BYTES;
        let near = (control.next_multiple_of(dtv::BYTES) + dtv).next_multiple_of(align);
        let used_below_fs = below.next_multiple_of(16);
        Layout { used_below_fs, above_fs: near + GROWTH, in_first_page: near + used_below_fs }
    }
}

impl Shape {
    /// Most entries that a dtv can have.
    pub(super) fn dtv_capacity(&self) -> usize {
        match &self.source {
            Source::Clones { template, .. } => {
                let table = self.layout.above_fs - template.control.next_multiple_of(dtv::BYTES);
                table / dtv::BYTES - 2
            }
            Source::Threads(_) => usize::MAX, // the loader reallocates it
        }
    }
}

/// Decides how blocks look; before the first of them is made.
pub(super) fn set_shape(shape: Shape) -> &'static Shape {
    keys::set_table(match &shape.source {
        Source::Clones { template, .. } => template.specific,
        Source::Threads(fields) => fields.specific,
    });
    let shape = Box::leak(Box::new(shape));
    SHAPE.store(shape, Ordering::Release); // E2
    shape
}

/// From now on goroutines have blocks; the last step of `init`.
pub(super) fn enable(shape: &Shape) {
    BELOW_TOP.store(shape.layout.above_fs, Ordering::Relaxed); // published by the Once of `init`
}

/// How blocks look, if there are any in this process.
#[inline]
pub(super) fn shape() -> Option<&'static Shape> {
    // SAFETY: null or leaked by `set_shape`.
    unsafe { SHAPE.load(Ordering::Acquire).as_ref() } // E2
}

/// A block. A name for it, not its owner: it belongs to its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct Block(usize);

impl Block {
    /// The block of the stack that ends at `top`, complete or not; `None` if goroutines have none.
    #[inline(always)]
    pub(crate) fn of(top: usize) -> Option<Block> {
        match BELOW_TOP.load(Ordering::Relaxed) {
            0 => None,
            below => Some(Block(top - below)),
        }
    }

    /// The block of the stack that ends at `top`, complete or not.
    #[inline]
    pub(super) fn of_stack(shape: &Shape, top: usize) -> Block {
        Block(top - shape.layout.above_fs)
    }

    /// The FS base for it.
    #[inline]
    pub(crate) fn fs(self) -> usize {
        self.0
    }

    /// Where the goroutine's stack ends: 16-aligned.
    #[inline]
    pub(crate) fn stack_top(self) -> usize {
        self.0 - shape().map_or(0, |shape| shape.layout.used_below_fs)
    }

    /// Is it complete (BL1)?
    ///
    /// # Safety
    /// The stack is mapped.
    #[inline]
    pub(super) unsafe fn is_complete(self) -> bool {
        // SAFETY: as for this function; every block has the word at the same, aligned, place.
        let word = unsafe { AtomicUsize::from_ptr(self.word(COMPLETE)) };
        word.load(Ordering::Relaxed) == self.0
    }

    #[inline(always)]
    pub(super) fn word(self, offset: isize) -> *mut usize {
        ptr::with_exposed_provenance_mut(self.0.wrapping_add_signed(offset))
    }

    /// # Safety
    /// The word is part of the block, which nobody runs on (BL2).
    #[inline(always)]
    pub(super) unsafe fn put(self, offset: isize, value: usize) {
        // SAFETY: as for this function.
        unsafe { *self.word(offset) = value };
    }
}

/// The block of the stack from `limit` to `top` (a page boundary): the one that it has or a new one.
///
/// # Safety
/// `init` chose blocks. The stack belongs to the caller, is mapped and nobody runs on it; its upper
/// end is as BL1 says.
#[inline]
pub(crate) unsafe fn bind(top: usize, limit: usize) -> Block {
    let shape = shape().expect("init chose blocks");
    let block = Block::of_stack(shape, top);
    // SAFETY: as for this function.
    unsafe {
        match &shape.source {
            _ if block.is_complete() => *words::at(block.0, SCHED) = 0, // `prepare` has to look anew
            Source::Clones { template, dtv_fixed } => {
                make(shape, template, *dtv_fixed, block, top, limit);
            }
            Source::Threads(_) => unreachable!("a stack without a block (BL5)"),
        }
    }
    block
}

/// # Safety
/// As [`bind`]; the memory holds zeroes.
unsafe fn make(
    shape: &Shape,
    template: &Template,
    dtv_fixed: usize,
    block: Block,
    top: usize,
    limit: usize,
) {
    // SAFETY: all words are within the block (they were in the sample, and the layout was made for
    // them); BL2.
    unsafe {
        for &(at, value) in &template.plain {
            block.put(at, value);
        }
        for &(at, target) in template.inward.iter().filter(|(at, _)| *at != COMPLETE) {
            block.put(at, block.0.wrapping_add_signed(target));
        }
        let node = block.0.wrapping_add_signed(template.list);
        block.put(template.list, node);
        block.put(template.list + 8, node);
        block.put(template.stack_base, limit);
        block.put(template.stack_size, top - limit);
        *block.word(template.tid).cast::<u32>() = next_number();
        let dtv = block.0 + template.control.next_multiple_of(dtv::BYTES) + dtv::BYTES;
        dtv::make(dtv, shape.dtv_capacity(), dtv_fixed);
        block.put(DTV, dtv);
        let images = Images::current();
        images.modules().iter().for_each(|module| module.initialise(block.0));
        AtomicUsize::from_ptr(block.word(COMPLETE)).store(block.0, Ordering::Relaxed);
        if shape.grows {
            fence(Ordering::SeqCst); // E1
            let now = Images::current();
            if !ptr::eq(now, images) {
                now.modules().iter().for_each(|module| module.initialise(block.0));
            }
        }
        *words::at(block.0, STACK_LIMIT) = limit; // one of the variables just initialised
    }
}

/// A thread number that no kernel thread has: above the kernel's limit of 2^22 and below what a
/// futex word can hold. Locks compare it with their owner's.
pub(super) fn next_number() -> u32 {
    const FIRST: u32 = (1 << 22) + 1000;
    const LAST: u32 = (1 << 30) - 1;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % (LAST - FIRST)
}

/// Prepares a block for running on the thread `host`; `sched` is what the scheduler finds in its
/// word there. To be followed by the switch and `set_fs(block.fs())`, in any order.
///
/// # Safety
/// The block is complete and nobody runs on it (BL2); the caller is the thread `host`.
#[inline(always)]
pub(crate) unsafe fn prepare(block: Block, host: &Host, sched: usize) {
    let (known, on) = (words::at(block.0, SCHED), words::at(block.0, HOST));
    // SAFETY: as for this function.
    unsafe {
        if *known == sched && *on == host.fs {
            return; // it ran here last, and what a thread lends is constant (HO2)
        }
        *on = host.fs;
        *known = sched;
        malloc::lend(block.0, host.caches);
    }
}

/// Runs what a thread runs at its end. The last thing on a goroutine: what it uses of thread-locals
/// afterwards is lost.
///
/// # Safety
/// On a goroutine with a block of its own, with nothing below it that uses its thread-locals.
#[inline]
pub(crate) unsafe fn run_destructors() {
    /// As glibc does it: destructors may register others.
    const ROUNDS: usize = 4;
    for _ in 0..ROUNDS {
        if !dirty() {
            return;
        }
        dtors::run();
        keys::run();
    }
    keys::forget();
}

/// Is there anything for [`run_destructors`] to do?
#[inline]
pub(crate) fn dirty() -> bool {
    dtors::any() || keys::any()
}

/// Makes a block as new (BL3), but for our own words: none of them is in use after [`run_destructors`]
/// except those that say where the block is and which thread runs it.
///
/// # Safety
/// The block is complete, [`run_destructors`] is the last that its goroutine has done, and nobody
/// else runs on it (BL2); the goroutine itself may be the caller.
#[inline]
pub(crate) unsafe fn reset(block: Block) {
    let shape = shape().expect("init chose blocks");
    let keep = words::offset()..words::offset() + words::BYTES as isize;
    // SAFETY: as for this function.
    unsafe {
        *block.word(shape.errno).cast::<i32>() = 0;
        let dtv = *block.word(DTV);
        match &shape.source {
            Source::Clones { dtv_fixed, .. } => dtv::clear(dtv, shape.dtv_capacity(), *dtv_fixed),
            Source::Threads(_) => dtv::clear_loaders(dtv),
        }
        let modules = Images::current().modules();
        modules.iter().for_each(|module| module.initialise_around(block.0, keep.clone()));
    }
}
