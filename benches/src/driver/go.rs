//! Job: Go as one more contender: a process of the program in `benches/go`, started before the first
//!   round, that measures one repetition whenever it is told the bench's name.
//!
//! It inherits GOMAXPROCS. Between its turns it waits for the next line and its collector is idle.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gusty_benches::harness::Contender;

/// Go's name among the contenders; targets refer to it.
const NAME: &str = "Go";

/// Go in the bench of this name; `None` if the program does not know it or cannot be run.
pub(super) fn contender(program: &Path, bench: &'static str) -> Option<Contender> {
    let list = Command::new(program).arg("list").output().ok()?;
    if !String::from_utf8_lossy(&list.stdout).lines().any(|name| name == bench) {
        return None;
    }
    let (program, mut started) = (PathBuf::from(program), None);
    Some(Contender::with_metrics(NAME, move || {
        let go = started.get_or_insert_with(|| Go::start(&program).expect("Go starts"));
        go.measure(bench).expect("Go answers with numbers")
    }))
}

struct Go {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Go {
    fn start(program: &Path) -> io::Result<Go> {
        let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
        let mut child = Command::new(program).arg("serve").stdin(stdin).stdout(stdout).spawn()?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().map(BufReader::new).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Go { child, requests, answers })
    }

    fn measure(&mut self, bench: &str) -> io::Result<Vec<f64>> {
        let requests = self.requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(requests, "{bench}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.split_whitespace().map(|word| word.parse().map_err(io::Error::other)).collect()
    }
}

impl Drop for Go {
    /// The end of its input tells it to leave.
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}
