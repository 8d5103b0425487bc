//! Job: a debugger attaches to goroutines, sees them, and lets them go on.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::battery::on_many;
use crate::common::Child;

/// Attaches gdb to this process, prints all stacks and detaches; `None` if gdb is not installed or may
/// not attach here.
fn attach() -> Option<String> {
    let output = Command::new("gdb")
        .args(["--nx", "--batch", "-p", &std::process::id().to_string()])
        .args(["-ex", "thread apply all backtrace 20", "-ex", "detach"])
        .env("DEBUGINFOD_URLS", "")
        .output()
        .ok()?;
    let text =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
    let refused = ["ptrace: ", "Could not attach", "Operation not permitted"];
    let text = text.concat();
    (!refused.iter().any(|what| text.contains(what))).then_some(text)
}

#[inline(never)]
fn work_seen_by_gdb(rounds: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // Most of the time in this function, where gdb is to find it.
        for _ in 0..20_000 {
            rounds.fetch_add(1, Ordering::Relaxed);
        }
        gusty::yield_now();
    }
}

#[test]
fn gdb_comes_and_goes() {
    let child = Child::of("debugger::gdb_comes_and_goes").env("GUSTYDEBUG", "migrate=1");
    let ended = child.env("GOMAXPROCS", 4).run(|| {
        // SAFETY: lets any process of this user attach, where only parents may.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::MAX) };
        let (rounds, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let working: Vec<_> = (0..20)
            .map(|_| {
                let (rounds, stop) = (rounds.clone(), stop.clone());
                gusty::spawn(move || work_seen_by_gdb(&rounds, &stop))
            })
            .collect();
        for _ in 0..2 {
            let Some(text) = attach() else {
                eprintln!("skipped: gdb is not installed or may not attach");
                break;
            };
            assert!(text.contains("work_seen_by_gdb"), "{text}");
            let then = rounds.load(Ordering::Relaxed);
            crate::common::until(|| rounds.load(Ordering::Relaxed) > then + 1_000_000);
        }
        stop.store(true, Ordering::Relaxed);
        working.into_iter().for_each(|handle| handle.join().unwrap());
        on_many(20, |_| gusty::yield_now());
    });
    print!("{}", ended.stderr);
    ended.succeeded();
}
