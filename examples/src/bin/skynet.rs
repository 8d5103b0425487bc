//! Skynet: a tree of goroutines, ten children each, down to a million leaves. Every leaf sends its
//! number up, every parent the sum of its children.
//!
//! A goroutine that never waits reuses a warm stack, so the tree costs far less than a million
//! stacks. Usage: `skynet [leaves]`, a power of ten.

use std::process::ExitCode;
use std::time::Instant;

use gusty::chan::{self, Sender};
use gusty::go;
use gusty_examples::cli::{self, Outcome};

const CHILDREN: u64 = 10;

/// Sends the sum of the leaves `first..first + leaves`.
fn node(parent: Sender<u64>, first: u64, leaves: u64) {
    let sum = if leaves == 1 {
        first
    } else {
        // Room for every child's answer: no child waits for its parent.
        let (tx, rx) = chan::bounded(CHILDREN as usize);
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            go!(node(tx.clone(), first + child * each, each));
        }
        drop(tx); // the sum ends when the last child has dropped its sender
        rx.iter().sum()
    };
    // Only a parent that panicked does not listen; its own parent will notice.
    let _ = parent.send(sum);
}

fn run() -> Outcome {
    let leaves = cli::number(1, "leaves", 1_000_000)? as u64;
    if leaves.checked_ilog(CHILDREN).is_none_or(|depth| CHILDREN.pow(depth) != leaves) {
        return Err(format!("leaves: {leaves} is not a power of {CHILDREN}").into());
    }
    let start = Instant::now();
    let (tx, rx) = chan::bounded(1);
    go!(node(tx, 0, leaves));
    let sum = rx.recv()?;
    let took = start.elapsed();
    println!("{} leaves, sum {sum}, {took:.1?}", cli::grouped(leaves));
    let expected = u128::from(leaves) * u128::from(leaves - 1) / 2;
    if u128::from(sum) != expected {
        return Err(format!("the sum should be {expected}").into());
    }
    Ok(())
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
