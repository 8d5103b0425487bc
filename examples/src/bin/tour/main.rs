//! The tour: what goroutines cost and what they do, live, beside OS threads. Ends by itself in
//! less than 20 seconds; debug builds do less of everything.
//!
//! Each section is a file: its goroutine half and its thread half are the same program.

mod http;
mod million;
mod parallel;
mod ping_pong;
mod sleepers;
mod spawn;
mod term;
mod usage;

use std::process::ExitCode;
use std::time::Instant;

use gusty::runtime;
use gusty_examples::cli::{self, Outcome};

use term::Term;

/// `n`, or a twentieth of it in a debug build.
const fn scaled(n: usize) -> usize {
    if cfg!(debug_assertions) { n / 20 } else { n }
}

/// Numbers between 0 and `below` that look random and are the same each time.
fn scattered(i: usize, below: u64) -> u64 {
    let mut x = (i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 29)) % below
}

fn run() -> Outcome {
    let term = Term::detect();
    let start = Instant::now();
    term.title(runtime::num_cpu(), runtime::gomaxprocs(0));
    spawn::section(&term)?;
    million::section(&term)?;
    ping_pong::section(&term)?;
    parallel::section(&term)?;
    sleepers::section(&term)?;
    http::section(&term)?;
    term.end(start.elapsed());
    Ok(())
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
