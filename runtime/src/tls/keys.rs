//! Job: pthread's thread-specific data of a goroutine: run the keys' destructors, clear the values.
//! Layer: L0 (machine)
//! Invariants
//!   KE1  Every key was made through our `pthread_key_create` or `tss_create`, so its destructor is
//!        known; a key deleted since reads as null.
//!   KE2  A goroutine that called `pthread_setspecific` has `USED_KEYS` set until its values are
//!        cleared.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::block;
use super::fsbase::fs;
use super::words::{self, USED, USED_KEYS, USED_LOCALE};

/// `PTHREAD_KEYS_MAX` of glibc.
const MAX: usize = 1024;
/// Values in a second-level block; the first is in the control block.
const BLOCK: usize = 32;

pub(super) type KeyDtor = unsafe extern "C" fn(*mut c_void);

static DTORS: [AtomicUsize; MAX] = [const { AtomicUsize::new(0) }; MAX];
/// No key is as great as this.
static END: AtomicUsize = AtomicUsize::new(0);

/// Remembers the destructor of a new key.
pub(super) fn created(key: libc::pthread_key_t, dtor: Option<KeyDtor>) {
    let key = key as usize;
    if key < MAX {
        DTORS[key].store(dtor.map_or(0, |dtor| dtor as usize), Ordering::Relaxed);
        END.fetch_max(key + 1, Ordering::Relaxed);
    }
}

/// Notes on this goroutine that there is something to undo.
#[inline(always)]
pub(super) fn mark(what: usize) {
    // SAFETY: the word is the goroutine's.
    unsafe { words::set::<USED>(words::get::<USED>() | what) };
}

/// Is there anything to do?
#[inline]
pub(super) fn any() -> bool {
    words::get::<USED>() != 0
}

/// One round: each value that is not null is cleared and given to its key's destructor.
pub(super) fn run() {
    let used = words::get::<USED>();
    if used & USED_KEYS != 0 {
        // Set again by whatever sets a value; what is cleared here needs no second round.
        // SAFETY: the word is the goroutine's.
        unsafe { words::set::<USED>(used & !USED_KEYS) };
        let called = (0..END.load(Ordering::Relaxed)).filter(|&key| run_key(key)).count();
        if called == 0 {
            free_blocks();
        } else {
            mark(USED_KEYS);
        }
    }
    if used & USED_LOCALE != 0 {
        // SAFETY: back to the process's locale; the word is the goroutine's.
        unsafe {
            libc::uselocale(libc::LC_GLOBAL_LOCALE);
            words::set::<USED>(words::get::<USED>() & !USED_LOCALE);
        }
    }
}

/// Clears the value of a key; true if it had a destructor to call.
fn run_key(key: usize) -> bool {
    let id = key as libc::pthread_key_t;
    // SAFETY: any number may be asked for.
    let value = unsafe { libc::pthread_getspecific(id) };
    if value.is_null() {
        return false;
    }
    // SAFETY: the key has a value, so it exists.
    unsafe { libc::pthread_setspecific(id, ptr::null()) };
    let dtor = DTORS[key].load(Ordering::Relaxed);
    if dtor == 0 {
        return false;
    }
    // SAFETY: KE1; the value is passed once.
    unsafe { std::mem::transmute::<usize, KeyDtor>(dtor)(value) };
    true
}

/// Gives up on values that destructors keep setting.
#[cold]
pub(super) fn forget() {
    for key in 0..END.load(Ordering::Relaxed) as libc::pthread_key_t {
        // SAFETY: as in `run_key`.
        unsafe {
            if !libc::pthread_getspecific(key).is_null() {
                libc::pthread_setspecific(key, ptr::null());
            }
        }
    }
    free_blocks();
    // SAFETY: the word is the goroutine's.
    unsafe { words::set::<USED>(0) };
}

/// Frees the second-level blocks that glibc allocated for greater keys.
fn free_blocks() {
    let Some(table) = block::shape().and_then(|shape| shape.template.specific) else { return };
    let table = fs().wrapping_add_signed(table);
    for index in 1..MAX / BLOCK {
        let entry = ptr::with_exposed_provenance_mut::<*mut c_void>(table + index * 8);
        // SAFETY: the table of this goroutine's block, which nobody else uses; its blocks are from
        // malloc and all their values null.
        unsafe {
            libc::free(*entry);
            *entry = ptr::null_mut();
        }
    }
}
