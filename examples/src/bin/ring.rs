//! A token goes around a ring of goroutines: each hop is one send on an unbuffered channel, one
//! goroutine parked, one woken. Usage: `ring [nodes] [rounds]`.

use std::process::ExitCode;
use std::time::Instant;

use gusty::chan::{self, Receiver, Sender};
use gusty::go;
use gusty_examples::cli::{self, Outcome};

/// Counts a hop and hands the token on, until the ring is opened.
fn node(left: Receiver<u64>, right: Sender<u64>) {
    for hops in left {
        if right.send(hops + 1).is_err() {
            return;
        }
    }
}

fn run() -> Outcome {
    let nodes = cli::number(1, "nodes", 1000)?;
    let rounds = cli::number(2, "rounds", 200)?;

    // A line of `nodes` goroutines; main joins its ends.
    let (first, mut left) = chan::bounded(0);
    let mut ring = Vec::new();
    for _ in 0..nodes {
        let (tx, rx) = chan::bounded(0);
        ring.push(go!(node(left, tx)));
        left = rx;
    }

    let mut hops = 0;
    let start = Instant::now();
    if nodes > 0 {
        for _ in 0..rounds {
            first.send(hops)?;
            hops = left.recv()?;
        }
    }
    let took = start.elapsed();
    if hops != nodes as u64 * rounds as u64 {
        return Err(format!("the token counted {hops} hops").into());
    }

    // Opening the ring at one place ends every node, one after the other.
    drop(first);
    for node in ring {
        node.join().map_err(|_| "a node panicked")?;
    }
    let rate = hops as f64 / took.as_secs_f64().max(1e-9);
    println!("{} hops in {took:.1?}: {} hops/s", cli::grouped(hops), cli::grouped(rate as u64));
    println!("done");
    Ok(())
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
