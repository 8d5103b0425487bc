//! Job: pthread's thread-specific data of a goroutine: run the keys' destructors, clear the values.
//! Layer: L0 (machine)
//! Invariants
//!   KE1  Every key was made through our `pthread_key_create` or `tss_create`, so its destructor is
//!        known; a key deleted since reads as null.
//!   KE2  A goroutine that called `pthread_setspecific` has `USED_KEYS` set until its values are
//!        cleared.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use super::fsbase::fs;
use super::words::{self, USED, USED_KEYS, USED_LOCALE};

/// `PTHREAD_KEYS_MAX` of glibc.
const MAX: usize = 1024;
/// Values in a second-level block; the first is in the control block.
const BLOCK: usize = 32;

/// libc's `(locale_t) -1`: the process's locale.
pub(super) const GLOBAL_LOCALE: libc::locale_t = ptr::without_provenance_mut(usize::MAX);

pub(super) type KeyDtor = unsafe extern "C" fn(*mut c_void);

static DTORS: [AtomicUsize; MAX] = [const { AtomicUsize::new(0) }; MAX];
/// See [`set_table`].
static TABLE: AtomicIsize = AtomicIsize::new(0);
/// No key is as great as this.
static END: AtomicUsize = AtomicUsize::new(0);

/// Says where a block has its second-level blocks of values, if that is known.
pub(super) fn set_table(offset: Option<isize>) {
    TABLE.store(offset.unwrap_or(0), Ordering::Relaxed); // published by the Once of `init`
}

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
    // SAFETY: the word is the goroutine's (KE2).
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
        // Marked again by a destructor that sets a value.
        // SAFETY: the word is the goroutine's.
        unsafe { words::set::<USED>(used & !USED_KEYS) };
        (0..END.load(Ordering::Relaxed)).for_each(run_key);
        if words::get::<USED>() & USED_KEYS == 0 {
            free_blocks();
        }
    }
    if used & USED_LOCALE != 0 {
        // SAFETY: back to the process's locale; the word is the goroutine's.
        unsafe {
            libc::uselocale(GLOBAL_LOCALE);
            words::set::<USED>(words::get::<USED>() & !USED_LOCALE);
        }
    }
}

/// Clears the value of a key and gives it to the destructor.
fn run_key(key: usize) {
    let Some(value) = take(key as libc::pthread_key_t) else { return };
    let dtor = DTORS[key].load(Ordering::Relaxed);
    if dtor != 0 {
        // SAFETY: KE1; the value is passed once.
        unsafe { std::mem::transmute::<usize, KeyDtor>(dtor)(value) };
    }
}

/// Takes this goroutine's value of a key.
fn take(key: libc::pthread_key_t) -> Option<*mut c_void> {
    // SAFETY: any number may be asked for; a key that has a value exists.
    unsafe {
        let value = libc::pthread_getspecific(key);
        (!value.is_null() && libc::pthread_setspecific(key, ptr::null()) == 0).then_some(value)
    }
}

/// Gives up on values that destructors keep setting.
#[cold]
pub(super) fn forget() {
    (0..END.load(Ordering::Relaxed) as libc::pthread_key_t).for_each(|key| {
        take(key);
    });
    free_blocks();
    // SAFETY: the word is the goroutine's.
    unsafe { words::set::<USED>(0) };
}

/// Frees the second-level blocks that glibc allocated for greater keys.
fn free_blocks() {
    let table = TABLE.load(Ordering::Relaxed);
    if table == 0 {
        return;
    }
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
