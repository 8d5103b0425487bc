//! `sieve`: the first 2,000 primes by a chain of filters, a goroutine for each prime found so far,
//! unbuffered channels between them: some 2.8 million numbers handed on by ever more goroutines.
//! Time is for all of it.
//!
//! Threads are left out: a hand-over takes them some ten microseconds, the whole half a minute.

use std::time::Instant;

use gusty::chan;
use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};
use tokio::sync::mpsc;

use super::{on_goroutine, on_tokio};

pub(super) fn benches() -> Vec<Bench> {
    vec![Bench {
        name: "sieve",
        procs: &[1, 2],
        metrics: const { &[Metric::nanos("all primes").within(0.5, "Go")] },
        fresh: false,
        contenders,
    }]
}

fn contenders(scale: Scale) -> Vec<Contender> {
    let (count, last) = scale.pick((50, 229), (2_000, 17_389));
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || per_op(1, || assert_eq!(goroutines(count), last)))
        }),
        Contender::new("tokio, room 1", move || {
            on_tokio(async move {
                let begun = Instant::now();
                assert_eq!(tasks(count).await, last);
                each(begun.elapsed(), 1)
            })
        }),
    ]
}

/// The last of the first `count` primes. When it returns, the chain collapses from its end.
fn goroutines(count: usize) -> u32 {
    let (tx, mut rx) = chan::bounded(0);
    gusty::go!(move || {
        let _ = (2..).try_for_each(|n| tx.send(n));
    });
    let mut prime = 0;
    for _ in 0..count {
        prime = rx.recv().expect("numbers do not end");
        let (tx, next) = chan::bounded(0);
        let numbers = std::mem::replace(&mut rx, next);
        gusty::go!(move || {
            let _ = numbers.iter().filter(|n| n % prime != 0).try_for_each(|n| tx.send(n));
        });
    }
    prime
}

async fn tasks(count: usize) -> u32 {
    let (tx, mut rx) = mpsc::channel(1);
    tokio::spawn(async move {
        for n in 2.. {
            if tx.send(n).await.is_err() {
                return;
            }
        }
    });
    let mut prime = 0;
    for _ in 0..count {
        prime = rx.recv().await.expect("numbers do not end");
        let (tx, next) = mpsc::channel(1);
        let mut numbers = std::mem::replace(&mut rx, next);
        tokio::spawn(async move {
            while let Some(n) = numbers.recv().await {
                if n % prime != 0 && tx.send(n).await.is_err() {
                    return;
                }
            }
        });
    }
    prime
}
