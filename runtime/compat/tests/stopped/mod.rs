//! Job: goroutines that are stopped in the middle of an allocator that is part of the program, while
//!   others, and the runtime itself, go on.
//! Not here: that the runtime calls no allocator where it holds a P (`tests/section_alloc.rs`).
//!
//! mimalloc and jemalloc linked into a program are code of its own, where a goroutine may be stopped at
//! any instruction: with the allocator's locks held, and its thread's heap in the middle of a change.
//! Memory is filled with a pattern when it is allocated, handed around, and checked when it is freed
//! somewhere else. `GUSTY_STRESS_SECS` has each round last longer than the second that it takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gusty::chan::{Receiver, Sender, bounded};

use crate::common::{Child, Rng};

/// A block that knows what it should hold.
struct Block {
    bytes: Vec<u8>,
    fill: u8,
}

impl Block {
    fn new(rng: &mut Rng) -> Block {
        // Small ones mostly; some that an allocator takes from the kernel.
        let size = match rng.below(100) {
            0 => 100_000 + rng.below(2_000_000),
            1..10 => rng.below(40_000),
            _ => rng.below(600),
        };
        let fill = rng.next() as u8;
        Block { bytes: vec![fill; size], fill }
    }

    /// Grows or shrinks in place or by a move.
    fn resize(&mut self, rng: &mut Rng) {
        let size = self.bytes.len() / 2 + rng.below(self.bytes.len() + 100);
        self.bytes.resize(size, self.fill);
        if rng.below(3) == 0 {
            self.bytes.shrink_to_fit();
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let [first, last] = [self.bytes.first(), self.bytes.last()];
        assert!(first.into_iter().chain(last).all(|byte| *byte == self.fill), "corrupted");
        assert!(self.bytes.iter().step_by(61).all(|byte| *byte == self.fill), "corrupted");
    }
}

/// Allocates, hands blocks to others and frees theirs; seldom calls the runtime.
fn churn(seed: usize, over: &AtomicBool, tx: &Sender<Block>, rx: &Receiver<Block>) -> usize {
    let mut rng = Rng(seed as u64);
    let mut kept: HashMap<usize, Block> = HashMap::new();
    let mut rounds = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..200 {
            let key = rng.below(64);
            match rng.below(4) {
                0 => drop(kept.remove(&key)),
                1 if kept.contains_key(&key) => kept.get_mut(&key).unwrap().resize(&mut rng),
                _ => drop(kept.insert(key, Block::new(&mut rng))),
            }
        }
        rounds += 1;
        if let Some(block) = kept.remove(&rng.below(64)) {
            drop(tx.try_send(block));
        }
        drop(rx.try_recv());
    }
    rounds
}

/// What makes the runtime work on its tables meanwhile.
fn bustle(over: &AtomicBool, spawned: &AtomicUsize) {
    let mut rng = Rng(7);
    while !over.load(Ordering::Relaxed) {
        let all: Vec<_> = (0..rng.below(40))
            .map(|i| {
                let block = Block::new(&mut rng);
                let builder = gusty::Builder::new().name(format!("short {i}"));
                let run = move || {
                    gusty::sleep(Duration::from_micros(i as u64 * 10));
                    drop(block);
                };
                builder.spawn(run).unwrap()
            })
            .collect();
        spawned.fetch_add(all.len(), Ordering::Relaxed);
        for (i, handle) in all.into_iter().enumerate() {
            if i % 3 == 0 {
                drop(handle);
            } else {
                handle.join().unwrap();
            }
        }
        gusty::blocking(|| std::thread::sleep(Duration::from_micros(200)));
    }
}

fn storm(procs: usize, time: Duration) {
    let (over, spawned) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (tx, rx) = bounded(100);
    let churners: Vec<_> = (0..4 * procs)
        .map(|seed| {
            let (over, tx, rx) = (over.clone(), tx.clone(), rx.clone());
            gusty::spawn(move || churn(seed, &over, &tx, &rx))
        })
        .collect();
    let bustlers: Vec<_> = (0..2)
        .map(|_| {
            let (over, spawned) = (over.clone(), spawned.clone());
            gusty::spawn(move || bustle(&over, &spawned))
        })
        .collect();
    let outsider = {
        let (over, tx, rx) = (over.clone(), tx, rx);
        std::thread::spawn(move || churn(99, &over, &tx, &rx))
    };
    let end = Instant::now() + time;
    while Instant::now() < end {
        gusty::sleep(Duration::from_millis(10)); // by a timer of P 0
    }
    over.store(true, Ordering::Relaxed);
    assert!(outsider.join().unwrap() > 0);
    bustlers.into_iter().for_each(|handle| handle.join().unwrap());
    let rounds: Vec<_> = churners.into_iter().map(|handle| handle.join().unwrap()).collect();
    assert!(rounds.iter().all(|rounds| *rounds > 0), "{rounds:?}");
    assert!(spawned.load(Ordering::Relaxed) > 0);
}

#[test]
fn the_allocator_is_stopped_anywhere() {
    let seconds = std::env::var("GUSTY_STRESS_SECS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(1));
    for procs in [1, 2, 8] {
        let child = Child::of("stopped::the_allocator_is_stopped_anywhere")
            .env("GOMAXPROCS", procs)
            .env("GUSTY_SLICE_US", 100)
            .env("GUSTY_THREAD_IDLE_MS", 10);
        let ended = child.run(|| {
            storm(procs, time);
            if gusty::runtime::features().tls.is_own() {
                assert!(gusty::runtime::metrics().preemptions > 0, "nobody was stopped");
            }
        });
        ended.succeeded();
    }
}
