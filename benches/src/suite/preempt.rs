//! What goroutines that compute and never call the runtime do to the others, and these to them.
//!
//! Eight of them on the Ps of the process, which are fewer:
//! `preempt/echo`: the round trip of one client over loopback; `preempt/sleep`: how much longer than a
//! millisecond a sleep of one takes; `preempt/shares`: how far the one that got least, and the one that
//! got most, are from an equal share; `preempt/work`: what a unit of their work takes when slices never
//! end, after 10 ms and after 1 ms. `preempt/blocked`: how long a queued goroutine waits for the P of one
//! that blocks its thread; `preempt/announce`: `blocking` around nothing.

use std::hint::black_box;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gusty::net::{TcpListener, TcpStream};
use gusty_benches::harness::{Bench, Contender, Metric, Scale, per_op};
use gusty_benches::stats::{Unit, percentile};

use super::on_goroutine;

const HOGS: usize = 8;
const ECHO: &[Metric] = &[Metric::nanos("p50"), Metric::nanos_at_most("p99", 500_000.0)];
const LATE: &[Metric] =
    &[Metric::nanos_at_most("p50", 100_000.0), Metric::nanos_at_most("p99", 500_000.0)];
const SHARES: &[Metric] = &[ratio("least"), ratio("most"), Metric::nanos("unit of work")];
const WORK: &[Metric] = &[Metric::nanos("unit of work")];
const WAIT: &[Metric] = &[Metric::nanos("p50"), Metric::nanos_at_most("p99", 200_000.0)];
const NOTHING: &[Metric] = &[Metric::nanos_at_most("call", 15.0)];

const fn ratio(name: &'static str) -> Metric {
    Metric { name, unit: Unit::Times, target: None, against: None }
}

pub(super) fn benches() -> Vec<Bench> {
    let bench = |name, procs, metrics, contenders| {
        let fresh = false;
        Bench { name, procs, metrics, fresh, contenders }
    };
    vec![
        bench("preempt/echo", &[2, 1], ECHO, |scale| {
            let trips = scale.pick(200, 20_000);
            one(move || beside_hogs(move || echo(trips)))
        }),
        bench("preempt/sleep", &[2, 1], LATE, |scale| {
            let sleeps = scale.pick(20, 1_000);
            one(move || beside_hogs(move || late(sleeps)))
        }),
        bench("preempt/shares", &[2], SHARES, |scale| {
            let time = Duration::from_millis(scale.pick(100, 5_000));
            one(move || shares(time))
        }),
        bench("preempt/work", &[2], WORK, work),
        bench("preempt/blocked", &[1], WAIT, |scale| {
            let (n, call) = (scale.pick(3, 50), Duration::from_millis(scale.pick(5, 100)));
            one(move || on_goroutine(move || behind_blocking(n, call)))
        }),
        bench("preempt/announce", &[1], NOTHING, |scale| {
            let n = scale.pick(10_000, 10_000_000);
            one(move || {
                let call = |i| _ = black_box(gusty::blocking(|| black_box(i)));
                vec![on_goroutine(move || per_op(n, || (0..n).for_each(call)))]
            })
        }),
    ]
}

fn one(run: impl FnMut() -> Vec<f64> + 'static) -> Vec<Contender> {
    vec![Contender::with_metrics("gusty", run)]
}

/// On cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicU64);

/// Goroutines that count units of work until told to stop.
struct Hogs {
    stop: Arc<AtomicBool>,
    counts: Vec<Arc<Count>>,
    all: Vec<gusty::JoinHandle<()>>,
}

impl Hogs {
    fn new() -> Hogs {
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Vec<_> = (0..HOGS).map(|_| Arc::new(Count::default())).collect();
        let hog = |count: &Arc<Count>| {
            let (count, stop) = (count.clone(), stop.clone());
            gusty::spawn(move || {
                let mut x = 1u64;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..1_000 {
                        x = black_box(x.wrapping_mul(3) ^ 1);
                    }
                    count.0.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let all = counts.iter().map(hog).collect();
        Hogs { stop, counts, all }
    }

    fn read(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.0.load(Ordering::Relaxed)).collect()
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.all.into_iter().for_each(|hog| hog.join().expect("a hog panicked"));
    }
}

fn beside_hogs(f: impl FnOnce() -> Vec<f64> + Send + 'static) -> Vec<f64> {
    let hogs = Hogs::new();
    let result = on_goroutine(f);
    hogs.stop();
    result
}

fn percentiles(mut times: Vec<f64>) -> Vec<f64> {
    [50, 99].map(|percent| percentile(&mut times, percent)).to_vec()
}

fn nanos(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64
}

fn echo(trips: usize) -> Vec<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = gusty::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut bytes = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..n]).expect("the client reads");
        }
    });
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let mut bytes = [7; 64];
    let times = (0..trips).map(|_| {
        let begun = Instant::now();
        stream.write_all(&bytes).expect("the server reads");
        stream.read_exact(&mut bytes).expect("the server answers");
        nanos(begun)
    });
    let result = percentiles(times.collect());
    drop(stream);
    server.join().expect("the server panicked");
    result
}

fn late(sleeps: usize) -> Vec<f64> {
    let time = Duration::from_millis(1);
    let late = |_| {
        let begun = Instant::now();
        gusty::sleep(time);
        nanos(begun) - time.as_nanos() as f64
    };
    percentiles((0..sleeps).map(late).collect())
}

fn shares(time: Duration) -> Vec<f64> {
    let hogs = Hogs::new();
    std::thread::sleep(time / 20);
    let (before, begun) = (hogs.read(), Instant::now());
    std::thread::sleep(time);
    let (after, took) = (hogs.read(), nanos(begun));
    hogs.stop();
    let done: Vec<f64> = after.iter().zip(before).map(|(after, b)| (after - b) as f64).collect();
    let total: f64 = done.iter().sum();
    let share = |of: f64| of * HOGS as f64 / total;
    let least = done.iter().copied().fold(f64::INFINITY, f64::min);
    let most = done.iter().copied().fold(0.0, f64::max);
    vec![share(least), share(most), took / total]
}

/// The same again in processes of their own, because the slice is a setting of a process.
fn work(scale: Scale) -> Vec<Contender> {
    let slices = [("gusty, no slices", "off"), ("gusty, 10 ms", "10000"), ("gusty, 1 ms", "1000")];
    slices
        .map(|(name, slice)| Contender::new(name, move || work_with_slice(scale, slice)))
        .into_iter()
        .collect()
}

fn work_with_slice(scale: Scale, slice: &str) -> f64 {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--child", "preempt/shares", "--reps", "1", "--contender", "0"]);
    // One more would be thrown away as a warm-up.
    command.arg("--toy").env("GUSTY_SLICE_US", slice);
    let runs = scale.pick(1, 20);
    let times = (0..runs).map(|_| {
        let output = command.output().expect("a child process");
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        line.split_whitespace().last().and_then(|n| n.parse().ok()).expect("a number")
    });
    percentile(&mut times.collect::<Vec<f64>>(), 50)
}

/// How long after the call began the goroutine ran that was queued behind it.
fn behind_blocking(n: usize, call: Duration) -> Vec<f64> {
    let wait = |_| {
        let begun = Arc::new(AtomicU64::new(0));
        let (begin, origin) = (begun.clone(), Instant::now());
        let queued = gusty::spawn(move || nanos(origin) - begin.load(Ordering::Relaxed) as f64);
        begun.store(origin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        gusty::blocking(|| std::thread::sleep(call));
        queued.join().expect("it only looks at the clock")
    };
    percentiles((0..n).map(wait).collect())
}
