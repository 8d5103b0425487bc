//! Job: runs one child process to its end or its deadline, and leaves nothing of it behind.
//! Not here: which processes (`steps`, `examples`).
//!
//! A child that is out of time gets SIGQUIT first, so that a program that handles it can print where
//! it hangs, and SIGKILL two seconds later. Both go to everything it started.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::excerpt;

/// How long a child may print after SIGQUIT, and its output may stay open after its end.
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// What happens to what the child prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// It goes where ours goes.
    Pass,
    /// Both streams are shown and kept.
    Copy,
    /// Both streams are kept; headlines (`excerpt`) are shown.
    Headlines,
    /// Both streams are kept and not shown.
    Keep,
}

/// A command with its limits, printable as a line for a shell.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) output: Output,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) result: Result<(), Failure>,
    /// What was kept of its output.
    pub(crate) output: String,
    pub(crate) took: Duration,
}

/// Why it did not end well.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be started.
    Start(String),
    /// It ended with this status.
    Status(String),
    /// It had to be killed at its deadline.
    Hung(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Start(why) => write!(f, "could not be started: {why}"),
            Failure::Status(status) => write!(f, "failed: {status}"),
            Failure::Hung(limit) => write!(f, "hung: killed after {} s", limit.as_secs()),
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| match text.contains(' ') {
            true => format!("'{text}'"),
            false => text.to_owned(),
        };
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

impl Run {
    /// `line` is split at spaces.
    pub(crate) fn new(line: &str, timeout: Duration) -> Run {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap_or_default();
        Run { program, args: words.collect(), env: Vec::new(), timeout, output: Output::Pass }
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Run {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn output(mut self, output: Output) -> Run {
        self.output = output;
        self
    }

    /// Runs it in `folder`, without input.
    pub(crate) fn run(&self, folder: &Path) -> Ended {
        let begun = Instant::now();
        // In a group of its own everything it starts can be killed at once; but at a terminal it
        // shares ours, so that Ctrl-C reaches it.
        let own_group = !io::stdin().is_terminal();
        let mut child = match self.command(folder, own_group).spawn() {
            Ok(child) => child,
            Err(error) => {
                let result = Err(Failure::Start(error.to_string()));
                return Ended { result, output: String::new(), took: begun.elapsed() };
            }
        };
        let kept = Arc::new(Mutex::new(Vec::new()));
        let readers = self.readers(&mut child, &kept);
        let result = match wait(&mut child, begun + self.timeout) {
            Some(Ok(status)) if status.success() => Ok(()),
            Some(Ok(status)) => Err(Failure::Status(status.to_string())),
            Some(Err(error)) => Err(Failure::Status(error.to_string())),
            None => {
                kill(&mut child, own_group);
                Err(Failure::Hung(self.timeout))
            }
        };
        if own_group {
            signal("KILL", &[format!("-{}", child.id())]); // whatever it left running
        }
        let until = Instant::now() + GRACE;
        while readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < until {
            thread::sleep(POLL);
        }
        let output = kept.lock().map(|kept| String::from_utf8_lossy(&kept).into_owned());
        Ended { result, output: output.unwrap_or_default(), took: begun.elapsed() }
    }

    fn command(&self, folder: &Path, own_group: bool) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(folder).stdin(Stdio::null());
        // How many Ps there are is for the step to say, not for whoever runs it.
        command.env_remove("GOMAXPROCS");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if self.output != Output::Pass {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        if own_group {
            command.process_group(0);
        }
        command
    }

    fn readers(&self, child: &mut Child, kept: &Arc<Mutex<Vec<u8>>>) -> Vec<JoinHandle<()>> {
        let show: fn(&str) -> bool = match self.output {
            Output::Copy => |_| true,
            Output::Headlines => excerpt::is_headline,
            Output::Pass | Output::Keep => |_| false,
        };
        let stdout = child.stdout.take().map(|pipe| read(pipe, kept.clone(), show));
        let stderr = child.stderr.take().map(|pipe| read(pipe, kept.clone(), show));
        stdout.into_iter().chain(stderr).collect()
    }
}

/// Keeps what comes out of a pipe, line by line, and shows the headlines if asked to.
fn read(
    pipe: impl Read + Send + 'static,
    kept: Arc<Mutex<Vec<u8>>>,
    show: fn(&str) -> bool,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while let Ok(1..) = pipe.read_until(b'\n', &mut line) {
            if show(&String::from_utf8_lossy(&line)) {
                // Our own output being closed is no reason to stop the child.
                drop(io::stdout().write_all(&line));
            }
            if let Ok(mut kept) = kept.lock() {
                kept.append(&mut line);
            }
        }
    })
}

/// Waits for the child; None if it is still there at the deadline.
fn wait(child: &mut Child, deadline: Instant) -> Option<io::Result<ExitStatus>> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() >= deadline => return None,
            Ok(None) => thread::sleep(POLL),
            Ok(Some(status)) => return Some(Ok(status)),
            Err(error) => return Some(Err(error)),
        }
    }
}

fn kill(child: &mut Child, own_group: bool) {
    let targets = if own_group { vec![format!("-{}", child.id())] } else { family(child.id()) };
    signal("QUIT", &targets);
    thread::sleep(GRACE);
    signal("KILL", &targets);
    drop(child.wait());
}

/// By the shell's own `kill`: a program of that name is not everywhere. Who is gone is no error.
fn signal(name: &str, targets: &[String]) {
    let line = format!("kill -{name} {}", targets.join(" "));
    let quiet = || Stdio::null();
    drop(Command::new("sh").args(["-c", &line]).stdout(quiet()).stderr(quiet()).status());
}

/// The process and all its descendants.
fn family(root: u32) -> Vec<String> {
    let mut found = vec![root.to_string()];
    let stats: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .collect();
    // `pid (name) state parent ...`; the name may contain anything.
    let parent_of = |stat: &str| stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned);
    let mut next = 0;
    while next < found.len() {
        let parent = found[next].clone();
        let children = stats.iter().filter(|stat| parent_of(stat).as_ref() == Some(&parent));
        let ids: Vec<String> =
            children.filter_map(|s| s.split(' ').next().map(str::to_owned)).collect();
        found.extend(ids);
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Ended {
        let mut run = Run::new("sh -c", timeout).output(Output::Keep).env("WORD", "a b");
        run.args.push(script.to_owned());
        run.run(Path::new("/"))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_status_are_reported() {
        let ended = shell("echo \"$WORD\"; echo err >&2; pwd", LONG);
        assert_eq!(ended.result, Ok(()));
        for part in ["a b\n", "err\n", "/\n"] {
            assert!(ended.output.contains(part), "{}", ended.output);
        }
        let failed = shell("exit 3", LONG).result.unwrap_err();
        assert_eq!(failed.to_string(), "failed: exit status: 3");
        let missing = Run::new("/no/such/program", LONG).run(Path::new("/"));
        assert!(matches!(missing.result, Err(Failure::Start(_))));
    }

    #[test]
    fn a_hung_child_may_dump_and_dies_with_its_children() {
        // The grandchild would keep the pipe open far beyond the limit.
        let script = "trap 'echo dump' QUIT; sleep 600 & while :; do wait; done";
        let ended = shell(script, Duration::from_millis(300));
        assert_eq!(ended.result, Err(Failure::Hung(Duration::from_millis(300))));
        assert!(ended.output.contains("dump"), "{}", ended.output);
    }

    #[test]
    fn the_family_of_a_process_is_found() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 60 & echo; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut byte = [0];
        child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
        let family = family(child.id());
        signal("KILL", &family);
        child.wait().unwrap();
        assert_eq!(family.len(), 2, "{family:?}");
    }

    #[test]
    fn a_run_prints_as_a_shell_line() {
        let run = Run::new("cargo test --lib", LONG).env("RUSTFLAGS", "--cfg loom");
        assert_eq!(run.to_string(), "RUSTFLAGS='--cfg loom' cargo test --lib");
    }
}
