//! Job: let goroutines use the cache and arena that glibc's malloc keeps for the thread under them.
//! Layer: L0 (machine)
//! Not here: other allocators (`alloc`).
//! Invariants
//!   MA1  The two words of a block are those of the thread that runs it, stored at every resume.
//!   MA2  Nothing in malloc switches, and no goroutine is taken off its thread inside libc: a cache
//!        is used by one thread at a time.
//!   MA3  The words of a thread are constant from its first malloc to its end. (Only a failed
//!        allocation makes malloc choose another arena; the goroutine then uses it until it parks.)
//!
//! Without this each goroutine would build a cache of its own: 656 bytes and what is in it, and all
//! goroutines would fight over a few arenas. Where the words are is found by value: they are the
//! two that a thread's first malloc sets. Their use is part of the self-test.

use std::sync::atomic::{AtomicIsize, Ordering};

use super::fsbase::fs;
use super::modules::Module;
use super::sample::Sample;
use super::words;

/// Offsets of the words from the FS base; 0 while there is nothing to share.
static AT: [AtomicIsize; 2] = [const { AtomicIsize::new(0) }; 2];

/// Finds the words; `errno` is the offset of one that malloc may also set. `None` if libc's malloc is
/// not as expected or not in use.
pub(super) fn find(sample: &Sample, libc: &Module, errno: isize) -> Option<[isize; 2]> {
    let low = -(libc.below as isize);
    let own = |at: &isize| *at < low + libc.size as isize;
    let set = |at: &isize| {
        *at != errno & !7 && sample.word(*at) == 0 && sample.after_malloc_word(*at) != 0
    };
    let mut found = sample.offsets((low + 7) & !7).take_while(own).filter(set);
    match (found.next(), found.next(), found.next()) {
        (Some(cache), Some(arena), None) => Some([cache, arena]),
        _ => None,
    }
}

impl Sample {
    fn after_malloc_word(&self, offset: isize) -> usize {
        self.after_malloc[(offset + self.below as isize) as usize / 8]
    }
}

/// Starts or stops sharing.
pub(super) fn share(words: Option<[isize; 2]>) {
    // Not sharing is storing the words where nobody reads them: cheaper than asking each time.
    let sink = words::offset() + words::SINK as isize;
    let words = words.unwrap_or([sink, sink + 8]);
    for (at, word) in AT.iter().zip(words) {
        at.store(word, Ordering::Relaxed); // published by the Once of `init`
    }
}

/// The words of the calling thread.
pub(super) fn caches_here() -> [usize; 2] {
    // SAFETY: a valid size; what it returns is freed. Makes malloc set the words (MA3).
    unsafe { libc::free(std::hint::black_box(libc::malloc(24))) };
    let at = |at: &AtomicIsize| pointer(fs(), at.load(Ordering::Relaxed));
    // SAFETY: the words are part of every block.
    [unsafe { *at(&AT[0]) }, unsafe { *at(&AT[1]) }]
}

/// Stores the words of a thread in the block at `fs` (MA1, MA2).
///
/// # Safety
/// A complete block that nobody runs on.
#[inline(always)]
pub(super) unsafe fn lend(fs: usize, caches: [usize; 2]) {
    for (at, word) in AT.iter().zip(caches) {
        // SAFETY: as for this function.
        unsafe { *pointer(fs, at.load(Ordering::Relaxed)) = word };
    }
}

#[inline(always)]
fn pointer(fs: usize, at: isize) -> *mut usize {
    std::ptr::with_exposed_provenance_mut(fs.wrapping_add_signed(at))
}
