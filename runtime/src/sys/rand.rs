//! Job: fast random numbers for steal order, fairness and select.
//! Layer: L0 (machine)
//! Source: Marsaglia, "Xorshift RNGs" (2003), the 64-bit variant with multiplication (xorshift64*).

/// One generator; not for secrets.
pub(crate) struct Rand(u64);

impl Rand {
    /// Any seed will do.
    pub(crate) const fn new(seed: u64) -> Rand {
        Rand((seed ^ 0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next 32 random bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    /// Uniform in `0..n` (n > 0), by multiplication instead of division (Lemire).
    #[inline]
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(n)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::Rand;

    #[test]
    fn covers_its_range_evenly() {
        let mut rand = Rand::new(7);
        let mut seen = [0u32; 8];
        (0..80_000).for_each(|_| seen[rand.below(8) as usize] += 1);
        assert!(seen.iter().all(|&n| (9_000..11_000).contains(&n)), "{seen:?}");
    }
}
