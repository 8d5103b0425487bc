//! Job: minimum, median, maximum, percentiles; and numbers as people read them.

use std::fmt;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time; shown in ns, us, ms or s.
    Nanos,
    /// Memory.
    Bytes,
    /// A ratio, such as a speed-up.
    Times,
    /// Events in a second.
    PerSecond,
}

/// A number with its unit, for printing: `41.3 ns`, `4,612 B`, `1.92 x`.
#[derive(Debug, Clone, Copy)]
pub struct Quantity(pub f64, pub Unit);

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.1 {
            Unit::Nanos => {
                let scales = [(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")];
                let fits = |(scale, _): &&(f64, &str)| self.0 >= *scale;
                let (scale, name) = scales.iter().find(fits).unwrap_or(&scales[3]);
                let value = self.0 / scale;
                let digits = usize::from(value < 100.0) + usize::from(value < 10.0);
                format!("{value:.digits$} {name}")
            }
            Unit::Bytes => format!("{} B", grouped(self.0)),
            Unit::Times => format!("{:.2} x", self.0),
            Unit::PerSecond => format!("{} /s", grouped(self.0)),
        };
        f.pad(&text)
    }
}

/// Whole number with a comma after each three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// The three numbers kept of a series of repetitions. The median is the result; the other two say
/// how noisy the machine was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Smallest.
    pub min: f64,
    /// The one in the middle, or the mean of the two in the middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Summary {
    /// Of a series; `None` if it is empty.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Summary { min, median, max })
    }
}

/// The value that `percent` of the samples do not exceed (nearest rank). Sorts the samples.
///
/// # Panics
/// If there are none.
pub fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    let rank = (samples.len() * percent).div_ceil(100).max(1);
    samples[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        let of = |samples: &[f64]| Summary::of(samples).map(|s| (s.min, s.median, s.max));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut samples, 50), 100.0);
        assert_eq!(percentile(&mut samples, 99), 198.0);
        assert_eq!(percentile(&mut [7.0], 99), 7.0);
    }

    #[test]
    fn quantities_read_well() {
        let shown = |value, unit| Quantity(value, unit).to_string();
        assert_eq!(shown(41.31, Unit::Nanos), "41.3 ns");
        assert_eq!(shown(1_234.0, Unit::Nanos), "1.23 us");
        assert_eq!(shown(0.5, Unit::Nanos), "0.50 ns");
        assert_eq!(shown(250e6, Unit::Nanos), "250 ms");
        assert_eq!(shown(4_612.4, Unit::Bytes), "4,612 B");
        assert_eq!(shown(1_000_000.0, Unit::PerSecond), "1,000,000 /s");
        assert_eq!(shown(999.0, Unit::PerSecond), "999 /s");
        assert_eq!(shown(1.917, Unit::Times), "1.92 x");
    }
}
