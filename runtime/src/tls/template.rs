//! Job: what every block starts with: a fresh thread's control block and libc's thread-locals, as a
//!   list of words to write.
//! Layer: L0 (machine)
//! Invariants
//!   TE1  A word that points into the sampled block is written as a pointer to the same place of
//!        the new one. One that points elsewhere into the sampled stack is left out.
//!   TE2  What identifies a thread is not copied but made for each block: number, list node, stack
//!        bounds, dtv.
//!
//! Nothing here assumes the layout of glibc's `struct pthread`, except what its debugger interface
//! (`_thread_db_*`, for libthread_db) tells; that is checked against the values in the sample.

use std::ffi::{CStr, c_void};

use super::modules::Module;
use super::sample::Sample;

/// Offset of the dtv pointer from the FS base (the TLS ABI).
pub(super) const DTV: isize = 8;

/// First word of the area for restartable sequences of a block, which has none of its own: the CPU
/// number (-1, after a start value of 0) says "ask the kernel". The rest of the area is 0.
pub(super) const NO_RSEQ: usize = 0xffff_ffff_0000_0000;
pub(super) const RSEQ_BYTES: isize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Template {
    /// Size of the control block above the FS base.
    pub(super) control: usize,
    /// Words to write as they are, by their offset from the FS base.
    pub(super) plain: Vec<(isize, usize)>,
    /// Words that point into the block itself: their offset and that of their target.
    pub(super) inward: Vec<(isize, isize)>,
    pub(super) tid: isize,
    /// The doubly linked node in glibc's list of threads.
    pub(super) list: isize,
    pub(super) stack_base: isize,
    pub(super) stack_size: isize,
    /// The table of second-level blocks for thread-specific data, if it was found.
    pub(super) specific: Option<isize>,
}

/// Size of the control block of a thread, as the debugger interface has it.
pub(super) fn control_size() -> Option<usize> {
    let size = symbol(c"_thread_db_sizeof_pthread")?.cast::<u32>();
    // SAFETY: the symbol is a 32-bit number.
    Some(unsafe { *size } as usize)
}

/// Bytes below the FS base that the loader reserved for thread-locals.
pub(super) fn reserved_below(control: usize) -> Option<usize> {
    type Info = unsafe extern "C" fn(*mut usize, *mut usize);
    let function = symbol(c"_dl_get_tls_static_info")?;
    let (mut size, mut align) = (0, 0);
    // SAFETY: this is its signature since glibc 2.x; it stores two numbers.
    unsafe { std::mem::transmute::<*const c_void, Info>(function)(&raw mut size, &raw mut align) };
    size.checked_sub(control)
}

/// Offset of glibc's restartable-sequence area from the FS base, if there is one.
pub(super) fn rseq() -> Option<isize> {
    let (offset, size) = (symbol(c"__rseq_offset")?, symbol(c"__rseq_size")?);
    // SAFETY: glibc's documented types for these.
    unsafe { (*size.cast::<u32>() != 0).then(|| *offset.cast::<isize>()) }
}

fn symbol(name: &CStr) -> Option<*const c_void> {
    // SAFETY: a valid name.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address.cast_const())
}

/// The field with the kernel's number of the thread.
pub(super) const NUMBER: &CStr = c"_thread_db_pthread_tid";

/// Where a field of the control block is, as the debugger interface has it.
pub(super) fn field(name: &CStr) -> Option<isize> {
    // SAFETY: each is an array of three: bits, elements, offset.
    symbol(name).map(|field| unsafe { *field.cast::<u32>().add(2) } as isize)
}

impl Template {
    /// Makes sense of a sample, in which `libc` is where libc's own variables are.
    pub(super) fn from_sample(sample: &Sample, libc: &Module) -> Result<Template, &'static str> {
        let mapped_above = sample.mapping.end.wrapping_sub(sample.fs);
        let control = control_size().ok_or("libc has no _thread_db_sizeof_pthread")?;
        if !sample.mapping.contains(&sample.fs) || control > mapped_above {
            return Err("the control block is not at the top of a thread's stack");
        }
        if sample.word(0) != sample.fs || sample.word(16) != sample.fs {
            return Err("the control block does not begin with its own address");
        }
        let mut template = Template { control, ..Template::default() };
        template.find_identity(sample)?;
        template.sort_words(sample, libc); // TE1
        template.specific = field(c"_thread_db_pthread_specific")
            .filter(|at| template.inward.iter().any(|(word, _)| word == at));
        Ok(template)
    }

    /// Finds by value what TE2 names.
    fn find_identity(&mut self, sample: &Sample) -> Result<(), &'static str> {
        let control = 0..self.control as isize;
        let in_control = |offset: &isize| control.contains(offset);
        let halves = sample.offsets(0).flat_map(|at| [at, at + 4]).filter(in_control);
        // If it is not named it must be the only one: half of an address may have the same value.
        let named = field(NUMBER);
        let may_be = |at: &isize| named.is_none_or(|named| named == *at);
        let mut tids = halves.filter(|&at| half(sample, at) == sample.tid).filter(may_be);
        match (tids.next(), tids.next()) {
            (Some(at), None) => self.tid = at,
            _ => return Err("the thread number is not where it should be"),
        }
        let block = sample.fs - sample.below..sample.fs + self.control;
        self.list = field(c"_thread_db_pthread_list").ok_or("no _thread_db_pthread_list")?;
        let neighbours = [sample.word(self.list), sample.word(self.list + 8)];
        if neighbours.iter().any(|node| *node == 0 || block.contains(node)) {
            return Err("the thread list is not where it should be");
        }
        let find = |value: usize| {
            let mut at = sample.offsets(24).filter(in_control);
            at.find(|&at| sample.word(at) == value).ok_or("the stack bounds were not found")
        };
        self.stack_base = find(sample.mapping.start)?;
        self.stack_size = find(sample.mapping.len())?;
        Ok(())
    }

    /// Sorts the rest into `plain` and `inward`.
    fn sort_words(&mut self, sample: &Sample, libc: &Module) {
        let block = sample.fs - sample.below..sample.fs + self.control;
        let identity = [DTV, self.list, self.list + 8, self.stack_base, self.stack_size];
        let low = -(libc.below as isize);
        for at in sample.offsets(low & !7) {
            if at >= self.control as isize {
                break;
            }
            // Other libraries' variables come from their images.
            if at < 0 && at >= low + libc.size as isize {
                continue;
            }
            let word = match sample.word(at) {
                // The number shares its word with another field.
                word if at == self.tid & !7 && self.tid & 7 == 0 => word & !0xffff_ffff,
                word if at == self.tid & !7 => word & 0xffff_ffff,
                word => word,
            };
            let skipped = word == 0 || identity.contains(&at) || sample.own.contains(&word);
            if skipped {
            } else if block.contains(&word) {
                self.inward.push((at, word as isize - sample.fs as isize));
            } else if !sample.mapping.contains(&word) {
                self.plain.push((at, word));
            }
        }
        if let Some(rseq) = rseq() {
            self.unregister_rseq(rseq);
        }
    }

    fn unregister_rseq(&mut self, rseq: isize) {
        self.plain.retain(|(at, _)| !(rseq..rseq + RSEQ_BYTES).contains(at));
        self.plain.push((rseq, NO_RSEQ));
    }
}

/// The 32-bit half of a word at an offset from the FS base.
fn half(sample: &Sample, at: isize) -> u32 {
    let word = sample.word(at & !7);
    (if at & 7 == 0 { word } else { word >> 32 }) as u32
}
