//! How much faster two Ps are than one, on work that divides itself.
//!
//! `fork-join/fib`: recursion that starts a goroutine for one half and computes the other, below a
//! cutoff plain calls; all work begins on one P and has to be stolen. `fork-join/hash`: eight
//! independent loops.
//!
//! The same process runs with one P and with two in turn. The threads of the peer are started by
//! hand and split the work evenly: they show what the machine can give (on shared CPUs less than
//! 2.0), so they are the mark to compare with.

use std::hint::black_box;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, Target, per_op};
use gusty_benches::stats::Unit;

use super::on_goroutine;

const METRICS: &[Metric] = &[
    Metric {
        name: "2 over 1",
        unit: Unit::Times,
        target: Some(Target::AtLeast(1.8)),
        against: None,
    },
    Metric::nanos("with 1"),
    Metric::nanos("with 2"),
];

pub(super) fn benches() -> Vec<Bench> {
    let bench =
        |name, contenders| Bench { name, procs: &[2], metrics: METRICS, fresh: false, contenders };
    vec![bench("fork-join/fib", fib_contenders), bench("fork-join/hash", hash_contenders)]
}

/// Time with one P, time with two, and their ratio first.
fn speed_up(mut run_on: impl FnMut(usize) -> f64) -> Vec<f64> {
    let (one, two) = (run_on(1), run_on(2));
    vec![one / two, one, two]
}

fn goroutines(name: &'static str, work: impl Fn() + Copy + Send + 'static) -> Contender {
    Contender::with_metrics(name, move || {
        speed_up(|procs| {
            gusty::runtime::gomaxprocs(procs);
            on_goroutine(move || per_op(1, work))
        })
    })
}

fn fib_contenders(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(20, 38);
    let expected = fib(n);
    vec![
        goroutines("gusty, spawn + join", move || assert_eq!(fib_spawn(n), expected)),
        goroutines("gusty, scope", move || assert_eq!(fib_scope(n), expected)),
        Contender::with_metrics("2 threads", move || {
            // Not the whole of fib(n), but two equal parts of three quarters of it.
            speed_up(|threads| {
                halves(threads, move || assert_ne!(black_box(fib(black_box(n - 2))), 0))
            })
        }),
    ]
}

/// Below this a call is cheaper than a goroutine: fib(20) takes some 15 us.
const CUTOFF: u64 = 20;

fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(black_box(n - 1)) + fib(n - 2) }
}

fn fib_spawn(n: u64) -> u64 {
    if n <= CUTOFF {
        return fib(n);
    }
    let left = gusty::spawn(move || fib_spawn(n - 1));
    let right = fib_spawn(n - 2);
    left.join().expect("no panic") + right
}

fn fib_scope(n: u64) -> u64 {
    if n <= CUTOFF {
        return fib(n);
    }
    gusty::scope(|scope| {
        let left = scope.spawn(|| fib_scope(n - 1));
        let right = fib_scope(n - 2);
        left.join().expect("no panic") + right
    })
}

/// Loops that share nothing.
const LOOPS: usize = 8;

fn hash_contenders(scale: Scale) -> Vec<Contender> {
    let rounds = scale.pick(10_000, 4_000_000);
    let expected = hash(rounds);
    vec![
        goroutines("gusty", move || {
            let all: Vec<_> = (0..LOOPS).map(|_| gusty::spawn(move || hash(rounds))).collect();
            for one in all {
                assert_eq!(one.join().expect("no panic"), expected);
            }
        }),
        Contender::with_metrics("2 threads", move || {
            speed_up(|threads| {
                halves(threads, move || {
                    (0..LOOPS / 2).for_each(|_| assert_eq!(hash(rounds), expected));
                })
            })
        }),
    ]
}

/// FNV-1a over its own output: a chain of multiplications that neither vectorises nor misses a
/// cache.
fn hash(rounds: u64) -> u64 {
    (0..rounds).fold(black_box(0xcbf2_9ce4_8422_2325), |hash: u64, byte| {
        (hash ^ (byte & 0xff)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Does `half` twice, on one thread or on two.
fn halves(threads: usize, half: impl Fn() + Copy + Send + 'static) -> f64 {
    per_op(1, || {
        let helpers: Vec<_> = (1..threads).map(|_| std::thread::spawn(half)).collect();
        (0..2 / threads).for_each(|_| half());
        helpers.into_iter().for_each(|helper| helper.join().expect("no panic"));
    })
}
