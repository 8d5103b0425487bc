//! Job: runs steps in order until one fails, says what it runs, and ends with a table.
//! Not here: what the steps are (`steps`).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::examples;
use crate::excerpt;
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
        let (result, word) = match perform(step, root) {
            Ok(note) => (None, note),
            Err(why) => (Some(why), "FAILED".to_owned()),
        };
        let took = begun.elapsed();
        println!("== {}: {word}, {:.1} s\n", step.name, took.as_secs_f64());
        rows.push(row(&step.name, &word, Some(took)));
        failed = result.map(|failed| (step, failed));
    }
    println!("{}\n{}", rows.join("\n"), row("all", "", Some(begun.elapsed())));
    match failed {
        None => true,
        Some((step, Failed { why, excerpt })) => {
            println!("\n{excerpt}\n\nFAILED at step {}: {why}", step.name);
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

/// What went wrong, and what the step printed about it, if that is not on the screen already.
struct Failed {
    why: String,
    excerpt: String,
}

impl From<&str> for Failed {
    fn from(why: &str) -> Failed {
        Failed { why: why.to_owned(), excerpt: String::new() }
    }
}

/// A word for the table, or what went wrong.
fn perform(step: &Step, root: &Path) -> Result<String, Failed> {
    let done = |ok: bool, why: &str| if ok { Ok("ok".to_owned()) } else { Err(why.into()) };
    match &step.work {
        Work::Command(run) => match run.run(root).result {
            Ok(()) => Ok("ok".to_owned()),
            Err(failure) => Err(failure.to_string().as_str().into()),
        },
        Work::Tests(run) => tests(&step.name, run, root),
        Work::Tidy => done(tidy::run(root), "the tree is not tidy"),
        Work::Examples => done(examples::run(root), "see above"),
    }
}

fn tests(name: &str, run: &Run, root: &Path) -> Result<String, Failed> {
    let Ended { result, output, .. } = run.run(root);
    let log = format!("target/ci/{name}.log");
    let logged = fs::create_dir_all(root.join("target/ci"))
        .and_then(|()| fs::write(root.join(&log), &output))
        .map_or_else(|error| format!("{log}: {error}"), |()| log.clone());
    if let Err(failure) = result {
        let why = format!("{failure}; all that it printed: {logged}");
        return Err(Failed { why, excerpt: excerpt::of_failure(&output) });
    }
    match passed(&output) {
        0 => Err("it ran no test at all".into()),
        n => Ok(format!("ok, {n} tests")),
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
        assert_eq!(names(&only("test")).unwrap().len(), 8);
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
        let run_one = |line: &str| {
            let output = crate::run::Output::Keep;
            let run = Run::new(line, Duration::from_secs(60)).output(output);
            tests("x", &run, &std::env::temp_dir())
        };
        assert!(run_one("echo test result: ok. 0 passed; 0 failed").is_err());
        assert_eq!(
            run_one("echo test result: ok. 2 passed; 0 failed").ok().unwrap(),
            "ok, 2 tests"
        );
        let failed = run_one("sh -c false").err().unwrap();
        assert!(failed.why.contains("target/ci/x.log"), "{}", failed.why);
    }

    #[test]
    fn passed_tests_are_summed() {
        let output = "test a ... ok\ntest result: ok. 3 passed; 0 failed;\nx\ntest result: ok. 4 passed; 1 failed;\n 9 passed; no\n";
        assert_eq!(passed(output), 7);
    }
}
