//! Job: which libraries have thread-locals at a fixed distance from the FS base, and their initial
//!   values.
//! Layer: L0 (machine)
//! Invariants
//!   MD1  A published `Images` and everything it points to is never changed or freed.
//!   MD2  Publishing comes before filling in the blocks that exist (`hooks::dl`), so a block made at
//!        the same time gets a new image from one side or the other.
//! Orderings
//!   E1  publish: store(Release) -> current: load(Acquire)   the images are complete

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::dl_phdr_info;

use super::fsbase::fs;

/// The thread-locals of one library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Module {
    /// They begin this many bytes below the FS base.
    pub(super) below: usize,
    /// Where the library has their initial values: `file` bytes, the rest up to `size` is zero.
    pub(super) image: *const u8,
    pub(super) file: usize,
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) id: usize,
}

/// The libraries whose thread-locals a block starts with, except libc, whose are in the template.
#[derive(Debug)]
pub(super) struct Images(Box<[Module]>);

// SAFETY: the pointers are to memory that never changes (MD1).
unsafe impl Sync for Images {}

static CURRENT: AtomicPtr<Images> = AtomicPtr::new(ptr::null_mut());

impl Images {
    /// Of `modules`, with their own copies: a library may be closed.
    pub(super) fn leak(modules: &[Module]) -> &'static Images {
        Box::leak(Box::new(Images(modules.iter().map(Module::with_own_image).collect())))
    }

    /// The same for another set of modules; keeps the copies that there are.
    pub(super) fn changed_to(&self, modules: &[Module]) -> &'static Images {
        let copy = |module: &Module| {
            let known = self.0.iter().find(|old| old.is(module));
            known.copied().unwrap_or_else(|| module.with_own_image())
        };
        Box::leak(Box::new(Images(modules.iter().map(copy).collect())))
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.0
    }

    /// The images that blocks start with now. Only after `init` published some.
    #[inline]
    pub(super) fn current() -> &'static Images {
        // SAFETY: published by `init` before any block is made (MD1).
        unsafe { &*CURRENT.load(Ordering::Acquire) } // E1
    }

    pub(super) fn publish(images: &'static Images) {
        CURRENT.store(ptr::from_ref(images).cast_mut(), Ordering::Release); // E1
    }
}

impl Module {
    /// Gives the variables of this library their initial values in the block at `fs`.
    ///
    /// # Safety
    /// The block covers this module and nobody uses these variables in it.
    #[inline]
    pub(super) unsafe fn initialise(&self, fs: usize) {
        let to = ptr::with_exposed_provenance_mut::<u8>(fs - self.below);
        // SAFETY: as for this function; the image is readable (MD1).
        unsafe {
            ptr::copy_nonoverlapping(self.image, to, self.file);
            ptr::write_bytes(to.add(self.file), 0, self.size - self.file);
        }
    }

    /// [`initialise`](Self::initialise) except for `keep`, offsets from the FS base that may be among
    /// the variables without an image.
    ///
    /// # Safety
    /// As for `initialise`, but for those that are kept.
    #[inline]
    pub(super) unsafe fn initialise_around(&self, fs: usize, keep: Range<isize>) {
        let end = -(self.below as isize) + self.size as isize;
        let zeroes = end - (self.size - self.file) as isize;
        if !(zeroes <= keep.start && keep.end <= end) {
            // SAFETY: as for this function.
            return unsafe { self.initialise(fs) };
        }
        let to = |at: isize| ptr::with_exposed_provenance_mut::<u8>(fs.wrapping_add_signed(at));
        // SAFETY: as for this function; the three ranges are parts of this module.
        unsafe {
            ptr::copy_nonoverlapping(self.image, to(zeroes - self.file as isize), self.file);
            ptr::write_bytes(to(zeroes), 0, (keep.start - zeroes) as usize);
            ptr::write_bytes(to(keep.end), 0, (end - keep.end) as usize);
        }
    }

    /// Leaks a copy of the image.
    fn with_own_image(&self) -> Module {
        // SAFETY: made from a library that is loaded, as its image was readable then.
        let image = unsafe { std::slice::from_raw_parts(self.image, self.file) };
        Module { image: Box::leak(image.to_vec().into_boxed_slice()).as_ptr(), ..*self }
    }

    /// Is the variable at this offset from the FS base one of these?
    pub(super) fn contains(&self, offset: isize) -> bool {
        let low = -(self.below as isize);
        (low..low + self.size as isize).contains(&offset)
    }

    /// The same variables of the same library.
    pub(super) fn is(&self, other: &Module) -> bool {
        (self.id, self.below, self.size) == (other.id, other.below, other.size)
    }
}

/// All modules that are within `room` bytes below the FS base, asked on a thread of its own.
pub(super) fn statics(room: usize) -> Vec<Module> {
    let mut found: Vec<(usize, Module)> = Vec::new();
    // SAFETY: the callback has the right signature and gets the vector it expects.
    unsafe { libc::dl_iterate_phdr(Some(visit), ptr::from_mut(&mut found).cast()) };
    // Resolved only now: it may take the loader's lock, which comes before the one held above.
    let resolve = |(id, module): (usize, Module)| {
        let below = fs().wrapping_sub(address_of(id));
        (below <= room).then_some(Module { below, ..module })
    };
    found.into_iter().filter_map(resolve).collect()
}

/// # Safety
/// `data` is a `Vec<(usize, Module)>`, `info` as the loader passes it.
unsafe extern "C" fn visit(info: *mut dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
    // SAFETY: as for this function.
    let (info, found) = unsafe { (&*info, &mut *data.cast::<Vec<(usize, Module)>>()) };
    let id = info.dlpi_tls_modid;
    if id != 0 {
        // SAFETY: the loader passes the array it maps.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        if let Some(tls) = headers.iter().find(|header| header.p_type == libc::PT_TLS) {
            let image = ptr::with_exposed_provenance((info.dlpi_addr + tls.p_vaddr) as usize);
            let [file, size, align] = [tls.p_filesz, tls.p_memsz, tls.p_align].map(|n| n as usize);
            found.push((id, Module { below: 0, image, file, size, align, id }));
        }
    }
    0
}

/// The greatest number of a library with thread-locals.
pub(super) fn last_id() -> usize {
    unsafe extern "C" fn visit(info: *mut dl_phdr_info, _: usize, last: *mut c_void) -> c_int {
        // SAFETY: `last` is a number, `info` as the loader passes it.
        unsafe { *last.cast::<usize>() = (*info).dlpi_tls_modid.max(*last.cast::<usize>()) };
        0
    }
    let mut last = 0usize;
    // SAFETY: the callback has the right signature and gets the number it expects.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut last).cast()) };
    last
}

/// Where this thread has the variables of module `id`. `dl_iterate_phdr` could say so too, but
/// not for a library that the thread has not used yet.
pub(super) fn address_of(id: usize) -> usize {
    unsafe extern "C" {
        fn __tls_get_addr(index: *const [usize; 2]) -> *mut c_void;
    }
    // SAFETY: the id of a loaded module, offset 0.
    unsafe { __tls_get_addr(&[id, 0]) }.expose_provenance()
}
