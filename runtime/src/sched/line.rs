//! Job: text for stderr from where nobody may allocate, or wait for std's lock of it, whose holder may
//!   have been stopped.
//! Layer: L2 (sched)
//! Not here: what it says (`dump`, `fatal`, `starved`).

use std::fmt::{self, Write};

/// Text in place. What does not fit is cut off.
pub(super) struct Line<const BYTES: usize> {
    bytes: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> Line<BYTES> {
    pub(super) const fn new() -> Self {
        Line { bytes: [0; BYTES], len: 0 }
    }

    /// Writes it to stderr, in one piece, and a line end.
    pub(super) fn print(mut self) {
        let len = self.len.min(BYTES - 1);
        self.bytes[len] = b'\n';
        // SAFETY: initialised bytes. Should stderr be gone there is nobody to tell.
        unsafe { libc::write(2, self.bytes.as_ptr().cast(), len + 1) };
    }
}

impl<const BYTES: usize> Write for Line<BYTES> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Prints a message.
pub(super) fn print(message: fmt::Arguments<'_>) {
    let mut line = Line::<1024>::new();
    let _ = line.write_fmt(message); // as much of it as fits
    line.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let mut line = Line::<8>::new();
        assert!(write!(line, "abc {}", 1).is_ok());
        assert!(write!(line, "23456").is_err());
        assert_eq!(&line.bytes, b"abc 1234");
    }
}
