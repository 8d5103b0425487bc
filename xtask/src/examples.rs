//! Job: runs the example programs and holds each to what it must print.
//! Not here: the programs (`examples/src/bin`).
//!
//! A program fails if it exits with an error, is out of time, or misses a line. A program without
//! an entry below fails too: an example that nobody runs rots.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::run::{Failure, Output, Run};

/// Time to build all, and the usual time for each.
const BUILD: Duration = Duration::from_secs(20 * 60);
const EACH: Duration = Duration::from_secs(60);

/// One run of a program.
struct Entry {
    program: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// Each must occur in what it prints, on either stream, in any order.
    prints: &'static [&'static str],
    timeout: Duration,
}

/// The usual entry: no arguments, the usual time.
const fn entry(program: &'static str, prints: &'static [&'static str]) -> Entry {
    Entry { program, args: &[], env: &[], prints, timeout: EACH }
}

/// Every program with what it must print.
const ENTRIES: &[Entry] = &[
    entry("tour", &["Waiting, all at once", "An HTTP server and its clients", "done in"]),
    Entry { args: &["--self-test"], ..entry("http", &["http self-test: 10,317 requests ok"]) },
    Entry {
        args: &["--self-test"],
        ..entry("echo", &["echo self-test: 200 clients, 20,092,000 bytes, ok"])
    },
    entry("sieve", &["prime 300 is 1987"]),
    entry("skynet", &["1,000,000 leaves, sum 499999500000"]),
    entry("ring", &["200,000 hops in", "done"]),
    Entry { env: &[("GOMAXPROCS", "4")], ..entry("pipeline", &["4 readers", "verified"]) },
];

/// Builds and runs all; true if each did what it must.
pub(crate) fn run(root: &Path) -> bool {
    let unlisted = match programs(root) {
        Ok(programs) => unlisted(&programs, ENTRIES),
        Err(error) => vec![format!("cannot list examples/src/bin: {error}")],
    };
    for problem in &unlisted {
        println!("examples: {problem}");
    }
    let build = Run::new("cargo build --release -p gusty-examples --bins", BUILD);
    println!("   {build}");
    if let Err(failure) = build.run(root).result {
        println!("examples: `{build}` {failure}");
        return false;
    }
    let folder = target(root).join("release");
    let failed = ENTRIES.iter().filter(|entry| !run_one(entry, &folder, root)).count();
    failed == 0 && unlisted.is_empty()
}

/// Where cargo puts what it builds.
fn target(root: &Path) -> PathBuf {
    root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn run_one(entry: &Entry, folder: &Path, root: &Path) -> bool {
    let mut run = Run::new("", entry.timeout).output(Output::Keep);
    run.program = folder.join(entry.program).to_string_lossy().into_owned();
    run.args = entry.args.iter().map(|arg| (*arg).to_owned()).collect();
    run.env = entry.env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let ended = run.run(root);
    let problems = judge(entry, &ended.result, &ended.output);
    let seconds = ended.took.as_secs_f64();
    if problems.is_empty() {
        println!("   {}: ok, {seconds:.1} s", entry.program);
        return true;
    }
    println!("   {}: FAILED, {seconds:.1} s: {run}", entry.program);
    println!("---- its output\n{}\n----", ended.output.trim_end());
    for problem in &problems {
        println!("examples: {}: {problem}", entry.program);
    }
    false
}

/// What is wrong with how a program ended and what it printed.
fn judge(entry: &Entry, result: &Result<(), Failure>, output: &str) -> Vec<String> {
    let missing = entry.prints.iter().filter(|line| !output.contains(**line));
    let failure = result.as_ref().err().map(ToString::to_string);
    failure.into_iter().chain(missing.map(|line| format!("did not print `{line}`"))).collect()
}

/// Programs without an entry, and entries without a program.
fn unlisted(programs: &BTreeSet<String>, entries: &[Entry]) -> Vec<String> {
    let listed: BTreeSet<String> = entries.iter().map(|e| e.program.to_owned()).collect();
    let no_entry = programs.difference(&listed);
    let no_program = listed.difference(programs);
    no_entry
        .map(|name| format!("{name}: has no entry in xtask/src/examples.rs"))
        .chain(no_program.map(|name| format!("{name}: no such program in examples/src/bin")))
        .collect()
}

/// The names of `src/bin/x.rs` and `src/bin/x/main.rs`.
fn programs(root: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root.join("examples/src/bin"))? {
        let path = entry?.path();
        let is_program =
            path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file();
        names.extend(
            path.file_stem().filter(|_| is_program).map(|s| s.to_string_lossy().into_owned()),
        );
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Entry = entry("a", &["one", "two"]);

    #[test]
    fn a_program_must_end_well_and_print_its_lines() {
        assert!(judge(&SAMPLE, &Ok(()), "two\nand one\n").is_empty());
        assert_eq!(judge(&SAMPLE, &Ok(()), "one"), ["did not print `two`"]);
        let failed = Err(Failure::Status("exit status: 2".to_owned()));
        assert_eq!(judge(&SAMPLE, &failed, "one two"), ["failed: exit status: 2"]);
        assert_eq!(judge(&SAMPLE, &Err(Failure::Hung(EACH)), "").len(), 3);
    }

    #[test]
    fn every_program_has_an_entry() {
        let programs = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        assert!(unlisted(&programs(&["a"]), &[SAMPLE]).is_empty());
        assert!(unlisted(&programs(&["a", "b"]), &[SAMPLE])[0].starts_with("b: has no entry"));
        assert!(unlisted(&programs(&[]), &[SAMPLE])[0].starts_with("a: no such program"));
    }

    #[test]
    fn a_program_is_run_and_judged() {
        let sh = Entry { args: &["-c", "echo $X"], env: &[("X", "one two")], ..SAMPLE };
        let sh = Entry { program: "sh", ..sh };
        assert!(run_one(&sh, Path::new("/bin"), Path::new("/")));
        let failing = Entry { args: &["-c", "echo one two; exit 1"], ..sh };
        assert!(!run_one(&failing, Path::new("/bin"), Path::new("/")));
    }
}
