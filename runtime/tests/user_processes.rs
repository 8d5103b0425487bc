//! Job: processes started by goroutines that are stopped every 100 us.
//!
//! `GUSTY_FORKS` says how many (200 for each way of starting them).

mod common;
mod slices;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gusty::spawn;
use slices::{Spinners, sliced};

fn forks() -> usize {
    std::env::var("GUSTY_FORKS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// The mask and the ignored signals of a child must be what a child of any program has.
const SHOWS_ITS_SIGNALS: &str = "exec cat /proc/self/status";

/// A mask in the text of `/proc/PID/status`, without the two signals of libc's own.
fn mask(text: &str, name: &str) -> u64 {
    let mask = text.lines().find_map(|line| line.strip_prefix(name)).expect("always there");
    u64::from_str_radix(mask.trim(), 16).expect("a mask") & !(3 << 31)
}

/// What this process ignores, but for SIGPIPE, which std lets children see.
fn ignored_by_children() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    mask(&text, "SigIgn:") & !(1 << (libc::SIGPIPE - 1))
}

/// From four goroutines at once, until `count` were started by `start`, which gets their number.
fn start_many(count: usize, start: fn(usize)) {
    let next = Arc::new(AtomicUsize::new(0));
    let work = |_| {
        let next = next.clone();
        spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                start(number);
            }
        })
    };
    let workers: Vec<_> = (0..4).map(work).collect();
    let spinners = Spinners::new(2);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    drop(spinners);
}

/// std starts them by `posix_spawn`.
#[test]
fn commands_run_and_tell_what_they_found() {
    sliced("commands_run_and_tell_what_they_found", &[2], || {
        start_many(forks(), |number| {
            if number % 16 != 0 {
                let output = Command::new("echo").arg(number.to_string()).output().unwrap();
                assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
                assert_eq!(output.stdout, format!("{number}\n").into_bytes());
                return;
            }
            let shell = Command::new("sh").args(["-c", SHOWS_ITS_SIGNALS]).output().unwrap();
            let text = String::from_utf8(shell.stdout).unwrap();
            assert_eq!(mask(&text, "SigBlk:"), 0, "{text}");
            assert_eq!(mask(&text, "SigIgn:"), ignored_by_children(), "{text}");
        });
    });
}

/// With something to do between `fork` and `exec`, std forks.
#[test]
fn commands_with_work_before_exec() {
    sliced("commands_with_work_before_exec", &[2], || {
        start_many(forks(), |number| {
            let mut command = Command::new("sh");
            command.args(["-c", "exit $NUMBER"]).env("NUMBER", (number % 100).to_string());
            let mut word = number;
            let before_exec = move || {
                // Long enough for a kick, if one could come.
                (0..50_000).for_each(|n| word = std::hint::black_box(word ^ n));
                Ok(())
            };
            // SAFETY: no memory is allocated, no lock taken.
            let status = unsafe { command.pre_exec(before_exec) }.status().unwrap();
            assert_eq!(status.code(), Some((number % 100) as i32), "{status:?}");
        });
    });
}

/// As C programs do it.
#[test]
fn children_of_fork_end_and_are_waited_for() {
    sliced("children_of_fork_end_and_are_waited_for", &[1, 2], || {
        start_many(forks(), |number| {
            let code = (number % 200) as i32;
            // SAFETY: the child computes and leaves.
            unsafe {
                let pid = libc::fork();
                if pid == 0 {
                    let mut word = number;
                    (0..20_000).for_each(|n| word = std::hint::black_box(word ^ n));
                    libc::_exit(code);
                }
                assert!(pid > 0, "{}", std::io::Error::last_os_error());
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code, "{status:x}");
            }
        });
    });
}
