//! Job: tell whether an instruction is the program's own: part of the object that contains the
//!   runtime (with rare exceptions the executable), and not of what must never be stopped.
//! Layer: L0 (machine)
//! Not here: whether the goroutine may be stopped there for other reasons.
//! Invariants
//!   TX1  Code of libc and of all other shared libraries is not "own": it may hold a lock that
//!        every thread needs, or be in the middle of a malloc cache that the next goroutine uses.
//!   TX2  Nor is code in the section `gusty_nopreempt`: functions that run before the runtime's
//!        counters say so. Add one with `#[unsafe(link_section = "gusty_nopreempt")]`.
//!
//! A program is one or two executable segments; there is room for a few. What does not fit is not
//! own, which is always safe.

use std::ffi::CStr;
use std::ops::Range;
use std::sync::OnceLock;

use libc::{c_int, c_void, dl_phdr_info};

/// Most executable segments that are looked at.
const SEGMENTS: usize = 4;

struct Own {
    segments: [Range<usize>; SEGMENTS],
}

static OWN: OnceLock<Own> = OnceLock::new();

/// Finds the segments. False if [`is_own`] will say no to everything: libc is part of the same
/// object (a static executable), so the two cannot be told apart (TX1).
pub(crate) fn prepare() -> bool {
    OWN.get_or_init(|| Own::find(is_own as *const () as usize, libc_data())).any()
}

/// See the module. A few comparisons; async-signal-safe; false before [`prepare`].
pub(crate) fn is_own(rip: usize) -> bool {
    let segments = OWN.get().map_or(&[][..], |own| &own.segments);
    segments.iter().any(|segment| segment.contains(&rip)) && !never().contains(&rip)
}

/// The section `gusty_nopreempt` (TX2).
fn never() -> Range<usize> {
    unsafe extern "C" {
        // The linker defines these for every section whose name is an identifier.
        #[link_name = "__start_gusty_nopreempt"]
        static START: u8;
        #[link_name = "__stop_gusty_nopreempt"]
        static STOP: u8;
    }
    (&raw const START).addr()..(&raw const STOP).addr()
}

/// An address in libc's data.
fn libc_data() -> usize {
    // SAFETY: no preconditions; returns a static string.
    unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }.as_ptr().addr()
}

/// What `dl_iterate_phdr` looks for and finds.
struct Search {
    inside: usize,
    outside: usize,
    found: Own,
}

impl Own {
    const NONE: Own = Own { segments: [const { 0..0 }; SEGMENTS] };

    fn any(&self) -> bool {
        self.segments.iter().any(|segment| !segment.is_empty())
    }

    /// The executable segments of the object that has `inside`, unless it has `outside`, too.
    fn find(inside: usize, outside: usize) -> Own {
        let mut search = Search { inside, outside, found: Own::NONE };
        // SAFETY: `visit` has the signature, and gets the pointer back as it is given here.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
        search.found
    }
}

unsafe extern "C" fn visit(info: *mut dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: the loader passes a complete description, and what `find` gave it.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
    let (first, count) = (info.dlpi_phdr, usize::from(info.dlpi_phnum));
    // SAFETY: the loader's description of an object has this many headers, which stay during the visit.
    let headers = unsafe { std::slice::from_raw_parts(first, count) };
    let base = info.dlpi_addr as usize;
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let segments = loaded.map(|header| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        (start..start.wrapping_add(header.p_memsz as usize), header.p_flags & libc::PF_X != 0)
    });
    let has = |addr| segments.clone().any(|(segment, _)| segment.contains(&addr));
    if !has(search.inside) {
        return 0;
    }
    if !has(search.outside) {
        let executable = segments.filter(|(_, executable)| *executable);
        search.found.segments.iter_mut().zip(executable).for_each(|(to, (from, _))| *to = from);
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    #[unsafe(link_section = "gusty_nopreempt")]
    extern "C" fn never_stopped() -> usize {
        std::hint::black_box(7)
    }

    #[test]
    fn own_code_is_told_from_that_of_libraries() {
        assert!(prepare());
        assert!(is_own(own_code_is_told_from_that_of_libraries as *const () as usize));
        assert!(is_own(std::thread::yield_now as *const () as usize), "std is linked statically");
        let libc = [c"qsort", c"malloc", c"pthread_mutex_lock"].map(|name| {
            // SAFETY: a valid name; any library's will do.
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.addr()
        });
        assert!(libc.iter().all(|&addr| addr != 0 && !is_own(addr)));
        assert!(!is_own(0) && !is_own(usize::MAX));
        let data = Box::new(0u8);
        assert!(!is_own(std::ptr::from_ref(&*data).addr()) && !is_own(libc_data()));
    }

    #[test]
    fn the_section_is_not_own_and_no_larger_than_its_functions() {
        assert!(prepare());
        assert_eq!(never_stopped(), 7);
        assert!(!is_own(never_stopped as *const () as usize));
        let never = never();
        assert!(never.contains(&(never_stopped as *const () as usize)));
        assert!(never.len() < 4096, "{} bytes", never.len());
        // Right next to it the program is own again, on one side at least.
        assert!(is_own(never.start - 1) || is_own(never.end));
    }

    #[test]
    fn an_object_that_has_libc_in_it_is_no_ones() {
        let here = is_own as *const () as usize;
        assert!(Own::find(here, libc_data()).any());
        assert!(!Own::find(here, visit as *const () as usize).any());
        assert!(!Own::find(8, libc_data()).any());
    }
}
