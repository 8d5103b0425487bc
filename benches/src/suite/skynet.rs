//! `skynet`: a tree with a million leaves, ten children to a node; each node is a goroutine that
//! starts its children and adds up what they send over a channel. Creation, channels, wake-ups and
//! memory at once; 1,111,111 of each. Time is for the whole tree.

use std::time::Instant;

use gusty::chan;
use gusty_benches::harness::{Bench, Contender, Metric, Scale, each, per_op};
use tokio::sync::mpsc;

use super::{on_goroutine, on_tokio};

const CHILDREN: u64 = 10;

pub(super) fn benches() -> Vec<Bench> {
    vec![Bench {
        name: "skynet",
        procs: &[1, 2],
        metrics: const { &[Metric::nanos("the tree")] },
        fresh: false,
        contenders,
    }]
}

fn contenders(scale: Scale) -> Vec<Contender> {
    let leaves = scale.pick(1_000, 1_000_000);
    let expected = leaves * (leaves - 1) / 2;
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || {
                per_op(1, || {
                    let (tx, rx) = chan::bounded(1);
                    goroutine(tx, 0, leaves);
                    assert_eq!(rx.recv(), Ok(expected));
                })
            })
        }),
        Contender::new("tokio", move || {
            on_tokio(async move {
                let begun = Instant::now();
                let (tx, mut rx) = mpsc::channel(1);
                task(tx, 0, leaves);
                assert_eq!(rx.recv().await, Some(expected));
                each(begun.elapsed(), 1)
            })
        }),
    ]
}

/// Starts the node for `size` leaves from `first` on.
fn goroutine(parent: chan::Sender<u64>, first: u64, size: u64) {
    gusty::go!(move || {
        let sum = if size == 1 {
            first
        } else {
            let (tx, rx) = chan::bounded(CHILDREN as usize);
            let share = size / CHILDREN;
            for child in 0..CHILDREN {
                goroutine(tx.clone(), first + child * share, share);
            }
            rx.iter().take(CHILDREN as usize).sum()
        };
        parent.send(sum).expect("the parent waits");
    });
}

fn task(parent: mpsc::Sender<u64>, first: u64, size: u64) {
    tokio::spawn(async move {
        let mut sum = first;
        if size > 1 {
            sum = 0;
            let (tx, mut rx) = mpsc::channel(CHILDREN as usize);
            let share = size / CHILDREN;
            for child in 0..CHILDREN {
                task(tx.clone(), first + child * share, share);
            }
            for _ in 0..CHILDREN {
                sum += rx.recv().await.expect("each child sends");
            }
        }
        parent.send(sum).await.expect("the parent waits");
    });
}
