//! Job: the steps of the gate: their names, order, commands and limits.
//! Not here: running them one after the other (`ci`).

use std::time::Duration;

use crate::run::{Output, Run};

/// The time limit of a step, where nothing else is said.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The numbers of Ps that the runtime's tests run with.
const GOMAXPROCS: [u32; 5] = [1, 2, 4, 8, 64];

/// One step of the gate.
pub(crate) struct Step {
    /// What `--from` and `--only` select by; several steps may share it.
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) work: Work,
}

/// What a step does.
pub(crate) enum Work {
    /// Succeeds if the command does.
    Command(Run),
    /// Succeeds if the command does and at least one test ran: a filter that matches nothing
    /// must not pass for a test.
    Tests(Run),
    /// `tidy`, in this process.
    Tidy,
    /// Every example program, with its output checked.
    Examples,
}

/// All steps in order.
pub(crate) fn all() -> Vec<Step> {
    let mut steps = vec![
        command("fmt", Run::new("cargo fmt --all --check", LIMIT)),
        command("clippy", Run::new("cargo clippy --workspace --all-targets -- -D warnings", LIMIT)),
        Step { group: "tidy", name: "tidy".to_owned(), work: Work::Tidy },
    ];
    steps.extend(tests());
    steps.push(loom());
    let docs =
        Run::new("cargo doc --no-deps --workspace", LIMIT).env("RUSTDOCFLAGS", "-D warnings");
    steps.push(command("docs", docs));
    steps.push(Step { group: "examples", name: "examples".to_owned(), work: Work::Examples });
    steps
        .push(command("benches", Run::new("cargo run --release -p gusty-benches -- --toy", LIMIT)));
    steps
}

/// What `cargo xtask test` runs: everything in debug and in release, some compiled for this processor,
/// then the runtime again with each number of Ps.
pub(crate) fn tests() -> Vec<Step> {
    let step = |name: &str, run: Run| Step {
        group: "test",
        name: format!("test-{name}"),
        work: Work::Tests(run.output(Output::Headlines)),
    };
    let mut steps = vec![
        step("debug", Run::new("cargo test --workspace", LIMIT)),
        step("release", Run::new("cargo test --workspace --release", LIMIT)),
        step("native", native()),
    ];
    steps.extend(GOMAXPROCS.map(|n| {
        let run = Run::new("cargo test -p gusty --release", LIMIT);
        step(&format!("p{n}"), run.env("GOMAXPROCS", n.to_string()))
    }));
    steps
}

/// The tests of interrupted computations, compiled for this machine's processor: with its widest registers
/// everywhere, in the runtime, too.
fn native() -> Run {
    let line = "cargo test -p gusty --release --test preempt_results --test preempt_programs \
                --target-dir target/native";
    Run::new(line, LIMIT).env("RUSTFLAGS", "-C target-cpu=native")
}

/// The model checks, to a depth that takes minutes.
pub(crate) fn loom() -> Step {
    let line = "cargo test --release -p gusty -p gusty-netpoll -p gusty-sysmon --lib \
                --target-dir target/loom loom";
    let run = Run::new(line, LIMIT)
        .env("RUSTFLAGS", "--cfg loom")
        .env("LOOM_MAX_PREEMPTIONS", "2")
        .output(Output::Headlines);
    Step { group: "loom", name: "loom".to_owned(), work: Work::Tests(run) }
}

/// The stress test for so many minutes, with a seed of its own choosing if none is given.
pub(crate) fn stress(minutes: u64, seed: Option<u64>) -> Step {
    long("stress", "gusty", "GUSTY_STRESS", minutes, seed)
}

/// As [`stress`], the storm of preemptions.
pub(crate) fn storm(minutes: u64, seed: Option<u64>) -> Step {
    long("storm", "gusty-compat", "GUSTY_STORM", minutes, seed)
}

/// A test that runs for as long as it is told, by variables that begin with `prefix`.
fn long(test: &'static str, package: &str, prefix: &str, minutes: u64, seed: Option<u64>) -> Step {
    let seconds = minutes.saturating_mul(60);
    let limit = Duration::from_secs(seconds).saturating_add(LIMIT);
    let line = format!("cargo test -p {package} --release --test {test} -- --nocapture");
    let mut run = Run::new(&line, limit).output(Output::Copy);
    run = run.env(&format!("{prefix}_SECS"), seconds.to_string());
    if let Some(seed) = seed {
        run = run.env(&format!("{prefix}_SEED"), seed.to_string());
    }
    Step { group: test, name: test.to_owned(), work: Work::Tests(run) }
}

/// The whole benchmark suite.
pub(crate) fn bench() -> Step {
    command("bench", Run::new("cargo run --release -p gusty-benches", LIMIT * 12))
}

fn command(name: &'static str, run: Run) -> Step {
    Step { group: name, name: name.to_owned(), work: Work::Command(run) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_groups_are_together() {
        let steps = all();
        let mut names: Vec<&str> = steps.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), steps.len());
        let mut groups: Vec<&str> = steps.iter().map(|s| s.group).collect();
        groups.dedup();
        let in_order = ["fmt", "clippy", "tidy", "test", "loom", "docs", "examples", "benches"];
        assert_eq!(groups, in_order);
    }

    #[test]
    fn stress_takes_any_number_of_minutes() {
        let Work::Tests(run) = stress(u64::MAX, Some(7)).work else { unreachable!() };
        assert!(run.to_string().contains("GUSTY_STRESS_SEED=7"));
        let Work::Tests(run) = storm(2, None).work else { unreachable!() };
        assert!(run.to_string().contains("GUSTY_STORM_SECS=120"), "{run}");
    }
}
