//! Job: the command line.

use std::path::PathBuf;

use gusty_benches::harness::Scale;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
usage: gusty-benches [options] [filter...]
  filter        run the benches whose name contains one of the filters; without, all
  --toy         tiny sizes: checks in seconds that everything works; the numbers mean nothing
  --reps N      repetitions of each contender (9)
  --procs N     only with this GOMAXPROCS
  --markdown    end with a table for docs/benchmarks.md
  --go PROGRAM  with Go as a peer: the program that `go build` makes of benches/go
  --json FILE   write every sample to FILE
  --strict      exit with an error if a target is missed (wrong results and hangs always do)
  --list        names of all benches";

/// Repetitions without `--reps`.
const REPS: usize = 9;
/// Repetitions with `--toy`.
const TOY_REPS: usize = 1;

/// A parsed command line.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) job: Job,
    pub(crate) scale: Scale,
    pub(crate) reps: usize,
    pub(crate) procs: Option<usize>,
    pub(crate) markdown: bool,
    pub(crate) strict: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) go: Option<PathBuf>,
    filters: Vec<String>,
}

/// What this process is for.
#[derive(Debug, PartialEq)]
pub(crate) enum Job {
    Help,
    List,
    Conduct,
    Child(Request),
}

/// What a child process is to measure.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) bench: String,
    pub(crate) scale: Scale,
    pub(crate) reps: usize,
    /// Only this contender, without warm-up.
    pub(crate) contender: Option<usize>,
    /// The program that measures Go.
    pub(crate) go: Option<PathBuf>,
}

impl Args {
    /// An error says what is wrong with the line.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = Args {
            job: Job::Conduct,
            scale: Scale::Full,
            reps: 0,
            procs: None,
            markdown: false,
            strict: false,
            json: None,
            go: None,
            filters: Vec::new(),
        };
        let (mut child, mut contender) = (None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--help" | "-h" => args.job = Job::Help,
                "--list" => args.job = Job::List,
                "--toy" => args.scale = Scale::Toy,
                "--markdown" => args.markdown = true,
                "--strict" => args.strict = true,
                "--json" => args.json = Some(value()?.into()),
                "--go" => args.go = Some(value()?.into()),
                "--reps" => args.reps = positive(&word, &value()?)?,
                "--procs" => args.procs = Some(positive(&word, &value()?)?),
                "--child" => child = Some(value()?),
                "--contender" => contender = value()?.parse().ok(),
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
                filter => args.filters.push(filter.to_owned()),
            }
        }
        if args.reps == 0 {
            args.reps = args.scale.pick(TOY_REPS, REPS);
        }
        if let Some(bench) = child {
            let (scale, reps, go) = (args.scale, args.reps, args.go.clone());
            args.job = Job::Child(Request { bench, scale, reps, contender, go });
        }
        Ok(args)
    }

    /// Whether to run the bench of this name.
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

fn positive(option: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{option} needs a number of at least 1, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_and_filters() {
        let args = parse("--toy chan --reps 3 yield --json out.json").unwrap();
        assert_eq!((args.scale, args.reps), (Scale::Toy, 3));
        assert!(args.selects("chan/pingpong") && args.selects("yield") && !args.selects("join"));
        assert_eq!(args.json, Some("out.json".into()));
        assert!(parse("").unwrap().selects("anything"));
    }

    #[test]
    fn a_child_gets_its_request() {
        let (bench, go) = ("memory".to_owned(), Some("bin/go".into()));
        let request = Request { bench, scale: Scale::Full, reps: 1, contender: Some(2), go };
        let args = parse("--child memory --reps 1 --contender 2 --go bin/go").unwrap();
        assert_eq!(args.job, Job::Child(request));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("--tiny").unwrap_err(), "unknown option --tiny");
        assert!(parse("--reps 0").unwrap_err().contains("at least 1, not `0`"));
        assert!(parse("--json").unwrap_err().contains("needs a value"));
    }
}
