//! Job: the sizes that stacks come in.
//! Layer: L0 (machine)
//!
//! The size a user names is the stride: the distance from one stack to the next in its slab. The
//! guard is inside it, at the low end:
//!
//! ```text
//!     base          base + GUARD_BYTES                              base + stride = top
//!      | guard: faults | usable, grows downwards from the top  <------ |
//! ```

use std::fmt;

/// The page size of x86-64.
pub(super) const PAGE: usize = 4096;

/// Bytes of guard below every stack. Rust code probes each page of a large frame, so one page
/// would do for it; C code without probes can step over a guard, the less likely the wider it is.
/// Four pages cost 30 ns more than one, once in the life of a stack.
pub(crate) const GUARD_BYTES: usize = 4 * PAGE;

const MIN_SHIFT: u32 = 16;
const MAX_SHIFT: u32 = 30;

/// A stack size: a power of two from 64 KiB to 1 GiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SizeClass(u8);

impl SizeClass {
    /// How many classes there are; every [`index`](Self::index) is below it.
    pub(crate) const COUNT: usize = (MAX_SHIFT - MIN_SHIFT + 1) as usize;
    /// 1 GiB.
    pub(crate) const MAX: SizeClass = SizeClass(Self::COUNT as u8 - 1);

    /// The smallest class of at least `bytes`, guard included.
    pub(crate) const fn for_size(bytes: usize) -> Result<SizeClass, StackSizeError> {
        if bytes == 0 {
            return Err(StackSizeError::Zero);
        }
        if bytes > Self::MAX.stride() {
            return Err(StackSizeError::TooLarge { bytes });
        }
        let shift = bytes.next_power_of_two().trailing_zeros();
        Ok(SizeClass(shift.saturating_sub(MIN_SHIFT) as u8))
    }

    /// The class with this index, if there is one.
    pub(crate) const fn from_index(index: u8) -> Option<SizeClass> {
        if index <= Self::MAX.0 { Some(SizeClass(index)) } else { None }
    }

    pub(crate) const fn index(self) -> u8 {
        self.0
    }

    /// Bytes from one stack to the next, guard included.
    pub(crate) const fn stride(self) -> usize {
        1 << (MIN_SHIFT + self.0 as u32)
    }

    /// Bytes a stack of this class can hold.
    pub(crate) const fn usable(self) -> usize {
        self.stride() - GUARD_BYTES
    }

    /// The size as users see it, in KiB.
    pub(crate) const fn kib(self) -> usize {
        self.stride() >> 10
    }
}

/// A stack size that no class can serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StackSizeError {
    /// Zero bytes were asked for.
    Zero,
    /// More than [`SizeClass::MAX`] was asked for.
    TooLarge { bytes: usize },
}

impl fmt::Display for StackSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = SizeClass::MAX.stride();
        match self {
            Self::Zero => f.write_str("a stack size of 0 bytes"),
            Self::TooLarge { bytes } => {
                write!(f, "a stack size of {bytes} bytes is above the limit of 1 GiB ({max} bytes)")
            }
        }
    }
}

impl std::error::Error for StackSizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_a_class() {
        let stride = |bytes| SizeClass::for_size(bytes).map(SizeClass::stride);
        assert_eq!(stride(1), Ok(64 << 10));
        assert_eq!(stride(64 << 10), Ok(64 << 10));
        assert_eq!(stride((64 << 10) + 1), Ok(128 << 10));
        assert_eq!(stride(200_000), Ok(256 << 10));
        assert_eq!(stride((512 << 20) + 1), Ok(1 << 30));
        assert_eq!(stride(1 << 30), Ok(1 << 30));
    }

    #[test]
    fn impossible_sizes_are_named_errors() {
        assert_eq!(SizeClass::for_size(0), Err(StackSizeError::Zero));
        for bytes in [(1 << 30) + 1, 1 << 40, usize::MAX] {
            let error = SizeClass::for_size(bytes).unwrap_err();
            assert_eq!(error, StackSizeError::TooLarge { bytes });
            let text = error.to_string();
            assert!(text.contains("1 GiB") && text.contains(&bytes.to_string()), "{text}");
        }
    }

    #[test]
    fn indices_cover_the_classes() {
        for index in 0..SizeClass::COUNT as u8 {
            let class = SizeClass::from_index(index).unwrap();
            assert_eq!(class.index(), index);
            assert_eq!(SizeClass::for_size(class.stride()), Ok(class));
            assert_eq!(class.usable() + GUARD_BYTES, class.kib() << 10);
        }
        assert_eq!(SizeClass::from_index(SizeClass::COUNT as u8), None);
    }
}
