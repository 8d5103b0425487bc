//! The benchmark suite: gusty against threads, tokio and the usual crates.
//!
//! `cargo run --release -p gusty-benches -- [options] [filter...]`; see [`args::USAGE`] and
//! `docs/benchmarks.md`. This process only conducts: each bench runs in a child process, because
//! GOMAXPROCS is a setting of a process and because a crash or a hang must not take the other
//! results along.

mod args;
mod driver;
mod suite;

use std::process::ExitCode;

use args::{Args, Job};
use driver::{child, json, table};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("{message}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match &args.job {
        Job::Help => println!("{}", args::USAGE),
        Job::List => suite::all().iter().for_each(|bench| println!("{}", bench.name)),
        Job::Child(request) => return child::serve(request),
        Job::Conduct => return conduct(&args),
    }
    ExitCode::SUCCESS
}

/// Runs what the filters select and prints the results as they come.
fn conduct(args: &Args) -> ExitCode {
    let selected: Vec<_> = suite::all().into_iter().filter(|b| args.selects(b.name)).collect();
    if selected.is_empty() {
        eprintln!("no bench matches; --list shows them all");
        return ExitCode::from(2);
    }
    let mut results = Vec::new();
    let mut failures = Vec::new();
    for bench in &selected {
        for &procs in bench.procs.iter().filter(|p| args.procs.is_none_or(|only| only == **p)) {
            match child::run(bench, procs, args) {
                Ok(result) => {
                    println!("{}", table::text(&result));
                    results.push(result);
                }
                Err(why) => failures.push(format!("{} GOMAXPROCS={procs}: {why}", bench.name)),
            }
        }
    }
    if args.markdown {
        println!("{}", table::markdown(&results));
    }
    if let Some(path) = &args.json
        && let Err(error) = std::fs::write(path, json::render(&results))
    {
        failures.push(format!("{}: {error}", path.display()));
    }
    let missed: Vec<String> = results.iter().flat_map(table::missed).collect();
    missed.iter().for_each(|what| println!("target missed: {what}"));
    failures.iter().for_each(|why| println!("FAILED: {why}"));
    println!("{} results, {} failed", results.len(), failures.len());
    let ok = failures.is_empty() && (missed.is_empty() || !args.strict);
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
