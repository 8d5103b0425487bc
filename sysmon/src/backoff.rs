//! Job: how long the watchdog rests between two rounds.
//! Not here: when it need not run at all (`policy`).
//! Source: the constants are those of Go's sysmon.

/// The shortest rest, in nanoseconds.
pub(crate) const SHORTEST_NS: u64 = 20_000;
/// The longest rest, in nanoseconds.
pub(crate) const LONGEST_NS: u64 = 10_000_000;
/// Rounds without effect before the rests grow.
const PATIENCE: u32 = 50;

/// 20 us between rounds; after 50 rounds without effect twice as long each round, up to 10 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    rest_ns: u64,
    fruitless: u32,
}

impl Backoff {
    /// The state after a round that did something.
    pub const fn new() -> Backoff {
        Backoff { rest_ns: SHORTEST_NS, fruitless: 0 }
    }

    /// Counts one round and returns the rest that follows it, in nanoseconds.
    pub fn next(&mut self, fruitful: bool) -> u64 {
        if fruitful {
            *self = Backoff::new();
        } else if self.fruitless < PATIENCE {
            self.fruitless += 1;
        } else {
            self.rest_ns = (self.rest_ns * 2).min(LONGEST_NS);
        }
        self.rest_ns
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn fifty_short_rests_then_doubling_up_to_ten_milliseconds() {
        let mut backoff = Backoff::new();
        let short: Vec<u64> = (0..50).map(|_| backoff.next(false)).collect();
        assert_eq!(short, [20_000; 50]);
        let growing: Vec<u64> = (0..11).map(|_| backoff.next(false) / 1_000).collect();
        assert_eq!(growing, [40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn an_effect_starts_it_over() {
        let mut backoff = Backoff::new();
        for _ in 0..60 {
            backoff.next(false);
        }
        assert_eq!(backoff.next(true), 20_000);
        assert_eq!(backoff, Backoff::new());
        for _ in 0..50 {
            assert_eq!(backoff.next(false), 20_000);
        }
        assert_eq!(backoff.next(false), 40_000);
    }
}
