//! A pipeline over real files, in three stages joined by channels:
//!
//! ```text
//!              +-> reader -+
//! list --paths-+-> reader -+-counts--> merge
//!              +-> reader -+
//! ```
//!
//! One goroutine lists the files of a tree, several read and count (lines, words, bytes, a
//! checksum), and the main one merges. Bounded channels hold the stages together: a lister that is
//! ahead waits, so memory stays flat however large the tree is. When a stage ends it drops its
//! sender, and that ends the next one. In the end a plain loop does the same to compare.
//!
//! Usage: `pipeline [folder]`; by default the sources of this workspace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use gusty::chan::{self, Receiver, Sender};
use gusty::{go, runtime};
use gusty_examples::cli::{self, Outcome, grouped};

/// How far a stage may run ahead of the next.
const AHEAD: usize = 64;

/// What is counted of one file, and of all.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
    /// FNV-1a of a file; their sum for many, which no order of arrival changes.
    checksum: u64,
}

impl Counts {
    fn of(text: &[u8]) -> Counts {
        let mut counts = Counts { bytes: text.len() as u64, ..Counts::default() };
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut in_word = false;
        for &byte in text {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            counts.lines += u64::from(byte == b'\n');
            let space = byte.is_ascii_whitespace();
            counts.words += u64::from(!space && !in_word);
            in_word = !space;
        }
        counts.checksum = hash;
        counts
    }

    fn add(&mut self, other: &Counts) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

/// A file, and what was counted or why it could not be read.
type Counted = (PathBuf, io::Result<Counts>);

/// What comes out at the end.
#[derive(Default)]
struct Summary {
    total: Counts,
    files: Vec<(PathBuf, Counts)>,
    unreadable: Vec<(PathBuf, io::Error)>,
}

impl Summary {
    fn add(&mut self, (path, counted): Counted) {
        match counted {
            Ok(counts) => {
                self.total.add(&counts);
                self.files.push((path, counts));
            }
            Err(error) => self.unreadable.push((path, error)),
        }
    }
}

/// Calls `found` with every file below `folder` until it returns false. Hidden entries, links and
/// `target` are left out.
fn walk(folder: &Path, found: &mut impl FnMut(PathBuf) -> bool) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if name.as_encoded_bytes().starts_with(b".") || name == "target" {
            continue;
        }
        let go_on = if kind.is_dir() {
            walk(&entry.path(), found)?
        } else {
            !kind.is_file() || found(entry.path())
        };
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}

fn count_file(path: PathBuf) -> Counted {
    let counted = fs::read(&path).map(|text| Counts::of(&text));
    (path, counted)
}

/// Stage 1.
fn list(folder: PathBuf, paths: Sender<PathBuf>) -> io::Result<()> {
    walk(&folder, &mut |path| paths.send(path).is_ok()).map(drop)
}

/// Stage 2; several share one receiver, and each path goes to one of them.
fn read(paths: Receiver<PathBuf>, counts: Sender<Counted>) {
    for path in paths {
        if counts.send(count_file(path)).is_err() {
            return;
        }
    }
}

/// All three stages.
fn concurrently(folder: &Path, readers: usize) -> io::Result<Summary> {
    let (paths_tx, paths) = chan::bounded(AHEAD);
    let (counts_tx, counts) = chan::bounded(AHEAD);
    let lister = go!(list(folder.to_owned(), paths_tx));
    for _ in 0..readers {
        go!(read(paths.clone(), counts_tx.clone()));
    }
    drop(counts_tx); // the readers hold the others: the stage ends with the last of them
    let mut summary = Summary::default();
    counts.iter().for_each(|counted| summary.add(counted)); // stage 3
    lister.join().unwrap_or_else(|_| Err(io::Error::other("the lister panicked")))?;
    Ok(summary)
}

/// The same without a goroutine.
fn one_by_one(folder: &Path) -> io::Result<Summary> {
    let mut summary = Summary::default();
    walk(folder, &mut |path| {
        summary.add(count_file(path));
        true
    })?;
    Ok(summary)
}

fn run() -> Outcome {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?,
    };
    let about = |error: io::Error| format!("{}: {error}", folder.display());
    // Reading a file holds the thread: as many readers as goroutines can run at once.
    let readers = runtime::gomaxprocs(0);

    let start = Instant::now();
    let mut summary = concurrently(&folder, readers).map_err(about)?;
    let took = start.elapsed();

    summary.files.sort_by(|(a_path, a), (b_path, b)| (b.bytes, a_path).cmp(&(a.bytes, b_path)));
    println!("{:>9} {:>9} {:>11}  file", "lines", "words", "bytes");
    for (path, counts) in summary.files.iter().take(10) {
        let name = path.strip_prefix(&folder).unwrap_or(path).display();
        let [lines, words, bytes] = [counts.lines, counts.words, counts.bytes].map(grouped);
        println!("{lines:>9} {words:>9} {bytes:>11}  {name}");
    }
    let Counts { lines, words, bytes, checksum } = summary.total;
    let [lines, words, bytes] = [lines, words, bytes].map(grouped);
    println!("{lines:>9} {words:>9} {bytes:>11}  in {} files", summary.files.len());
    for (path, error) in &summary.unreadable {
        println!("not read: {}: {error}", path.display());
    }
    println!("checksum {checksum:016x}, {readers} readers, {took:.1?}");

    let plain = one_by_one(&folder).map_err(about)?;
    if (plain.total, plain.files.len()) != (summary.total, summary.files.len()) {
        return Err("a plain loop counts something else: did a file change meanwhile?".into());
    }
    println!("verified");
    Ok(())
}

#[gusty::main]
fn main() -> ExitCode {
    cli::exit(run())
}
