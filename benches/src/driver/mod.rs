//! Conducting: child processes that measure, and their numbers as text, markdown and JSON.

pub(crate) mod child;
mod go;
pub(crate) mod json;
pub(crate) mod table;

use gusty_benches::harness::Metric;
use gusty_benches::stats::Summary;

/// Everything measured of one bench with one number of Ps.
pub(crate) struct Measured {
    pub(crate) bench: &'static str,
    pub(crate) procs: usize,
    /// Whether this is the bench's first number of Ps, for which its targets are meant.
    pub(crate) first: bool,
    /// Sizes were tiny: the numbers mean nothing.
    pub(crate) toy: bool,
    pub(crate) metrics: &'static [Metric],
    pub(crate) contenders: Vec<Series>,
}

/// The repetitions of one contender.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// Numbers of each repetition, one a metric.
    pub(crate) samples: Vec<Vec<f64>>,
}

impl Series {
    /// Of one metric; `None` if the contender could not take part.
    pub(crate) fn summary(&self, metric: usize) -> Option<Summary> {
        let values: Vec<f64> = self.samples.iter().filter_map(|s| s.get(metric).copied()).collect();
        Summary::of(&values)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with("gusty")
    }
}
