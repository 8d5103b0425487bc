//! The concurrent prime sieve: a chain of goroutines that grows by one filter per prime.
//!
//! `generate` counts 2, 3, 4, ...; each filter drops the multiples of its prime and hands on the
//! rest, so the first number that leaves the chain is the next prime:
//!
//! ```text
//! generate -> [2] -> [3] -> [5] -> ... -> main
//! ```
//!
//! The channels are unbuffered: a number moves only when the next stage is ready for it. Usage:
//! `sieve [primes]`.

use std::process::ExitCode;

use gusty::chan::{self, Receiver, Sender};
use gusty::go;
use gusty_examples::cli::{self, Outcome};

/// Sends 2, 3, 4, ... until nobody listens.
fn generate(sink: Sender<u64>) {
    for n in 2.. {
        if sink.send(n).is_err() {
            return;
        }
    }
}

/// Hands on what `prime` does not divide.
fn filter(source: Receiver<u64>, sink: Sender<u64>, prime: u64) {
    for n in source.iter().filter(|n| n % prime != 0) {
        if sink.send(n).is_err() {
            return;
        }
    }
}

fn run() -> Outcome {
    let count = cli::number(1, "primes", 300)?;
    let (sink, mut source) = chan::bounded(0);
    go!(generate(sink));
    let mut last = None;
    for _ in 0..count {
        let prime = source.recv()?;
        let (sink, next) = chan::bounded(0);
        go!(filter(source, sink, prime));
        source = next;
        last = Some(prime);
    }
    match last {
        Some(prime) => println!("prime {count} is {prime}"),
        None => println!("no primes asked for"),
    }
    // Dropping `source` ends the last filter's send, that filter's end the one before it, and so
    // on up to `generate`.
    Ok(())
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
