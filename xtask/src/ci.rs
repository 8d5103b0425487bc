//! Job: runs steps in order until one fails, says what it runs, and ends with a table.
//! Not here: what the steps are (`steps`).

use std::path::Path;
use std::time::{Duration, Instant};

use crate::examples;
use crate::run::{Ended, Run};
use crate::steps::{Step, Work};
use crate::tidy;

/// Which part of the steps to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// This one and all after it.
    pub(crate) from: Option<String>,
    /// This one alone.
    pub(crate) only: Option<String>,
}

/// The chosen steps; an error names a step that does not exist.
pub(crate) fn select(mut steps: Vec<Step>, selection: &Selection) -> Result<Vec<Step>, String> {
    let position = |name: &str| {
        let found = steps.iter().position(|step| step.name == name || step.group == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            format!("no step `{name}`; the steps are: {}", names.join(" "))
        })
    };
    if let Some(from) = &selection.from {
        steps.drain(..position(from)?);
    } else if let Some(only) = &selection.only {
        position(only)?;
        steps.retain(|step| step.name == *only || step.group == *only);
    }
    Ok(steps)
}

/// Runs the steps; true if all succeeded.
pub(crate) fn run(steps: &[Step], root: &Path) -> bool {
    let mut rows = Vec::new();
    let begun = Instant::now();
    let mut failed = None;
    for step in steps {
        if failed.is_some() {
            rows.push(row(&step.name, "not run", None));
            continue;
        }
        println!("== {}: {}", step.name, shown(&step.work));
        let begun = Instant::now();
        let (result, word) = match perform(&step.work, root) {
            Ok(note) => (None, note),
            Err(why) => (Some(why), "FAILED".to_owned()),
        };
        let took = begun.elapsed();
        println!("== {}: {word}, {:.1} s\n", step.name, took.as_secs_f64());
        rows.push(row(&step.name, &word, Some(took)));
        failed = result.map(|why| (step, why));
    }
    println!("{}\n{}", rows.join("\n"), row("all", "", Some(begun.elapsed())));
    match failed {
        None => true,
        Some((step, why)) => {
            println!("\nFAILED at step {}: {why}", step.name);
            println!("to repeat it: {}", shown(&step.work));
            false
        }
    }
}

fn row(name: &str, word: &str, took: Option<Duration>) -> String {
    let took = took.map_or(String::new(), |took| format!("{:8.1} s", took.as_secs_f64()));
    format!("  {name:14} {word:18} {took}").trim_end().to_owned()
}

/// What to type to get just this.
fn shown(work: &Work) -> String {
    match work {
        Work::Command(run) | Work::Tests(run) => run.to_string(),
        Work::Tidy => "cargo xtask tidy".to_owned(),
        Work::Examples => "cargo xtask ci --only examples".to_owned(),
    }
}

/// A word for the table, or what went wrong.
fn perform(work: &Work, root: &Path) -> Result<String, String> {
    let succeeded = |run: &Run| -> Result<Ended, String> {
        let ended = run.run(root);
        match &ended.result {
            Ok(()) => Ok(ended),
            Err(failure) => Err(failure.to_string()),
        }
    };
    let done = |ok: bool, why: &str| if ok { Ok("ok".to_owned()) } else { Err(why.to_owned()) };
    match work {
        Work::Command(run) => succeeded(run).map(|_| "ok".to_owned()),
        Work::Tests(run) => match passed(&succeeded(run)?.output) {
            0 => Err("it ran no test at all".to_owned()),
            n => Ok(format!("ok, {n} tests")),
        },
        Work::Tidy => done(tidy::run(root), "the tree is not tidy"),
        Work::Examples => done(examples::run(root), "see above"),
    }
}

/// How many tests passed, by the summaries in libtest's output.
fn passed(output: &str) -> u64 {
    let count = |line: &str| -> Option<u64> {
        let (before, _) = line.split_once(" passed;")?;
        line.starts_with("test result:").then(|| before.rsplit(' ').next()?.parse().ok())?
    };
    output.lines().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps;

    fn names(selection: &Selection) -> Result<Vec<String>, String> {
        Ok(select(steps::all(), selection)?.into_iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_are_selected_by_name_and_group() {
        let from = |name: &str| Selection { from: Some(name.to_owned()), only: None };
        let only = |name: &str| Selection { from: None, only: Some(name.to_owned()) };
        assert_eq!(names(&from("docs")).unwrap(), ["docs", "examples", "benches"]);
        assert_eq!(names(&only("test-p8")).unwrap(), ["test-p8"]);
        assert_eq!(names(&only("test")).unwrap().len(), 7);
        assert_eq!(names(&from("test")).unwrap()[0], "test-debug");
        assert!(names(&only("tset")).unwrap_err().contains("no step `tset`; the steps are: fmt"));
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let marker = std::env::temp_dir().join(format!("xtask-ci-{}", std::process::id()));
        let step = |line: &str| {
            let run = Run::new(line, Duration::from_secs(60));
            Step { group: "x", name: line.to_owned(), work: Work::Command(run) }
        };
        let touch = || step(&format!("touch {}", marker.display()));
        assert!(!run(&[step("true"), step("false"), touch()], Path::new("/")));
        assert!(!marker.exists());
        assert!(run(&[step("true"), touch()], Path::new("/")));
        std::fs::remove_file(marker).unwrap();
    }

    #[test]
    fn a_test_run_without_tests_fails() {
        let tests = |line: &str| {
            let output = crate::run::Output::Keep;
            perform(
                &Work::Tests(Run::new(line, Duration::from_secs(60)).output(output)),
                Path::new("/"),
            )
        };
        assert!(tests("echo test result: ok. 0 passed; 0 failed").is_err());
        assert_eq!(tests("echo test result: ok. 2 passed; 0 failed").unwrap(), "ok, 2 tests");
    }

    #[test]
    fn passed_tests_are_summed() {
        let output = "test a ... ok\ntest result: ok. 3 passed; 0 failed;\nx\ntest result: ok. 4 passed; 1 failed;\n 9 passed; no\n";
        assert_eq!(passed(output), 7);
    }
}
