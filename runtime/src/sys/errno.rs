//! Job: the kernel's error numbers in words, without allocating (as `io::Error` does).
//! Layer: L0 (machine)

use std::ffi::CStr;
use std::fmt;

/// Shown as std shows it: `Cannot allocate memory (os error 12)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: room for as many bytes as are named.
        let failed = unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len()) } != 0;
        match CStr::from_bytes_until_nul(&text).ok().and_then(|text| text.to_str().ok()) {
            Some(text) if !failed => write!(f, "{text} (os error {})", self.0),
            _ => write!(f, "os error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;
    use std::io;

    #[test]
    fn the_words_are_those_of_std() {
        for errno in [libc::ENOMEM, libc::EAGAIN, libc::EMFILE] {
            assert_eq!(Errno(errno).to_string(), io::Error::from_raw_os_error(errno).to_string());
        }
        assert!(Errno(123_456).to_string().contains("os error 123456"));
    }
}
