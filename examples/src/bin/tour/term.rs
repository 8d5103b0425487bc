//! Job: how the tour looks: headers, rows with bars, colour where it is wanted.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use gusty_examples::cli::grouped;

const BAR: usize = 30;
const WIDTH: usize = 78;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Whose figure a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Goroutine,
    Thread,
}

/// One figure: `label  figure  bar  note`.
#[derive(Debug)]
pub(crate) struct Row {
    who: Who,
    label: String,
    /// The figure as text, with its unit.
    figure: String,
    /// The length of the bar, in any unit that the rows share.
    length: f64,
    note: String,
}

impl Row {
    pub(crate) fn new(who: Who, label: impl Into<String>, figure: String, length: f64) -> Row {
        Row { who, label: label.into(), figure, length, note: String::new() }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Row {
        self.note = note.into();
        self
    }
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Term {
    /// Colours and block characters; else ASCII.
    rich: bool,
}

impl Term {
    pub(crate) fn detect() -> Term {
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Term { rich: io::stdout().is_terminal() && !dumb && !refused }
    }

    pub(crate) fn title(&self, cpus: usize, procs: usize) {
        let name = format!("gusty {}", env!("CARGO_PKG_VERSION"));
        let about = format!("{cpus} CPUs, GOMAXPROCS={procs}");
        println!("{}: goroutines for Rust, beside OS threads. {about}", self.paint(BOLD, &name));
        if cfg!(debug_assertions) {
            println!("A debug build does less and is slower: cargo run --release");
        }
    }

    /// Begins a section, before its work is done.
    pub(crate) fn section(&self, number: u32, title: &str, about: &str) {
        let rule = WIDTH.saturating_sub(title.chars().count() + about.chars().count() + 7);
        let rule = (if self.rich { "─" } else { "-" }).repeat(rule);
        let title = self.paint(BOLD, &format!("{number}. {title}"));
        println!("\n{title}  {} {}", self.paint(DIM, about), self.paint(DIM, &rule));
        // The work takes seconds: show at once what is coming. Nobody to show it to is no error.
        let _ = io::stdout().flush();
    }

    /// Rows whose bars are to the same scale.
    pub(crate) fn rows(&self, rows: &[Row]) {
        let longest = rows.iter().map(|row| row.length).fold(f64::MIN_POSITIVE, f64::max);
        for row in rows {
            let cells = ((row.length / longest * BAR as f64).round() as usize).clamp(1, BAR);
            let bar = (if self.rich { "█" } else { "#" }).repeat(cells);
            let bar = self.paint(if row.who == Who::Goroutine { GREEN } else { YELLOW }, &bar);
            let gap = " ".repeat(BAR - cells);
            let line = format!("   {:<13}{:>12}  {bar}{gap}  {}", row.label, row.figure, row.note);
            println!("{}", line.trim_end());
        }
        let _ = io::stdout().flush();
    }

    /// A line below the rows.
    pub(crate) fn remark(&self, text: impl Display) {
        println!("   {}", self.paint(DIM, &text.to_string()));
    }

    pub(crate) fn end(&self, took: Duration) {
        println!("\n{} in {:.1} s", self.paint(BOLD, "done"), took.as_secs_f64());
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.rich { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A duration in the unit that suits it, with about three digits.
pub(crate) fn time(duration: Duration) -> String {
    let ns = duration.as_nanos() as f64;
    match ns {
        0.0..1e3 => format!("{ns:.0} ns"),
        1e3..1e6 => format!("{:.1} us", ns / 1e3),
        1e6..1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

/// The time of each of `count`.
pub(crate) fn each(total: Duration, count: usize) -> Duration {
    Duration::from_secs_f64(total.as_secs_f64() / count.max(1) as f64)
}

/// Bytes as kB.
pub(crate) fn kilobytes(bytes: f64) -> String {
    format!("{:.1} kB", bytes / 1e3)
}

/// How many times `small` goes into `large`.
pub(crate) fn times(large: f64, small: f64) -> String {
    let factor = large / small.max(f64::MIN_POSITIVE);
    if factor < 10.0 { format!("{factor:.1}x") } else { format!("{}x", grouped(factor as u64)) }
}
