//! Job: a goroutine's destructors of thread-locals, as registered by Rust's std and by C++.
//! Layer: L0 (machine)
//! Invariants
//!   DT1  The list is in the block's words and belongs to the goroutine: only it adds and runs.
//!   DT2  Last registered, first run; each exactly once, taken off before it is called.
//!
//! std registers one function per thread, which runs all of its destructors; so the first has its
//! place in the block and only others take memory.

use std::ffi::c_void;
use std::ptr;

use super::words::{self, DTOR, DTOR_OBJECT, MORE_DTORS};

/// As `__cxa_thread_atexit_impl` takes it.
pub(super) type Dtor = unsafe extern "C" fn(*mut c_void);

struct Node {
    dtor: Dtor,
    object: *mut c_void,
    next: *mut Node,
}

/// Registers `dtor(object)` for the end of this goroutine.
pub(super) fn register(dtor: Dtor, object: *mut c_void) {
    if words::get::<DTOR>() == 0 && words::get::<MORE_DTORS>() == 0 {
        // SAFETY: DT1.
        unsafe {
            words::set::<DTOR_OBJECT>(object.expose_provenance());
            words::set::<DTOR>(dtor as usize);
        }
        return;
    }
    let next = ptr::with_exposed_provenance_mut(words::get::<MORE_DTORS>());
    // From malloc, not from the global allocator, which may be what registers something here.
    // SAFETY: a valid size.
    let node = unsafe { libc::malloc(size_of::<Node>()) }.cast::<Node>();
    if node.is_null() {
        std::alloc::handle_alloc_error(std::alloc::Layout::new::<Node>());
    }
    // SAFETY: fresh memory of the right size and alignment; DT1.
    unsafe {
        node.write(Node { dtor, object, next });
        words::set::<MORE_DTORS>(node.expose_provenance());
    }
}

/// Is there any?
#[inline]
pub(super) fn any() -> bool {
    words::get::<DTOR>() != 0 || words::get::<MORE_DTORS>() != 0
}

/// Runs them all (DT2), and those that they register.
pub(super) fn run() {
    while let Some((dtor, object)) = take() {
        // SAFETY: whoever registered it promised that it may be called once, on this thread.
        unsafe { dtor(object) };
    }
}

fn take() -> Option<(Dtor, *mut c_void)> {
    let node = ptr::with_exposed_provenance_mut::<Node>(words::get::<MORE_DTORS>());
    if !node.is_null() {
        // SAFETY: DT1: a node made by `register`, taken off the list before it is freed.
        return unsafe {
            let Node { dtor, object, next } = node.read();
            words::set::<MORE_DTORS>(next.expose_provenance());
            libc::free(node.cast());
            Some((dtor, object))
        };
    }
    let dtor = words::get::<DTOR>();
    if dtor == 0 {
        return None;
    }
    let object = ptr::with_exposed_provenance_mut(words::get::<DTOR_OBJECT>());
    // SAFETY: DT1; the word is a `Dtor` that `register` stored.
    unsafe {
        words::set::<DTOR>(0);
        Some((std::mem::transmute::<usize, Dtor>(dtor), object))
    }
}
