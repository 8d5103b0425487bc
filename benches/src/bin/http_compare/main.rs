//! HTTP throughput of gusty's example `http` and of `tokio_http`, by wrk, in turn.
//!
//! `http_compare [--seconds N] [--rounds N] [--connections N] [--procs N] [--threads N]
//! [--server PATH]`: each round runs wrk once against each server, so that both see the same
//! machine; then medians and their ratio. Any socket error or bad status fails the run.
//!
//! `http_compare --hold N` instead opens N keep-alive connections from this process, a goroutine
//! for each, sends three requests on each with all of them open, and expects N times three good
//! answers.
//!
//! Build both servers first: `cargo build --release -p gusty-examples -p gusty-benches --bins`.

mod hold;
mod server;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gusty_benches::process::raise_descriptor_limit;
use gusty_benches::stats::Summary;

use server::Server;

/// The command line, and why a run failed.
type Outcome<T> = Result<T, String>;

struct Options {
    seconds: usize,
    rounds: usize,
    connections: usize,
    threads: usize,
    procs: usize,
    hold: usize,
    server: Option<PathBuf>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Options> {
        let mut options = Options {
            seconds: 10,
            rounds: 5,
            connections: 256,
            threads: 1,
            procs: 1,
            hold: 0,
            server: None,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let number = match word.as_str() {
                "--seconds" => &mut options.seconds,
                "--rounds" => &mut options.rounds,
                "--connections" => &mut options.connections,
                "--threads" => &mut options.threads,
                "--procs" => &mut options.procs,
                "--hold" => &mut options.hold,
                "--server" => {
                    options.server = Some(value.into());
                    continue;
                }
                _ => return Err(format!("unknown option {word}")),
            };
            let parsed = value.parse().ok().filter(|n| *n > 0);
            *number = parsed.ok_or_else(|| format!("{word}: `{value}` is not a number above 0"))?;
        }
        Ok(options)
    }
}

/// Finds a program beside this one.
fn beside(name: &str) -> Outcome<PathBuf> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = here.with_file_name(name);
    let build = "cargo build --release -p gusty-examples -p gusty-benches --bins";
    if path.exists() { Ok(path) } else { Err(format!("no {}; {build}", path.display())) }
}

fn compare(options: &Options, programs: &[(&str, &Path); 2]) -> Outcome<()> {
    let mut rates = [Vec::new(), Vec::new()];
    let mut errors = 0;
    for round in 1..=options.rounds {
        for ((name, path), rates) in programs.iter().zip(&mut rates) {
            let server = Server::start(path, options.procs)?;
            let report = wrk::run(server.address(), options)?;
            println!("round {round}: {name:6} {report}");
            rates.push(report.requests_per_second);
            errors += report.errors;
        }
    }
    let [ours, theirs] = rates.map(|rates| Summary::of(&rates).ok_or("no rounds"));
    let (ours, theirs) = (ours?, theirs?);
    println!(
        "median requests/s: gusty {:.0} ({:.0} - {:.0}), tokio {:.0} ({:.0} - {:.0}), ratio {:.3}",
        ours.median,
        ours.min,
        ours.max,
        theirs.median,
        theirs.min,
        theirs.max,
        ours.median / theirs.median
    );
    println!("errors: {errors}");
    if errors == 0 { Ok(()) } else { Err(format!("{errors} requests went wrong")) }
}

fn run() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let most = options.connections.max(options.hold) as u64;
    let limit = raise_descriptor_limit(2 * most + 100);
    if limit < most + 100 {
        return Err(format!("{most} connections need more than {limit} descriptors (ulimit -n)"));
    }
    let gusty = options.server.clone().map_or_else(|| beside("http"), Ok)?;
    if options.hold > 0 {
        let server = Server::start(&gusty, options.procs)?;
        return hold::run(server.address(), options.hold);
    }
    let tokio = beside("tokio_http")?;
    compare(&options, &[("gusty", &gusty), ("tokio", &tokio)])
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("http_compare: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_numbers() {
        let parse = |line: &str| Options::parse(line.split(' ').map(str::to_owned));
        assert_eq!(parse("--rounds 3 --connections 8000").unwrap().connections, 8000);
        assert!(parse("--rounds none").err().unwrap().contains("`none` is not a number"));
        assert_eq!(parse("--what 1").err().unwrap(), "unknown option --what");
    }
}
