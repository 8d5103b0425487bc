//! Job: find the function that a hook hides.
//! Layer: L0 (machine)

use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The next definition of a symbol after ours (HK1), found at the first call (HK2).
pub(super) struct Next {
    name: &'static CStr,
    address: AtomicUsize,
}

impl Next {
    pub(super) const fn new(name: &'static CStr) -> Next {
        Next { name, address: AtomicUsize::new(0) }
    }

    #[inline]
    pub(super) fn address(&self) -> usize {
        match self.address.load(Ordering::Relaxed) {
            0 => self.find(),
            address => address,
        }
    }

    #[cold]
    fn find(&self) -> usize {
        // SAFETY: a valid name.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        let address = address.expose_provenance();
        if address == 0 {
            let name = self.name.to_string_lossy();
            let text = format!("gusty: libc has no {name}\n");
            // SAFETY: valid memory.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
            std::process::abort();
        }
        self.address.store(address, Ordering::Relaxed); // idempotent
        address
    }
}

/// Calls the function that the hook of this name hides: `next!(c"name": fn(A) -> B)(a)`.
macro_rules! next {
    ($name:literal: fn($($argument:ty),*) -> $result:ty) => {{
        static NEXT: $crate::tls::hooks::next::Next = $crate::tls::hooks::next::Next::new($name);
        type Function = unsafe extern "C" fn($($argument),*) -> $result;
        // SAFETY: libc's function of this name has this signature.
        unsafe { std::mem::transmute::<usize, Function>(NEXT.address()) }
    }};
}
pub(super) use next;
