//! What it costs to hand a value from one to another.
//!
//! `chan/ping-pong`: two unbuffered channels, one value goes back and forth; time is for a round
//! trip. `chan/stream`: one sender, one receiver, room for 128. `chan/8x8`: eight senders and eight
//! receivers share one channel with room for 128.
//!
//! tokio has no channel without room and none with several receivers: its channel of room 1 is the
//! nearest thing, and it is missing from `8x8`. may has no bounded channel: its senders never wait,
//! which is less work, and it is missing from `stream` and `8x8`, where that would decide. Threads use
//! both CPUs, whatever GOMAXPROCS says.

use std::sync::mpsc;
use std::time::Instant;

use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};
use tokio::sync::mpsc as tokio_mpsc;

use super::{on_goroutine, on_may, on_tokio};

/// Room of the buffered channels.
const ROOM: usize = 128;
/// Senders, and receivers, of the shared channel.
const MANY: usize = 8;

const TRIP: &[Metric] = &[Metric::nanos_at_most("a round trip", 150.0).within(0.35, "Go")];
const VALUE: &[Metric] = &[Metric::nanos("a value").within(0.5, "Go")];
const SHARED: &[Metric] = &[Metric::nanos("a value").within(0.7, "Go")];

pub(super) fn benches() -> Vec<Bench> {
    let bench = |name, metrics, contenders| Bench {
        name,
        procs: &[1, 2],
        metrics,
        fresh: false,
        contenders,
    };
    vec![
        bench("chan/ping-pong", TRIP, ping_pong),
        bench("chan/stream", VALUE, stream),
        bench("chan/8x8", SHARED, many),
    ]
}

/// The measuring side of ping-pong: sends `i`, expects `i + 1`.
fn pings(n: usize, mut trip: impl FnMut(usize) -> usize) -> f64 {
    per_op(n, || (0..n).for_each(|i| assert_eq!(trip(i), i + 1)))
}

fn ping_pong(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(1_000, 1_000_000);
    let threads = scale.pick(100, 20_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                let (ping, pinged) = gusty::chan::bounded(0);
                let (pong, ponged) = gusty::chan::bounded(0);
                let other = gusty::spawn(move || {
                    pinged.iter().for_each(|i: usize| pong.send(i + 1).expect("a receiver"));
                });
                let took = pings(n, |i| {
                    ping.send(i).expect("a receiver");
                    ponged.recv().expect("an answer")
                });
                drop(ping);
                other.join().expect("no panic");
                took
            })
        }),
        Contender::new("tokio, room 1", move || on_tokio(tasks_ping_pong(n))),
        Contender::new("may, unbounded", move || {
            on_may(move || {
                let (ping, pinged) = may::sync::mpsc::channel();
                let (pong, ponged) = may::sync::mpsc::channel();
                drop(may::go!(move || {
                    pinged.iter().for_each(|i: usize| pong.send(i + 1).expect("a receiver"));
                }));
                pings(n, |i| {
                    ping.send(i).expect("a receiver");
                    ponged.recv().expect("an answer")
                })
            })
        }),
        Contender::new("flume on threads", move || {
            let (ping, pinged) = flume::bounded(0);
            let (pong, ponged) = flume::bounded(0);
            std::thread::spawn(move || {
                pinged.iter().for_each(|i: usize| pong.send(i + 1).expect("a receiver"));
            });
            pings(threads, |i| {
                ping.send(i).expect("a receiver");
                ponged.recv().expect("an answer")
            })
        }),
        Contender::new("crossbeam on threads", move || {
            let (ping, pinged) = crossbeam_channel::bounded(0);
            let (pong, ponged) = crossbeam_channel::bounded(0);
            std::thread::spawn(move || {
                pinged.iter().for_each(|i: usize| pong.send(i + 1).expect("a receiver"));
            });
            pings(threads, |i| {
                ping.send(i).expect("a receiver");
                ponged.recv().expect("an answer")
            })
        }),
        Contender::new("std on threads", move || {
            let (ping, pinged) = mpsc::sync_channel(0);
            let (pong, ponged) = mpsc::sync_channel(0);
            std::thread::spawn(move || {
                pinged.iter().for_each(|i: usize| pong.send(i + 1).expect("a receiver"));
            });
            pings(threads, |i| {
                ping.send(i).expect("a receiver");
                ponged.recv().expect("an answer")
            })
        }),
    ]
}

async fn tasks_ping_pong(n: usize) -> f64 {
    let (ping, mut pinged) = tokio_mpsc::channel(1);
    let (pong, mut ponged) = tokio_mpsc::channel(1);
    let other = tokio::spawn(async move {
        while let Some(i) = pinged.recv().await {
            let i: usize = i;
            pong.send(i + 1).await.expect("a receiver");
        }
    });
    let begun = Instant::now();
    for i in 0..n {
        ping.send(i).await.expect("a receiver");
        assert_eq!(ponged.recv().await, Some(i + 1));
    }
    let took = each(begun.elapsed(), n);
    drop(ping);
    other.await.expect("no panic");
    took
}

/// The receiving side of a stream of 0, 1, 2 ... n-1: time for each value.
fn drain(n: usize, values: impl Iterator<Item = usize>) -> f64 {
    per_op(n, || assert_eq!(values.sum::<usize>(), n * (n - 1) / 2))
}

fn stream(scale: Scale) -> Vec<Contender> {
    let n = scale.pick(5_000, 3_000_000);
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                let (tx, rx) = gusty::chan::bounded(ROOM);
                drop(gusty::spawn(move || (0..n).for_each(|i| tx.send(i).expect("a receiver"))));
                drain(n, rx.iter())
            })
        }),
        Contender::new("tokio", move || {
            on_tokio(async move {
                let (tx, mut rx) = tokio_mpsc::channel(ROOM);
                tokio::spawn(async move {
                    for i in 0..n {
                        tx.send(i).await.expect("a receiver");
                    }
                });
                let begun = Instant::now();
                let mut sum = 0;
                while let Some(i) = rx.recv().await {
                    sum += i;
                }
                assert_eq!(sum, n * (n - 1) / 2);
                each(begun.elapsed(), n)
            })
        }),
        Contender::new("crossbeam on threads", move || {
            let (tx, rx) = crossbeam_channel::bounded(ROOM);
            std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).expect("a receiver")));
            drain(n, rx.iter())
        }),
        Contender::new("flume on threads", move || {
            let (tx, rx) = flume::bounded(ROOM);
            std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).expect("a receiver")));
            drain(n, rx.iter())
        }),
        Contender::new("std on threads", move || {
            let (tx, rx) = mpsc::sync_channel(ROOM);
            std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).expect("a receiver")));
            drain(n, rx.iter())
        }),
    ]
}

fn many(scale: Scale) -> Vec<Contender> {
    let share = scale.pick(500, 200_000);
    let (n, expected) = (share * MANY, MANY * (share * (share - 1) / 2));
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                per_op(n, || {
                    let (tx, rx) = gusty::chan::bounded(ROOM);
                    for _ in 0..MANY {
                        let tx = tx.clone();
                        drop(gusty::spawn(move || {
                            (0..share).for_each(|i| tx.send(i).expect("a receiver"));
                        }));
                    }
                    drop(tx);
                    let receive = |_| {
                        let rx = rx.clone();
                        gusty::spawn(move || rx.iter().sum::<usize>())
                    };
                    let all: Vec<_> = (0..MANY).map(receive).collect();
                    let sum: usize = all.into_iter().map(|one| one.join().expect("no panic")).sum();
                    assert_eq!(sum, expected);
                })
            })
        }),
        Contender::new("crossbeam on 16 threads", move || {
            per_op(n, || {
                let (tx, rx) = crossbeam_channel::bounded(ROOM);
                for _ in 0..MANY {
                    let tx = tx.clone();
                    std::thread::spawn(move || {
                        (0..share).for_each(|i| tx.send(i).expect("a receiver"));
                    });
                }
                drop(tx);
                let receive = |_| {
                    let rx = rx.clone();
                    std::thread::spawn(move || rx.iter().sum::<usize>())
                };
                let all: Vec<_> = (0..MANY).map(receive).collect();
                let sum: usize = all.into_iter().map(|one| one.join().expect("no panic")).sum();
                assert_eq!(sum, expected);
            })
        }),
    ]
}
