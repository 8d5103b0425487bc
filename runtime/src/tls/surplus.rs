//! Job: use up the room that the loader keeps for thread-locals of libraries loaded later.
//! Layer: L0 (machine)
//! Invariants
//!   SU1  After `eat` succeeded the loader places no thread-local below the FS base any more.
//!
//! Why: this room (1,664 bytes and rounding by default) lies between the thread-locals and the
//! stack, in the only page that a small goroutine has. A library that insists on it (`initial-exec`:
//! OpenGL, OpenMP) must be linked or opened before the runtime starts; afterwards `dlopen` refuses
//! it. Libraries that merely prefer it get their variables elsewhere.
//!
//! How: by loading libraries that consist of nothing but a thread-local of the size wanted and a
//! relocation that demands a fixed offset for it.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};

/// Requests of glibc's `dlinfo`.
const DI_LINKMAP: c_int = 2;
const DI_TLS_MODID: c_int = 9;

/// Uses all of it up (SU1) and returns the numbers of the libraries that do so. `None` if libraries cannot
/// be loaded here: some of it may be left then. `room` is about what there is.
pub(super) fn eat(room: usize) -> Option<Vec<usize>> {
    let mut loaded = Vec::new(); // open until the end: the loader knows a library by its path
    // The exact size first, which is near `room`; then what alignment left over.
    const STEP: usize = 16;
    let mut size = room + 2 * STEP;
    while size > 0 {
        match load(size)? {
            (file, Some(id)) => {
                loaded.push((file, id));
                size = size.min(STEP);
            }
            _ if loaded.is_empty() && room < size + 4 * STEP => size -= STEP.min(size),
            _ => size /= 2,
        }
    }
    // Nothing at all may also mean that such a library cannot be loaded.
    (!loaded.is_empty()).then(|| loaded.into_iter().map(|(_, id)| id).collect())
}

/// Tries to load a library with `size` bytes of thread-locals, which gets a number if that
/// succeeds; `None` if there is no way to try.
fn load(size: usize) -> Option<(File, Option<usize>)> {
    // SAFETY: a valid name.
    let descriptor = unsafe { libc::memfd_create(c"gusty-tls".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: a new descriptor that nobody else knows.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(&library(size)).ok()?;
    // Spelt so that nobody who opens a descriptor of his own by its path gets this library.
    let path = CString::new(format!("/proc/self/task/../fd/{}", file.as_raw_fd())).ok()?;
    // SAFETY: the library has no code. It is never closed.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        // SAFETY: frees the message of the call above.
        unsafe { libc::dlerror() };
        return Some((file, None));
    }
    hide(handle)?;
    let mut id = 0usize;
    // SAFETY: a valid handle; the request stores a `size_t`.
    let asked = unsafe { libc::dlinfo(handle, DI_TLS_MODID, (&raw mut id).cast()) };
    (asked == 0).then_some((file, Some(id)))
}

/// Empties the name of a library, so that debuggers pass over it: they would open the path, which
/// is a descriptor of their own to them, and wait for a file that never comes.
fn hide(library: *mut c_void) -> Option<()> {
    /// The public beginning of glibc's `struct link_map`.
    #[repr(C)]
    struct LinkMap {
        address: usize,
        name: *mut c_char,
    }
    let mut map: *mut LinkMap = std::ptr::null_mut();
    // SAFETY: a valid handle; the request stores a pointer to its map. The name is the loader's own
    // memory and belongs to a library that is never closed.
    unsafe {
        let asked = libc::dlinfo(library, DI_LINKMAP, (&raw mut map).cast());
        (asked == 0).then(|| *(*map).name = 0)
    }
}

/// An ELF library for x86-64 with a thread-local of `size` bytes and a `R_X86_64_TPOFF64`.
fn library(size: usize) -> Vec<u8> {
    const PROGRAM_HEADERS: u64 = 64;
    const DYNAMIC: u64 = PROGRAM_HEADERS + 4 * 56;
    const SYMBOLS: u64 = DYNAMIC + 9 * 16; // one, the undefined symbol: 24 bytes of 0
    const RELOCATION: u64 = SYMBOLS + 24;
    const TARGET: u64 = RELOCATION + 24;
    const STRINGS: u64 = TARGET + 8; // one, the empty string
    const HASH: u64 = STRINGS + 8;
    const END: u64 = HASH + 16;
    let mut words: Vec<u64> = Vec::new();
    // "\x7fELF", 64 bits, little endian, version 1; a shared library for x86-64.
    words.extend([0x0001_0102_464c_457f, 0, 3 | 62 << 16 | 1 << 32, 0, PROGRAM_HEADERS, 0]);
    words.extend([64 << 32 | 56 << 48, 4 | 64 << 16]);
    // Type and flags (read and write), offset, two addresses, size in the file and in memory, align.
    let mut header = |kind: u64, at: u64, file: u64, memory: u64, align: u64| {
        words.extend([kind | 6 << 32, at, at, at, file, memory, align]);
    };
    header(1, 0, END, END, 4096); // LOAD
    header(2, DYNAMIC, 9 * 16, 9 * 16, 8); // DYNAMIC
    header(7, 0, 0, size as u64, 1); // TLS
    header(0x6474_e551, 0, 0, 0, 16); // GNU_STACK: not executable
    for (tag, value) in [
        (4, HASH),
        (5, STRINGS),
        (6, SYMBOLS),
        (7, RELOCATION),
        (8, 24),  // RELASZ
        (9, 24),  // RELAENT
        (10, 1),  // STRSZ
        (11, 24), // SYMENT
        (0, 0),
    ] {
        words.extend([tag, value]);
    }
    words.extend([0; 3]); // the symbol
    words.extend([TARGET, 18, 0]); // R_X86_64_TPOFF64 of symbol 0
    words.extend([0, 0]); // target, strings
    words.extend([1 | 1 << 32, 0]); // one bucket, one chain, both empty
    debug_assert_eq!(words.len() as u64 * 8, END);
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}
