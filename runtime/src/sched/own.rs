//! Job: lending a goroutine's block of thread-locals what it needs of the M that runs it.
//! Layer: L2 (sched)
//! Not here: blocks themselves (`tls`), switching to them (`run`, `park`).
//! Invariants
//!   OW1  A goroutine's block is at the top of its stack from its first run to its exit, so it is
//!        found by the stack, and whoever may switch to the goroutine (G2) may write the block.
//!        A light goroutine has none and runs on that of its thread.
//!   OW2  The FS base changes in the assembly of the switch, on the way to the other context; only an
//!        exit sets it back by itself, as the last thing on the old stack. So code on g0 always has
//!        the M's own, code of a goroutine always the goroutine's.

use super::g::{GRef, LIGHT};
use super::m::M;
use crate::stack::Stack;
use crate::tls::{self, Block};

impl GRef {
    /// The stack of a goroutine that has begun.
    #[inline]
    pub(super) fn stack(self) -> Stack {
        Stack::from_bits(self.stack.get()).expect("a goroutine that has run has a stack")
    }
}

/// Where a goroutine on `stack` may have its stack pointer. (A light one leaves the room for a block
/// unused.)
pub(super) fn range(stack: Stack) -> std::ops::Range<usize> {
    let top = Block::of(stack.top()).map_or(stack.top(), Block::stack_top);
    stack.limit()..top
}

/// Makes the block of the goroutine `g` that begins on `stack`, unless it has one from the one before
/// or needs none; returns where its stack ends.
///
/// # Safety
/// The stack belongs to the goroutine, which has not begun.
#[inline]
pub(super) unsafe fn bind(g: GRef, stack: Stack) -> usize {
    match Block::of(stack.top()) {
        None => stack.top(),
        Some(unused) if g.flag(LIGHT) => unused.stack_top(), // as nobody writes above it (BL1)
        // SAFETY: as for this function; stacks are mapped as zeroes, trimmed to zeroes, and hold
        // whole blocks otherwise, as nothing else is ever written above `stack_top` (BL1).
        Some(_) => unsafe { tls::bind(stack.top(), stack.limit()) }.stack_top(),
    }
}

/// Prepares `g`, which is next on `m`, and returns the FS base to switch to; 0 to leave it alone.
///
/// # Safety
/// `m` is the caller's M and `g` its to switch to (OW1).
#[inline(always)]
pub(super) unsafe fn lend(m: &'static M, g: GRef) -> usize {
    let Some(block) = block_of(g) else { return back(m) };
    // SAFETY: complete since `bind`, and nobody runs on it, as nobody runs `g` (OW1).
    unsafe { tls::prepare(block, m.host(), std::ptr::from_ref(m).expose_provenance()) };
    block.fs()
}

/// The FS base to switch to for what runs on the thread's own thread-locals; 0 to leave it alone.
#[inline(always)]
pub(super) fn back(m: &'static M) -> usize {
    if tls::on_goroutine() { m.host().fs() } else { 0 }
}

/// Runs the goroutine's destructors of thread-locals, and makes its block as new if there were any.
/// The last thing on a goroutine that user code may see; it may park.
///
/// # Safety
/// Called by `run::body`, on its `stack`: below it nothing uses thread-locals.
#[inline]
pub(super) unsafe fn end(stack: Stack) {
    if tls::on_goroutine() && tls::dirty() {
        // SAFETY: as for this function.
        unsafe {
            tls::run_destructors();
            renew(stack);
        }
    }
}

/// Makes the block of the goroutine that has ended as new, for the next one on its stack.
///
/// # Safety
/// As [`end`], which came before.
#[inline]
pub(super) unsafe fn renew(stack: Stack) {
    if tls::on_goroutine()
        && let Some(block) = Block::of(stack.top())
    {
        // SAFETY: the block that this code runs on; the rest as for this function.
        unsafe { tls::reset(block) };
    }
}

#[inline(always)]
fn block_of(g: GRef) -> Option<Block> {
    if g.flag(LIGHT) { None } else { Block::of(g.stack().top()) }
}
