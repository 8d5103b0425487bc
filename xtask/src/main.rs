//! Job: `cargo xtask <verb>`: the project's own commands, from the words of the command line.
//! Not here: what they do (`ci`, `steps`, `tidy`, `examples`).

mod ci;
mod examples;
mod excerpt;
mod run;
mod steps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ci::Selection;

const HELP: &str = "\
cargo xtask <verb>

  ci [--from STEP | --only STEP]   the gate: every step, or part of them
  test                             all tests in debug and release, the runtime's with 1 to 64 Ps
  loom                             the model checks
  stress [--minutes N] [--seed S]  the stress test (10 minutes; a seed repeats a run)
  storm [--minutes N] [--seed S]   the storm of preemptions, likewise
  tidy                             layers, headers, invariants, sizes, words, manifests, links
  bench                            the whole benchmark suite
  help                             this

The steps of `ci`: fmt clippy tidy test loom docs examples benches; `test` is test-debug,
test-release, and test-pN with GOMAXPROCS=N. Exit status: 0 well, 1 a step failed, 2 bad usage.";

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
enum Verb {
    Ci(Selection),
    Test,
    Loom,
    Stress { minutes: u64, seed: Option<u64> },
    Storm { minutes: u64, seed: Option<u64> },
    Tidy,
    Bench,
    Help,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match parse(&args).and_then(|verb| perform(&verb, &root())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(usage) => {
            eprintln!("xtask: {usage}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn perform(verb: &Verb, root: &Path) -> Result<bool, String> {
    Ok(match verb {
        Verb::Ci(selection) => ci::run(&ci::select(steps::all(), selection)?, root),
        Verb::Test => ci::run(&steps::tests(), root),
        Verb::Loom => ci::run(&[steps::loom()], root),
        Verb::Stress { minutes, seed } => ci::run(&[steps::stress(*minutes, *seed)], root),
        Verb::Storm { minutes, seed } => ci::run(&[steps::storm(*minutes, *seed)], root),
        Verb::Tidy => tidy::run(root),
        Verb::Bench => ci::run(&[steps::bench()], root),
        Verb::Help => {
            println!("{HELP}");
            true
        }
    })
}

/// The workspace's folder: cargo says where this crate is, or said so when it was built.
fn root() -> PathBuf {
    let at = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    Path::new(&at).parent().map(Path::to_owned).unwrap_or_default()
}

fn parse(args: &[&str]) -> Result<Verb, String> {
    let (verb, rest) = args.split_first().ok_or("no verb")?;
    let verb = match *verb {
        "ci" => return parse_ci(rest),
        "stress" => {
            return parse_minutes(rest).map(|(minutes, seed)| Verb::Stress { minutes, seed });
        }
        "storm" => {
            return parse_minutes(rest).map(|(minutes, seed)| Verb::Storm { minutes, seed });
        }
        "test" => Verb::Test,
        "loom" => Verb::Loom,
        "tidy" => Verb::Tidy,
        "bench" => Verb::Bench,
        "help" | "--help" | "-h" => Verb::Help,
        unknown => return Err(format!("no verb `{unknown}`")),
    };
    match rest.first() {
        None => Ok(verb),
        Some(extra) => Err(format!("unexpected `{extra}`")),
    }
}

fn parse_ci(args: &[&str]) -> Result<Verb, String> {
    let mut selection = Selection::default();
    match *args {
        [] => {}
        ["--from", step] => selection.from = Some(step.to_owned()),
        ["--only", step] => selection.only = Some(step.to_owned()),
        _ => return Err("ci takes `--from STEP` or `--only STEP`".to_owned()),
    }
    Ok(Verb::Ci(selection))
}

/// `--minutes N` (10) and `--seed S`.
fn parse_minutes(args: &[&str]) -> Result<(u64, Option<u64>), String> {
    let (mut minutes, mut seed) = (10, None);
    for pair in args.chunks(2) {
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is not a number"));
        match *pair {
            ["--minutes", n] => minutes = number(n)?,
            ["--seed", n] => seed = Some(number(n)?),
            _ => return Err("takes `--minutes N` and `--seed S`".to_owned()),
        }
    }
    Ok((minutes, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_and_options_are_parsed() {
        let from = Selection { from: Some("docs".to_owned()), only: None };
        assert_eq!(parse(&["ci", "--from", "docs"]), Ok(Verb::Ci(from)));
        assert_eq!(parse(&["ci"]), Ok(Verb::Ci(Selection::default())));
        let stress = Verb::Stress { minutes: 2, seed: Some(7) };
        assert_eq!(parse(&["stress", "--seed", "7", "--minutes", "2"]), Ok(stress));
        let storm = Verb::Storm { minutes: 10, seed: None };
        assert_eq!(parse(&["storm"]), Ok(storm));
        assert_eq!(parse(&["tidy"]), Ok(Verb::Tidy));
    }

    #[test]
    fn bad_usage_is_named() {
        for args in
            [&[][..], &["cii"], &["ci", "--only"], &["tidy", "x"], &["storm", "--minutes", "x"]]
        {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn help_names_every_step() {
        for step in steps::all() {
            assert!(HELP.contains(step.group), "{}", step.group);
        }
    }
}
