//! Job: the lines of `GUSTYDEBUG=schedtrace=N,scheddetail=1` can be read by a program, and have what
//!   Go's have.

mod common;

use std::collections::BTreeMap;

use common::Child;
use gusty::spawn;

/// Work of all kinds, until there were a few lines.
fn work() {
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_millis(60) {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                spawn(|| {
                    gusty::sleep(std::time::Duration::from_millis(1));
                    gusty::blocking(|| std::thread::sleep(std::time::Duration::from_millis(1)));
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    }
    spawn(|| {
        gusty::lock_os_thread();
        std::thread::sleep(std::time::Duration::from_millis(20));
    })
    .join()
    .unwrap();
}

/// `name=value` pairs of a line, and its lists `[ .. ]` by what stands before them.
fn fields(line: &str) -> BTreeMap<&str, &str> {
    line.split_whitespace().filter_map(|word| word.split_once('=')).collect()
}

#[track_caller]
fn number(fields: &BTreeMap<&str, &str>, name: &str) -> u64 {
    let value = fields.get(name).unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
}

/// The time of a line `SCHED 12ms: ..`, and the rest of it.
#[track_caller]
fn timed(line: &str) -> (u64, &str) {
    let rest = line.strip_prefix("SCHED ").expect("checked by the caller");
    let (time, rest) = rest.split_once("ms: ").unwrap_or_else(|| panic!("no time in {line}"));
    (time.parse().expect("milliseconds"), rest)
}

#[track_caller]
fn check_globals(rest: &str, procs: usize) {
    let fields = fields(rest);
    assert_eq!(number(&fields, "gomaxprocs"), procs as u64);
    assert!(number(&fields, "idleprocs") <= procs as u64);
    assert!(number(&fields, "needspinning") <= 1);
    // Read one after the other while they change.
    for name in ["threads", "spinningthreads", "idlethreads", "runqueue"] {
        number(&fields, name);
    }
}

#[test]
fn a_line_every_few_milliseconds() {
    for procs in [1, 2, 8] {
        let child = Child::of("a_line_every_few_milliseconds").env("GOMAXPROCS", procs);
        let ended = child.env("GUSTYDEBUG", "schedtrace=5").run(work);
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("SCHED")).collect();
        ended.succeeded();
        assert!(lines.len() >= 3, "{}", ended.stderr);
        let mut last = 0;
        for line in lines {
            let (time, rest) = timed(line);
            assert!(time >= last, "{line}");
            last = time;
            check_globals(rest, procs);
            // `[ 1 0 ] schedticks=[ 5 7 ]`: what is queued on each P, what each has run.
            let (queued, ticks) = rest.split_once("schedticks=").expect("ticks");
            let list = |text: &str| {
                let (_, list) = text.split_once('[').expect("a list");
                let (list, _) = list.split_once(']').expect("the end of a list");
                let numbers = list.split_whitespace().map(|n| n.parse::<u64>().expect("a number"));
                numbers.collect::<Vec<_>>().len()
            };
            assert_eq!((list(queued), list(ticks)), (procs, procs), "{line}");
        }
    }
}

#[test]
fn a_line_for_each_p_in_detail() {
    for procs in [1, 2, 8] {
        let child = Child::of("a_line_for_each_p_in_detail").env("GOMAXPROCS", procs);
        let ended = child.env("GUSTYDEBUG", "schedtrace=5,scheddetail=1").run(work);
        ended.succeeded();
        let (mut blocks, mut next) = (0, procs);
        for line in ended.stderr.lines() {
            if line.starts_with("SCHED ") {
                assert_eq!(next, procs, "a P is missing before {line}");
                let (_, rest) = timed(line);
                check_globals(rest, procs);
                assert!(number(&fields(rest), "sysmonwait") <= 1);
                (blocks, next) = (blocks + 1, 0);
            } else if let Some((p, rest)) = line.trim().split_once(": status=") {
                assert_eq!(p, format!("P{next}"), "{line}");
                let (status, rest) = rest.split_once(' ').expect("more fields");
                assert!(matches!(status, "0" | "1"), "{line}");
                let fields = fields(rest);
                for name in ["schedtick", "runqsize", "timerslen"] {
                    number(&fields, name);
                }
                if fields["m"] != "-" {
                    assert!(number(&fields, "blocked") <= 1 && number(&fields, "lockedg") <= 1);
                    number(&fields, "m");
                }
                next += 1;
            }
        }
        assert!(blocks >= 3 && next == procs, "{}", ended.stderr);
    }
}
