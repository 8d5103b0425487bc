//! Job: pthread calls on a goroutine's own handle, which no kernel thread stands behind.
//! Layer: L0 (machine)
//! Invariants
//!   OH1  What is the kernel's (scheduling policy, affinity, CPU clock, name, signals) belongs to
//!        the thread under the goroutine, so these calls get that thread's handle. The stack's
//!        bounds are the goroutine's.

use std::ffi::{c_char, c_int};

use libc::{clockid_t, cpu_set_t, pthread_attr_t, pthread_t, sched_param, sigval, size_t};

use super::next::next;
use crate::tls::block;
use crate::tls::fsbase::fs;
use crate::tls::words::{self, HOST, STACK_LIMIT};

/// OH1: the handle of a kernel thread that `thread` means here.
#[inline]
fn kernel_thread(thread: pthread_t) -> pthread_t {
    match words::get::<HOST>() {
        0 => thread,
        host if thread as usize == fs() => host as pthread_t,
        _ => thread,
    }
}

macro_rules! forward {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*);)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        unsafe extern "C" fn $name(thread: pthread_t, $($argument: $type),*) -> c_int {
            const NAME: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
                concat!(stringify!($name), "\0").as_bytes(),
            ) {
                Ok(name) => name,
                Err(_) => unreachable!(),
            };
            static NEXT: super::next::Next = super::next::Next::new(NAME);
            type Function = unsafe extern "C" fn(pthread_t, $($type),*) -> c_int;
            // SAFETY: libc's function of this name has this signature; the handle is the
            // caller's or that of the thread it runs on.
            unsafe {
                let next = std::mem::transmute::<usize, Function>(NEXT.address());
                next(kernel_thread(thread), $($argument),*)
            }
        }
    )*};
}

forward! {
    /// Which CPUs the thread may run on.
    fn pthread_getaffinity_np(size: size_t, set: *mut cpu_set_t);
    /// Sets which CPUs the thread may run on.
    fn pthread_setaffinity_np(size: size_t, set: *const cpu_set_t);
    /// The thread's CPU-time clock.
    fn pthread_getcpuclockid(clock: *mut clockid_t);
    /// The thread's scheduling policy.
    fn pthread_getschedparam(policy: *mut c_int, parameters: *mut sched_param);
    /// Sets the thread's scheduling policy.
    fn pthread_setschedparam(policy: c_int, parameters: *const sched_param);
    /// Sets the thread's priority.
    fn pthread_setschedprio(priority: c_int);
    /// Sends the thread a signal.
    fn pthread_kill(signal: c_int);
    /// Sends the thread a signal with a value.
    fn pthread_sigqueue(signal: c_int, value: sigval);
    /// Reads the thread's name.
    fn pthread_getname_np(name: *mut c_char, size: size_t);
    /// Sets the thread's name.
    fn pthread_setname_np(name: *const c_char);
}

/// A thread's attributes; of the goroutine itself its stack.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
unsafe extern "C" fn pthread_getattr_np(thread: pthread_t, to: *mut pthread_attr_t) -> c_int {
    let block = fs();
    if thread as usize != block || !words::on_goroutine() {
        let next = next!(c"pthread_getattr_np": fn(pthread_t, *mut pthread_attr_t) -> c_int);
        // SAFETY: as for this function.
        return unsafe { next(thread, to) };
    }
    let limit = words::get::<STACK_LIMIT>();
    let top = block + block::shape().map_or(0, |shape| shape.layout.above_fs);
    // SAFETY: `to` has the room.
    unsafe {
        match libc::pthread_attr_init(to) {
            0 => libc::pthread_attr_setstack(
                to,
                std::ptr::with_exposed_provenance_mut(limit),
                top - limit,
            ),
            error => error,
        }
    }
}
