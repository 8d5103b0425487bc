//! Job: a million goroutines waiting at the same time, and as many threads as can be had.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gusty::chan;
use gusty::sync::WaitGroup;
use gusty_examples::cli::{Outcome, grouped};

use crate::term::{Row, Term, Who, each, kilobytes, time, times};
use crate::{scaled, usage};

const GOROUTINES: usize = scaled(1_000_000);
const THREADS: usize = scaled(10_000);
/// More than a waiting goroutine takes.
const EACH_AT_MOST: u64 = 6_000;
/// A virtual machine whose host hands out memory slowly may need this long; then it is enough.
const BUDGET: Duration = Duration::from_secs(5);
/// How many are started between looks at the clock.
const STEP: usize = 50_000;

/// What one kind took.
struct Figures {
    count: usize,
    /// To start them until all wait, and to wake them until all are done.
    park: Duration,
    wake: Duration,
    bytes: u64,
}

pub(crate) fn section(term: &Term) -> Outcome {
    let room = (usage::available() / 2 / EACH_AT_MOST) as usize;
    let count = GOROUTINES.min(room);
    let about = format!("{} goroutines on one channel", grouped(count as u64));
    term.section(2, "Waiting, all at once", &about);
    if count < GOROUTINES {
        term.remark(format!(
            "half the memory that is free has room for {} of {}",
            grouped(count as u64),
            grouped(GOROUTINES as u64)
        ));
    }
    let goroutines = goroutines(count)?;
    if goroutines.count < count {
        let made = grouped(goroutines.count as u64);
        term.remark(format!("stopped at {made}: this machine gives memory slowly"));
    }
    let (threads, refusal) = threads();
    if let Some(error) = refusal {
        let made = grouped(threads.count as u64);
        term.remark(format!("only {made} OS threads: {error}"));
    }
    show(term, &goroutines, &threads);
    Ok(())
}

fn show(term: &Term, goroutines: &Figures, threads: &Figures) {
    let row = |who, figures: &Figures| {
        let bytes = figures.bytes as f64 / figures.count.max(1) as f64;
        let label = match who {
            Who::Goroutine => "goroutine",
            Who::Thread => "OS thread",
        };
        let [park, wake] = [figures.park, figures.wake].map(|d| time(each(d, figures.count)));
        let note = format!("start {park}, wake {wake}");
        (bytes, Row::new(who, label, kilobytes(bytes), bytes).note(note))
    };
    let (own, goroutine) = row(Who::Goroutine, goroutines);
    let (other, thread) = row(Who::Thread, threads);
    term.rows(&[goroutine, thread]);
    term.remark(format!(
        "{} goroutines: {:.1} GB, started in {}, woken in {}; a thread takes {}",
        grouped(goroutines.count as u64),
        goroutines.bytes as f64 / 1e9,
        time(goroutines.park),
        time(goroutines.wake),
        times(other, own)
    ));
}

/// Goroutines that wait for a message that never comes: the channel's end wakes all.
fn goroutines(wanted: usize) -> Result<Figures, std::io::Error> {
    static STARTED: WaitGroup = WaitGroup::new();
    static WOKEN: WaitGroup = WaitGroup::new();
    let (tx, rx) = chan::bounded::<()>(0);
    let (before, start) = (usage::taken(), Instant::now());
    let mut count = 0;
    while count < wanted && start.elapsed() < BUDGET {
        let step = STEP.min(wanted - count);
        STARTED.add(step);
        WOKEN.add(step);
        for _ in 0..step {
            let rx = rx.clone();
            gusty::Builder::new().spawn(move || {
                STARTED.done();
                let _ = rx.recv(); // parks
                WOKEN.done();
            })?;
        }
        STARTED.wait();
        count += step;
    }
    let park = start.elapsed();
    let bytes = usage::taken().saturating_sub(before);
    let start = Instant::now();
    drop(tx);
    WOKEN.wait();
    Ok(Figures { count, park, wake: start.elapsed(), bytes })
}

/// Threads that wait likewise, as many as the system allows, and why there are no more.
fn threads() -> (Figures, Option<std::io::Error>) {
    static GO: AtomicBool = AtomicBool::new(false);
    GO.store(false, Ordering::Relaxed);
    let (started, all) = std::sync::mpsc::channel();
    let (before, start) = (usage::taken(), Instant::now());
    let mut threads = Vec::new();
    let mut refusal = None;
    while threads.len() < THREADS && refusal.is_none() {
        let started = started.clone();
        let wait = move || {
            let _ = started.send(()); // main waits for it
            while !GO.load(Ordering::Relaxed) {
                thread::park();
            }
        };
        match thread::Builder::new().stack_size(64 << 10).spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => refusal = Some(error),
        }
    }
    let count = threads.len();
    all.iter().take(count).for_each(drop);
    let park = start.elapsed();
    let bytes = usage::taken().saturating_sub(before);
    let start = Instant::now();
    GO.store(true, Ordering::Relaxed); // a thread's unpark happens before its park returns
    for thread in &threads {
        thread.thread().unpark();
    }
    for thread in threads {
        let _ = thread.join(); // it has nothing to panic about
    }
    (Figures { count, park, wake: start.elapsed(), bytes }, refusal)
}
