//! Job: what may's test suite checks of channels whose senders never wait, over three of ours, from
//!   goroutines, plain threads and both, with 1, 2, 4, 8 and 64 Ps. Which is which: docs/conformance.md.
//! Not here: channels that fill (`peers_may_bounded`).

mod common;
#[path = "peers_may/crew.rs"]
mod crew;
#[path = "peers_may/mpsc.rs"]
mod mpsc;
#[path = "peers_may/roomy.rs"]
mod roomy;
#[path = "peers_may/unbounded.rs"]
mod unbounded;

/// Many receivers; only some channels can have those.
#[test]
fn many_receivers_share_what_is_sent() {
    crew::cases("many_receivers_share_what_is_sent", |crew| {
        let (tx, rx) = gusty::chan::unbounded();
        let (report, reports) = gusty::chan::unbounded();
        for id in 0..10 {
            let (rx, report) = (rx.clone(), report.clone());
            crew.spawn(move || {
                while let Ok(value) = rx.recv() {
                    report.send((id, value)).unwrap();
                }
            });
        }
        drop(report);
        let all = 4 * crew::ROUNDS;
        (0..all).for_each(|i| tx.send(i).unwrap());
        drop(tx);
        let mut got = Vec::new();
        let mut last = [None; 10];
        for (id, value) in reports {
            assert!(last[id] < Some(value), "each sees the order in which it was sent");
            last[id] = Some(value);
            got.push(value);
        }
        got.sort_unstable();
        assert!(got.into_iter().eq(0..all));
    });
}
