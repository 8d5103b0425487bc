//! Job: gdb and strace come to a process whose goroutines are stopped every 100 us, see them, and
//!   leave it as it was.
//! Not here: a debugger and goroutines that change threads by themselves (`own_tls`).

mod common;
mod slices;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gusty::{spawn, yield_now};
use slices::{SKIPPED, Spinners, sliced};

/// Lets any process of this user attach, where only parents may.
fn allow_tracers() {
    // SAFETY: no memory is passed. Without yama it fails, and is not needed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::MAX) };
}

fn text_of(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part));
    format!("{out}{err}")
}

/// What this system says if nobody may attach.
fn is_refused(text: &str) -> bool {
    let refused = ["ptrace: ", "Could not attach", "Operation not permitted", "PTRACE_SEIZE"];
    refused.iter().any(|what| text.contains(what))
}

/// Beside those that only compute.
fn others_run() {
    (0..3).for_each(|_| spawn(yield_now).join().unwrap());
}

#[test]
fn gdb_comes_and_goes() {
    if !common::once() {
        return;
    }
    sliced("gdb_comes_and_goes", &[2], || {
        allow_tracers();
        let spinners = Spinners::new(gusty::runtime::gomaxprocs(0) + 1);
        for _ in 0..2 {
            let mut gdb = Command::new("gdb");
            gdb.args(["--nx", "--batch", "-p", &std::process::id().to_string()]);
            gdb.args(["-ex", "thread apply all backtrace 20", "-ex", "detach"]);
            let Ok(output) = gdb.env("DEBUGINFOD_URLS", "").output() else {
                return eprintln!("{SKIPPED}gdb is not installed");
            };
            let text = text_of(&output);
            if is_refused(&text) {
                return eprintln!("{SKIPPED}gdb may not attach");
            }
            // A goroutine that runs, whether in its own code or on its way to let others run.
            assert!(text.contains("spins"), "{text}");
            spinners.run_on();
            others_run();
        }
    });
}

/// Attached, gdb lets the program run, with all of its kicks, and leaves while it does.
#[test]
fn the_program_runs_on_under_gdb() {
    if !common::once() {
        return;
    }
    sliced("the_program_runs_on_under_gdb", &[2], || {
        allow_tracers();
        let spinners = Spinners::new(gusty::runtime::gomaxprocs(0) + 1);
        let mut gdb = Command::new("gdb");
        gdb.args(["--nx", "--batch", "-p", &std::process::id().to_string()]);
        // Stops at the call that the test makes next, several times.
        gdb.args(["-ex", "break getppid", "-ex", "continue", "-ex", "continue", "-ex", "detach"]);
        let started =
            gdb.env("DEBUGINFOD_URLS", "").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut gdb) = started else { return eprintln!("{SKIPPED}gdb is not installed") };
        while gdb.try_wait().expect("our child").is_none() {
            // SAFETY: no preconditions.
            unsafe { libc::getppid() };
            std::thread::sleep(Duration::from_millis(1));
        }
        let text = text_of(&gdb.wait_with_output().expect("it has ended"));
        if is_refused(&text) {
            return eprintln!("{SKIPPED}gdb may not attach");
        }
        assert!(text.matches("Breakpoint 1, ").count() >= 2, "{text}");
        spinners.run_on();
        others_run();
    });
}

#[test]
fn strace_comes_and_goes() {
    if !common::once() {
        return;
    }
    sliced("strace_comes_and_goes", &[1, 4], || {
        allow_tracers();
        let spinners = Spinners::new(gusty::runtime::gomaxprocs(0) + 1);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-p", &std::process::id().to_string()]);
        // Stops at every call, and shows one of them.
        strace.args(["-e", "trace=getppid", "-e", "signal=none"]);
        let Ok(mut strace) = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() else {
            return eprintln!("{SKIPPED}strace is not installed");
        };
        // Until it has seen this thread make a call that nobody else makes.
        let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
        let seen = AtomicBool::new(false);
        let calls = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !seen.load(Ordering::Relaxed) {
                    // SAFETY: no preconditions.
                    unsafe { libc::getppid() };
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let mut text = String::new();
            for line in lines.by_ref() {
                let line = line.expect("text");
                text += &line;
                if line.contains("getppid()") || is_refused(&line) {
                    break;
                }
            }
            seen.store(true, Ordering::Relaxed);
            text
        });
        if is_refused(&calls) {
            _ = strace.wait();
            return eprintln!("{SKIPPED}strace may not attach");
        }
        others_run();
        // SAFETY: our child, which lives. It detaches and ends.
        unsafe { libc::kill(strace.id().cast_signed(), libc::SIGINT) };
        lines.for_each(drop);
        strace.wait().expect("our child");
        spinners.run_on();
        others_run();
    });
}
