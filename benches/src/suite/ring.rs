//! `ring`: a thousand goroutines in a circle, each passes a number on, plus one, over an unbuffered
//! channel. One token, so at each time one of them can run: latency, not throughput. Time is for a
//! hop.

use std::time::Instant;

use gusty::chan;
use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};
use tokio::sync::mpsc;

use super::{on_goroutine, on_tokio};

pub(super) fn benches() -> Vec<Bench> {
    vec![Bench {
        name: "ring",
        procs: &[1, 2],
        metrics: const { &[Metric::nanos("a hop")] },
        fresh: false,
        contenders,
    }]
}

fn contenders(scale: Scale) -> Vec<Contender> {
    let (size, rounds) = scale.pick((50, 20), (1_000, 1_000));
    let thread_rounds = scale.pick(2, 20);
    vec![
        Contender::new("gusty", move || on_goroutine(move || goroutines(size, rounds))),
        Contender::new("tokio, room 1", move || on_tokio(tasks(size, rounds))),
        Contender::new("crossbeam on threads", move || threads(size, thread_rounds)),
    ]
}

fn goroutines(size: usize, rounds: usize) -> f64 {
    let (first, mut rx) = chan::bounded::<usize>(0);
    for _ in 1..size {
        let (tx, next) = chan::bounded(0);
        gusty::go!(move || rx.iter().for_each(|n| tx.send(n + 1).expect("a receiver")));
        rx = next;
    }
    turns(size, rounds, |n| {
        first.send(n).expect("a receiver");
        rx.recv().expect("a sender")
    })
}

/// The member of the ring who measures: sends the token off and gets it back.
fn turns(size: usize, rounds: usize, mut turn: impl FnMut(usize) -> usize) -> f64 {
    let mut token = 0;
    let took = per_op(size * rounds, || (0..rounds).for_each(|_| token = turn(token) + 1));
    assert_eq!(token, size * rounds);
    took
}

async fn tasks(size: usize, rounds: usize) -> f64 {
    let (first, mut rx) = mpsc::channel::<usize>(1);
    for _ in 1..size {
        let (tx, next) = mpsc::channel(1);
        let mut mine = std::mem::replace(&mut rx, next);
        tokio::spawn(async move {
            while let Some(n) = mine.recv().await {
                tx.send(n + 1).await.expect("a receiver");
            }
        });
    }
    let begun = Instant::now();
    let mut token = 0;
    for _ in 0..rounds {
        first.send(token).await.expect("a receiver");
        token = rx.recv().await.expect("a sender") + 1;
    }
    assert_eq!(token, size * rounds);
    each(begun.elapsed(), size * rounds)
}

fn threads(size: usize, rounds: usize) -> f64 {
    let (first, mut rx) = crossbeam_channel::bounded::<usize>(0);
    for _ in 1..size {
        let (tx, next) = crossbeam_channel::bounded(0);
        std::thread::spawn(move || rx.iter().for_each(|n| tx.send(n + 1).expect("a receiver")));
        rx = next;
    }
    turns(size, rounds, |n| {
        first.send(n).expect("a receiver");
        rx.recv().expect("a sender")
    })
}
