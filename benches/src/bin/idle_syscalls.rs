//! Counts the system calls of a process in which ten thousand goroutines wait and nothing happens.
//!
//! `idle_syscalls [seconds]` starts itself as the idle process, lets it settle, attaches
//! `strace -c -f` for 5 seconds and reads the summary. An idle runtime makes no system call at all:
//! anything above 0 fails. Without strace it says so and fails, too.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const GOROUTINES: usize = 10_000;
const SECONDS: u64 = 5;
/// From the moment when all are parked until the counting begins: threads without work may look
/// for some for a while before they sleep for good.
const SETTLE: Duration = Duration::from_secs(2);

/// The idle process: says `ready` when all are parked, then waits for its end.
fn be_idle() {
    let parked = Arc::new(AtomicUsize::new(0));
    let all: Vec<_> = (0..GOROUTINES)
        .map(|_| {
            let parked = Arc::clone(&parked);
            gusty::spawn(move || {
                parked.fetch_add(1, Ordering::Release);
                gusty::park();
            })
        })
        .collect();
    while parked.load(Ordering::Acquire) < GOROUTINES {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut out = std::io::stdout();
    let _ = out.write_all(b"ready\n").and_then(|()| out.flush());
    // The main thread waits for a goroutine that never ends: no call of its own, either.
    all.into_iter().for_each(|one| drop(one.join()));
}

fn count(child: &mut Child, seconds: u64) -> Result<u64, String> {
    let mut line = String::new();
    let output = child.stdout.take().ok_or("no pipe")?;
    BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
    if line.trim() != "ready" {
        return Err("the idle process did not get ready".to_owned());
    }
    std::thread::sleep(SETTLE);
    let strace = Command::new("timeout")
        .args(["--signal=INT", &seconds.to_string(), "strace", "-c", "-f", "-p"])
        .arg(child.id().to_string())
        .output()
        .map_err(|error| format!("timeout: {error}"))?;
    let report = String::from_utf8_lossy(&strace.stderr);
    println!("{}", report.trim_end());
    if !report.contains("attached") {
        return Err("strace could not attach (is it installed, is ptrace allowed?)".to_owned());
    }
    Ok(total(&report))
}

/// The calls in the last line of the summary of `strace -c`; without one there were none.
fn total(report: &str) -> u64 {
    let line = report.lines().rev().find(|line| line.trim_end().ends_with(" total"));
    line.and_then(|line| line.split_whitespace().nth(3)).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn run() -> Result<u64, String> {
    let seconds = match std::env::args().nth(1) {
        None => SECONDS,
        Some(text) => text.parse().map_err(|_| format!("seconds: `{text}` is not a number"))?,
    };
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(exe)
        .arg("--idle")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let counted = count(&mut child, seconds);
    let _ = child.kill();
    let _ = child.wait();
    counted
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--idle") {
        be_idle();
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(calls) => {
            println!("system calls of {GOROUTINES} idle goroutines: {calls}");
            if calls == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("idle_syscalls: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_fourth_column() {
        let report = "% time     seconds  usecs/call     calls    errors syscall\n\
                      100.00    0.000010           1        12         2 futex\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.000010           1        12         2 total\n";
        assert_eq!(total(report), 12);
        assert_eq!(total("strace: Process 1 attached\n"), 0);
    }
}
