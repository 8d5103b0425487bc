//! Job: libraries opened and closed while blocks exist.
//! Layer: L0 (machine)
//! Invariants
//!   LD1  No library gets a number that a dtv has no entry for (BL4): `dlopen` is refused before.
//!   LD2  If blocks keep room for new variables, those are in every block before `dlopen` returns.
//!        (A constructor that lets another goroutine into its library before that is too early.)
//! Orderings
//!   E1  publish: images store, fence -> blocks' words load   (partner: tls/block.rs)
//!
//! glibc initialises such variables in the threads it knows, and clones are not among them: without
//! LD2 they would silently be zero. `dlopen` finds libraries relative to its caller; where nothing has
//! to follow it, it is therefore entered by a jump that leaves the caller's address in place.

use std::arch::naked_asm;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};

use parking_lot::Mutex;

use super::next::{Next, next};
use crate::tls::block::{self, Block, Source};
use crate::tls::host::as_host;
use crate::tls::modules::{self, Images, Module};
use crate::tls::words;

/// Calls the given function with the top of every stack that exists.
pub(in crate::tls) type Walker = fn(&mut dyn FnMut(usize));

/// Most libraries with thread-locals that one `dlopen` is expected to bring.
const MARGIN: usize = 32;

static WALKER: OnceLock<Walker> = OnceLock::new();

/// From now on `dlopen` completes the blocks of the stacks that `walker` finds.
pub(in crate::tls) fn track(walker: Walker) {
    // A second call would come with the same function.
    let _ = WALKER.set(walker);
}

static DLOPEN: Next = Next::new(c"dlopen");
static DLMOPEN: Next = Next::new(c"dlmopen");

/// Opens a library.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {choose}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        choose = sym choose_dlopen,
    )
}

/// Opens a library in a namespace.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
#[unsafe(naked)]
unsafe extern "C" fn dlmopen(id: c_long, path: *const c_char, flags: c_int) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "push rdx",
        "call {choose}",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "jmp rax",
        choose = sym choose_dlmopen,
    )
}

/// Closes a library.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    let next = next!(c"dlclose": fn(*mut c_void) -> c_int);
    // SAFETY: as for this function.
    let close = || unsafe { next(handle) };
    if WALKER.get().is_none() {
        return close();
    }
    let result = as_host(close);
    update_blocks();
    if result != 0 && words::on_goroutine() {
        return close(); // as for `dlopen`
    }
    result
}

extern "C" fn choose_dlopen() -> usize {
    choose(&DLOPEN, tracked_dlopen as *const () as usize)
}

extern "C" fn choose_dlmopen() -> usize {
    choose(&DLMOPEN, tracked_dlmopen as *const () as usize)
}

/// LD1, and what a call is to go to: a function that takes the same arguments.
fn choose(real: &Next, tracked: usize) -> usize {
    if block::shape().is_some_and(|shape| modules::last_id() + MARGIN > shape.dtv_capacity()) {
        refused as *const () as usize
    } else if WALKER.get().is_some() {
        tracked
    } else {
        real.address()
    }
}

extern "C" fn refused() -> *mut c_void {
    const TEXT: &str = "gusty: dlopen refused: too many libraries with thread-local storage\n";
    // SAFETY: valid memory.
    unsafe { libc::write(2, TEXT.as_ptr().cast(), TEXT.len()) };
    ptr::null_mut()
}

unsafe extern "C" fn tracked_dlopen(path: *const c_char, flags: c_int) -> *mut c_void {
    type Function = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
    // SAFETY: libc's signature; the arguments are the caller's of `dlopen`.
    let open = || unsafe { std::mem::transmute::<usize, Function>(DLOPEN.address())(path, flags) };
    followed(open)
}

unsafe extern "C" fn tracked_dlmopen(id: c_long, path: *const c_char, flags: c_int) -> *mut c_void {
    type Function = unsafe extern "C" fn(c_long, *const c_char, c_int) -> *mut c_void;
    // SAFETY: libc's signature; the arguments are the caller's of `dlmopen`.
    let open =
        || unsafe { std::mem::transmute::<usize, Function>(DLMOPEN.address())(id, path, flags) };
    followed(open)
}

/// Opens as the thread, so that a constructor finds its library's variables (LD2).
fn followed(open: impl Fn() -> *mut c_void) -> *mut c_void {
    let handle = as_host(&open);
    update_blocks();
    if handle.is_null() && words::on_goroutine() {
        return open(); // fails again, where `dlerror` will look for the reason
    }
    handle
}

/// Brings images and blocks in line with the libraries that are loaded now. Allocates under its lock; the
/// caller is part of the program, outside of sections.
fn update_blocks() {
    static ONE: Mutex<()> = Mutex::new(());
    let (Some(shape), Some(walker)) = (block::shape(), WALKER.get()) else { return };
    let _one_at_a_time = ONE.lock();
    let loaded = as_host(|| modules::statics(shape.layout.used_below_fs));
    let old = Images::current();
    let known = |module: &Module| old.modules().iter().any(|old| old.is(module));
    let (mut keep, new): (Vec<_>, Vec<_>) =
        loaded.into_iter().filter(|module| !module.contains(shape.errno)).partition(known);
    if new.is_empty() && keep.len() == old.modules().len() {
        return;
    }
    keep.extend(&new);
    Images::publish(old.changed_to(&keep));
    if matches!(shape.source, Source::Threads(_)) {
        return; // libc knows these blocks and has initialised the variables itself
    }
    fence(Ordering::SeqCst); // E1
    walker(&mut |top| {
        let block = Block::of_stack(shape, top);
        // SAFETY: a stack is never unmapped. Nobody uses the new variables before `dlopen` has
        // returned (LD2), and the rest of the block is left alone.
        unsafe {
            if block.is_complete() {
                new.iter().for_each(|module| module.initialise(block.fs()));
            }
        }
    });
}
