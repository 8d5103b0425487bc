//! Job: both ends of the wire between the conductor and a measuring child process.
//!
//! A child writes a line per repetition: the contender's index, then its numbers, tab-separated.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use gusty_benches::harness::{self, Bench, Scale};

use super::{Measured, Series, go};
use crate::args::{Args, Request};
use crate::suite;

/// A child that has been silent for so long hangs. One repetition takes a few seconds at most.
const SILENCE: Duration = Duration::from_secs(90);
/// The same with `--toy`, where the longest repetition takes a fraction of a second.
const TOY_SILENCE: Duration = Duration::from_secs(20);
/// Most repetitions of a bench whose every repetition is a process.
const FRESH_REPS: usize = 3;

/// The child's side: measures and reports.
pub(crate) fn serve(request: &Request) -> ExitCode {
    let Some(bench) = suite::all().into_iter().find(|bench| bench.name == request.bench) else {
        eprintln!("no bench {}", request.bench);
        return ExitCode::from(2);
    };
    let mut contenders = (bench.contenders)(request.scale);
    contenders.extend(request.go.as_deref().and_then(|program| go::contender(program, bench.name)));
    let first = request.contender.unwrap_or(0);
    if request.contender.is_some() {
        contenders = contenders.into_iter().skip(first).take(1).collect();
    }
    let warm_up = !bench.fresh && request.scale == Scale::Full;
    harness::measure(&mut contenders, request.reps, warm_up, |i, sample| {
        let numbers: Vec<String> = sample.iter().map(f64::to_string).collect();
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}\t{}", first + i, numbers.join("\t"));
        let _ = out.flush();
    });
    ExitCode::SUCCESS
}

/// The conductor's side: measures `bench` in one child, or in one for each repetition of each
/// contender. An error says how it failed.
pub(crate) fn run(bench: &Bench, procs: usize, args: &Args) -> Result<Measured, String> {
    let peer = args.go.as_deref().and_then(|program| go::contender(program, bench.name));
    let names = (bench.contenders)(args.scale).into_iter().chain(peer).map(|c| c.name);
    let mut contenders: Vec<Series> =
        names.map(|name| Series { name, samples: Vec::new() }).collect();
    if bench.fresh {
        for _ in 0..args.reps.min(FRESH_REPS) {
            for i in 0..contenders.len() {
                measure_in_child(bench, procs, args, Some(i), &mut contenders)?;
            }
        }
    } else {
        measure_in_child(bench, procs, args, None, &mut contenders)?;
    }
    Ok(Measured {
        bench: bench.name,
        procs,
        first: bench.procs.first() == Some(&procs),
        toy: args.scale == Scale::Toy,
        metrics: bench.metrics,
        contenders,
    })
}

fn measure_in_child(
    bench: &Bench,
    procs: usize,
    args: &Args,
    contender: Option<usize>,
    series: &mut [Series],
) -> Result<(), String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let reps = if contender.is_some() { 1 } else { args.reps };
    let mut command = Command::new(exe);
    command.args(["--child", bench.name, "--reps", &reps.to_string()]);
    command.env("GOMAXPROCS", procs.to_string()).stdout(Stdio::piped()).stdin(Stdio::null());
    if args.scale == Scale::Toy {
        command.arg("--toy");
    }
    if let Some(program) = &args.go {
        command.arg("--go").arg(program);
    }
    if let Some(i) = contender {
        command.args(["--contender", &i.to_string()]);
    }
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let heard = listen(&mut child, args.scale.pick(TOY_SILENCE, SILENCE), series);
    if heard.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    heard?;
    if !status.success() {
        return Err(format!("the process ended with {status}"));
    }
    Ok(())
}

/// Takes in the child's lines until it closes its end.
fn listen(child: &mut Child, silence: Duration, series: &mut [Series]) -> Result<(), String> {
    let output = child.stdout.take().ok_or("no pipe")?;
    let (tx, rx) = mpsc::channel();
    // Ends with the pipe, at the latest when the child is killed.
    std::thread::spawn(move || {
        let _ = BufReader::new(output).lines().map_while(Result::ok).try_for_each(|l| tx.send(l));
    });
    loop {
        match rx.recv_timeout(silence) {
            Ok(line) => {
                let (i, numbers) =
                    parse(&line).ok_or_else(|| format!("unexpected output: {line}"))?;
                let to = series.get_mut(i).ok_or("a contender too many")?;
                to.samples.push(numbers);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(format!("silent for {silence:?}")),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn parse(line: &str) -> Option<(usize, Vec<f64>)> {
    let (index, numbers) = line.split_once('\t')?;
    let numbers: Result<Vec<f64>, _> = numbers.split('\t').map(str::parse).collect();
    Some((index.parse().ok()?, numbers.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_an_index_and_numbers() {
        assert_eq!(parse("2\t1.5\t300"), Some((2, vec![1.5, 300.0])));
        assert_eq!(parse("hello"), None);
        assert_eq!(parse("1\tx"), None);
    }
}
