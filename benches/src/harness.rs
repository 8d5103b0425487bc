//! Job: what a benchmark is, and how one is measured: contenders take turns, so that a noisy
//! neighbour on the machine hits them all.
//!
//! A [`Bench`] has one or more [`Metric`]s and a list of [`Contender`]s, ours first. One call of a
//! contender is one repetition: it sets up, measures many operations, checks the result and returns
//! a number per metric. [`measure`] calls them A B C A B C ... and throws the first round away.

use std::time::{Duration, Instant};

use crate::stats::Unit;

/// How large a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Seconds for the whole suite: checks that every bench works and computes the right thing.
    Toy,
    /// Large enough to measure.
    Full,
}

impl Scale {
    /// The size to use of the two.
    pub fn pick<T>(self, toy: T, full: T) -> T {
        match self {
            Scale::Toy => toy,
            Scale::Full => full,
        }
    }
}

/// What the project promises about a metric.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The median must not exceed this.
    AtMost(f64),
    /// The median must reach this.
    AtLeast(f64),
}

impl Target {
    /// Whether a median keeps the promise.
    pub fn is_met(self, median: f64) -> bool {
        match self {
            Target::AtMost(limit) => median <= limit,
            Target::AtLeast(limit) => median >= limit,
        }
    }
}

/// One number that a repetition yields.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// What it is, in a few words.
    pub name: &'static str,
    /// Of what.
    pub unit: Unit,
    /// Holds for gusty's contenders, at the first of the bench's numbers of Ps.
    pub target: Option<Target>,
    /// Holds for gusty's contenders, whatever the number of Ps.
    pub against: Option<Against>,
}

/// A promise that is measured by somebody else: the median must not exceed `times` the peer's of the
/// same run. Nothing is promised where the peer takes no part.
#[derive(Debug, Clone, Copy)]
pub struct Against {
    /// The peer's name.
    pub peer: &'static str,
    /// How much of the peer's median is allowed.
    pub times: f64,
}

impl Metric {
    /// Time in nanoseconds, without a promise.
    pub const fn nanos(name: &'static str) -> Metric {
        Metric { name, unit: Unit::Nanos, target: None, against: None }
    }

    /// The same with a promise: at most so many nanoseconds.
    pub const fn nanos_at_most(name: &'static str, limit: f64) -> Metric {
        Metric { target: Some(Target::AtMost(limit)), ..Metric::nanos(name) }
    }

    /// The same with a promise: at most so many times the median of `peer`.
    pub const fn within(self, times: f64, peer: &'static str) -> Metric {
        Metric { against: Some(Against { peer, times }), ..self }
    }
}

/// Somebody who can do what the bench asks for.
pub struct Contender {
    /// Ours begin with `gusty`.
    pub name: &'static str,
    /// One repetition: a number for each metric.
    pub run: Box<dyn FnMut() -> Vec<f64>>,
}

impl Contender {
    /// A contender for a bench with one metric.
    pub fn new(name: &'static str, mut run: impl FnMut() -> f64 + 'static) -> Contender {
        Contender { name, run: Box::new(move || vec![run()]) }
    }

    /// A contender for a bench with several metrics.
    pub fn with_metrics(name: &'static str, run: impl FnMut() -> Vec<f64> + 'static) -> Contender {
        Contender { name, run: Box::new(run) }
    }
}

/// One benchmark.
pub struct Bench {
    /// `group/what`; a filter matches any part of it.
    pub name: &'static str,
    /// Values of GOMAXPROCS to run with, each in a process of its own.
    pub procs: &'static [usize],
    /// What a repetition returns, in this order.
    pub metrics: &'static [Metric],
    /// Each repetition of each contender needs a process that has done nothing before.
    pub fresh: bool,
    /// Who takes part.
    pub contenders: fn(Scale) -> Vec<Contender>,
}

/// Runs the contenders in turn, `reps` times, after one round of warm-up if `warm_up`; `report`
/// gets the index of the contender and its numbers.
pub fn measure(
    contenders: &mut [Contender],
    reps: usize,
    warm_up: bool,
    mut report: impl FnMut(usize, &[f64]),
) {
    for round in 0..reps + usize::from(warm_up) {
        for (i, contender) in contenders.iter_mut().enumerate() {
            let sample = (contender.run)();
            if round > 0 || !warm_up {
                report(i, &sample);
            }
        }
    }
}

/// How long `f` takes, in nanoseconds for each of `ops` operations.
pub fn per_op(ops: usize, f: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    f();
    each(begun.elapsed(), ops)
}

/// A time in nanoseconds for each of `ops` operations.
pub fn each(took: Duration, ops: usize) -> f64 {
    took.as_nanos() as f64 / ops as f64
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn contenders_take_turns_and_warm_up_is_dropped() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let contender = |name: &'static str| {
            let calls = Rc::clone(&calls);
            Contender::new(name, move || {
                calls.borrow_mut().push(name);
                calls.borrow().len() as f64
            })
        };
        let mut reported = Vec::new();
        let mut both = [contender("a"), contender("b")];
        measure(&mut both, 2, true, |i, sample| reported.push((i, sample[0])));
        assert_eq!(*calls.borrow(), ["a", "b", "a", "b", "a", "b"]);
        assert_eq!(reported, [(0, 3.0), (1, 4.0), (0, 5.0), (1, 6.0)]);
    }

    #[test]
    fn promises_are_checked_on_the_right_side() {
        assert!(Target::AtMost(60.0).is_met(60.0) && !Target::AtMost(60.0).is_met(60.1));
        assert!(Target::AtLeast(1.8).is_met(1.8) && !Target::AtLeast(1.8).is_met(1.79));
    }
}
