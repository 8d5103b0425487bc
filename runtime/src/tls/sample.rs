//! Job: look at the block of a thread that has done nothing yet, and at what malloc adds to it.
//! Layer: L0 (machine)
//! Not here: what the words mean (`template`).
//! Invariants
//!   SA1  The thread calls nothing of libc and reads no thread-local before its block is copied.
//!
//! The thread is an ordinary one, on memory of ours so that its bounds are known, and is joined.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use super::fsbase::fs;

const STACK: usize = 256 << 10;

/// A block and its surroundings as they were in the fresh thread.
pub(super) struct Sample {
    pub(super) fs: usize,
    pub(super) tid: u32,
    /// The stack pointer of the thread's function: no thread-local is below it.
    pub(super) sp: usize,
    /// The mapping that the block was the upper end of.
    pub(super) mapping: Range<usize>,
    /// Bytes below the FS base that `words` begins with.
    pub(super) below: usize,
    /// The block, before and after the thread's first malloc.
    pub(super) words: Vec<usize>,
    pub(super) after_malloc: Vec<usize>,
    /// Addresses that mean this thread's start, not threads in general.
    pub(super) own: [usize; 2],
}

impl Sample {
    /// The word at an offset from the FS base.
    pub(super) fn word(&self, offset: isize) -> usize {
        self.words[(offset + self.below as isize) as usize / 8]
    }

    /// Offsets from the FS base of all words from `from` on.
    pub(super) fn offsets(&self, from: isize) -> impl Iterator<Item = isize> + use<> {
        let above = (self.words.len() * 8) as isize - self.below as isize;
        (from..above).step_by(8)
    }
}

/// Takes a sample that begins `below` bytes (a multiple of 8) under the FS base.
pub(super) fn take(below: usize) -> Result<Sample, &'static str> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe { libc::mmap(ptr::null_mut(), STACK, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err("no memory for a template thread");
    }
    let start = base.expose_provenance();
    let room = STACK / 4 / 8; // more than a block can have
    let mut sample = Sample {
        fs: 0,
        tid: 0,
        sp: 0,
        mapping: start..start + STACK,
        below,
        words: Vec::with_capacity(room),
        after_malloc: Vec::with_capacity(room),
        own: [0; 2],
    };
    let data = ptr::from_mut(&mut sample);
    sample.own = [data.expose_provenance(), observe as *const () as usize];
    // SAFETY: the thread has the sample and the mapping to itself until it is joined.
    let ran = unsafe { run_thread(base, data.cast()) };
    // SAFETY: the thread is gone, nothing else knows the mapping.
    unsafe { libc::munmap(base, STACK) };
    match ran && !sample.words.is_empty() {
        true => Ok(sample),
        false => Err("the template thread did not run"),
    }
}

/// # Safety
/// `stack` is a mapping of `STACK` bytes, `data` a `Sample` for it; nobody else uses them.
unsafe fn run_thread(stack: *mut c_void, data: *mut c_void) -> bool {
    // SAFETY: as for this function; the thread is joined.
    unsafe {
        spawn_on(stack, STACK, observe, data)
            .is_ok_and(|thread| libc::pthread_join(thread, ptr::null_mut()) == 0)
    }
}

/// Starts a thread of libc's on memory of ours, or returns the error number.
///
/// # Safety
/// The memory is the thread's alone until it is joined; `body(data)` is sound on any thread.
pub(super) unsafe fn spawn_on(
    stack: *mut c_void,
    bytes: usize,
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    data: *mut c_void,
) -> Result<libc::pthread_t, c_int> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    let mut thread = 0;
    // SAFETY: the attributes are initialised first; the rest as for this function.
    let error = unsafe {
        libc::pthread_attr_init(attributes);
        let error = match libc::pthread_attr_setstack(attributes, stack, bytes) {
            0 => libc::pthread_create(&raw mut thread, attributes, body, data),
            error => error,
        };
        libc::pthread_attr_destroy(attributes);
        error
    };
    if error == 0 { Ok(thread) } else { Err(error) }
}

extern "C" fn observe(data: *mut c_void) -> *mut c_void {
    // SAFETY: `take` passes its sample and waits for this thread.
    let sample = unsafe { &mut *data.cast::<Sample>() };
    sample.fs = fs();
    sample.sp = ptr::from_ref(&sample).addr();
    let from = sample.fs.wrapping_sub(sample.below);
    if sample.mapping.contains(&from) {
        // SAFETY: within the mapping, of which nobody else writes the block (SA1); the vectors
        // have the room.
        unsafe {
            let length = ((sample.mapping.end - from) / 8).min(sample.words.capacity());
            copy(from, &mut sample.words, length);
            let probe = libc::malloc(24);
            copy(from, &mut sample.after_malloc, length);
            libc::free(std::hint::black_box(probe));
            sample.tid = libc::gettid() as u32;
        }
    }
    ptr::null_mut()
}

/// Reads `length` words from `from`.
///
/// # Safety
/// They are readable, and `to` has capacity for them.
unsafe fn copy(from: usize, to: &mut Vec<usize>, length: usize) {
    let from = ptr::with_exposed_provenance::<usize>(from);
    for index in 0..length {
        // SAFETY: as for this function. One by one and volatile: others may write their fields.
        to.push(unsafe { from.add(index).read_volatile() });
    }
}
