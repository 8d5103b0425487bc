//! Job: Go's power-series programs (chan/powser1, powser2): a dataflow of goroutines and channels in
//!   which every operation on a series is a goroutine.
//! Not here: rows about one channel (`conformance_chan`).

mod common;
mod waiters;

use gusty::chan::{self, Receiver, Sender};
use gusty::go;
use waiters::sweep;

/// How many coefficients are compared.
const TERMS: usize = 10;

/// A fraction in lowest terms, the denominator above zero. Goroutines work ahead of who reads, so sums
/// and products may become too large for it: such a series ends there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ratio(i128, i128);

impl Ratio {
    fn new(n: i128, d: i128) -> Ratio {
        let (mut a, mut b) = (n.abs(), d.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Ratio(n / a * d.signum(), d / a * d.signum())
    }

    fn plus(self, other: Ratio) -> Option<Ratio> {
        let (left, right) = (self.0.checked_mul(other.1)?, other.0.checked_mul(self.1)?);
        Some(Ratio::new(left.checked_add(right)?, self.1.checked_mul(other.1)?))
    }

    fn times(self, other: Ratio) -> Option<Ratio> {
        Some(Ratio::new(self.0.checked_mul(other.0)?, self.1.checked_mul(other.1)?))
    }
}

/// Coefficients, the lowest first; it ends when its consumer goes or its sources end.
type Series = Receiver<Ratio>;

/// A goroutine that makes a series until it returns `None`: nobody listens, or nothing comes in.
fn series(
    capacity: usize,
    f: impl FnOnce(&Sender<Ratio>) -> Option<()> + Send + 'static,
) -> Series {
    let (tx, rx) = chan::bounded(capacity);
    go!(move || f(&tx));
    rx
}

fn forever(mut f: impl FnMut() -> Option<()>) -> Option<()> {
    while f().is_some() {}
    None
}

fn geometric(ratio: i128) -> Series {
    series(0, move |out| {
        let mut term = Ratio(1, 1);
        forever(|| {
            out.send(term).ok()?;
            term = term.times(Ratio(ratio, 1))?;
            Some(())
        })
    })
}

fn polynomial(terms: &'static [i128]) -> Series {
    series(0, |out| {
        let zeros = std::iter::repeat(&0);
        terms.iter().chain(zeros).try_for_each(|&term| out.send(Ratio(term, 1)).ok())
    })
}

/// How far a copy may be read ahead of the other: more than the comparisons need, and an end to working
/// ahead for nobody.
const AHEAD: usize = 64;

/// The same series twice. Each copy is read at its own pace, so one may have to wait in a buffer.
fn split(f: Series) -> (Series, Series) {
    let ((a, left), (b, right)) = (chan::bounded(AHEAD), chan::bounded(AHEAD));
    go!(move || forever(|| {
        let term = f.recv().ok()?;
        let (a, b) = (a.send(term), b.send(term));
        a.or(b).ok()
    }));
    (left, right)
}

fn add(f: Series, g: Series) -> Series {
    series(0, move |out| forever(|| out.send(f.recv().ok()?.plus(g.recv().ok()?)?).ok()))
}

fn scale(by: Ratio, f: Series) -> Series {
    series(0, move |out| forever(|| out.send(f.recv().ok()?.times(by)?).ok()))
}

/// f * g = f0 g0 + x (f0 g' + g0 f') + x^2 f' g', where f = f0 + x f'.
fn multiply(f: Series, g: Series) -> Series {
    series(0, move |out| {
        let (f0, g0) = (f.recv().ok()?, g.recv().ok()?);
        out.send(f0.times(g0)?).ok()?;
        let ((fa, fb), (ga, gb)) = (split(f), split(g));
        let cross = add(scale(f0, ga), scale(g0, fa));
        out.send(cross.recv().ok()?).ok()?;
        let rest = multiply(fb, gb);
        forever(|| out.send(cross.recv().ok()?.plus(rest.recv().ok()?)?).ok())
    })
}

fn integrate(constant: Ratio, f: Series) -> Series {
    series(0, move |out| {
        out.send(constant).ok()?;
        (1..).try_for_each(|n| out.send(f.recv().ok()?.times(Ratio::new(1, n))?).ok())
    })
}

fn differentiate(f: Series) -> Series {
    series(0, move |out| {
        f.recv().ok()?;
        (1..).try_for_each(|n| out.send(f.recv().ok()?.times(Ratio(n, 1))?).ok())
    })
}

/// The solution of y' = f(y), y(0) = `y0`: its output is its own input, `terms` of it.
fn solve(y0: i128, terms: usize, f: fn(Series) -> Series) -> Series {
    let (back, y) = chan::unbounded();
    let solution = integrate(Ratio(y0, 1), f(y));
    series(0, move |out| {
        (0..terms).try_for_each(|_| {
            let term = solution.recv().ok()?;
            back.send(term).ok()?;
            out.send(term).ok()
        })
    })
}

fn exponential() -> Series {
    solve(1, TERMS + 2, |y| y)
}

#[track_caller]
fn assert_begins(f: &Series, expected: &[(i128, i128)]) {
    let got: Vec<Ratio> = f.iter().take(expected.len()).collect();
    let expected: Vec<Ratio> = expected.iter().map(|&(n, d)| Ratio::new(n, d)).collect();
    assert_eq!(got, expected);
}

/// Row 26: known series from sums, products, derivatives, integrals and feedback.
#[test]
fn row_26_power_series() {
    sweep("row_26", known_series);
}

fn known_series() {
    let squares = multiply(geometric(1), geometric(1));
    assert_begins(&squares, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(|n| (n, 1)));
    let one = multiply(geometric(3), polynomial(&[1, -3]));
    assert_begins(&one, &[1, 0, 0, 0, 0, 0, 0, 0].map(|n| (n, 1)));
    let cancelled = add(geometric(2), scale(Ratio(-1, 1), geometric(2)));
    assert_begins(&cancelled, &[(0, 1); TERMS]);

    let factorials = [1, 1, 2, 6, 24, 120, 720, 5040, 40_320, 362_880].map(|n| (1, n));
    assert_begins(&exponential(), &factorials);
    assert_begins(&differentiate(exponential()), &factorials);
    let (f, g) = split(exponential());
    let doubled = multiply(f, g); // exp(2x)
    let powers = factorials.into_iter().enumerate().map(|(i, (_, n))| (1 << i, n));
    assert_begins(&doubled, &powers.collect::<Vec<_>>());

    // tan' = 1 + tan^2
    let tangent = solve(0, 8, |y| {
        let (f, g) = split(y);
        add(polynomial(&[1]), multiply(f, g))
    });
    let known = [(0, 1), (1, 1), (0, 1), (1, 3), (0, 1), (2, 15), (0, 1), (17, 315)];
    assert_begins(&tangent, &known);
}
