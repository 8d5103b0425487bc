//! Job: reads the tree, runs every check on it, prints what they found.
//! Not here: the checks; each is a pure function of what was read, tested on planted failures.

mod exceptions;
mod headers;
mod invariants;
mod layers;
mod links;
mod manifests;
mod modules;
mod scan;
mod sizes;
mod source;
mod text;

use std::fs;
use std::io;
use std::path::Path;

use exceptions::Exceptions;
use links::Page;
use manifests::Manifest;
use source::{Problem, Source};

/// The workspace's crates, by folder.
const CRATES: [&str; 7] =
    ["runtime", "runtime-macros", "netpoll", "sysmon", "examples", "benches", "xtask"];

/// What the checks look at.
struct Tree {
    sources: Vec<Source>,
    manifests: Vec<Manifest>,
    pages: Vec<Page>,
    changelog: Option<String>,
    exceptions: Exceptions,
}

/// Checks the tree at `root`; true if it is tidy.
pub(crate) fn run(root: &Path) -> bool {
    let tree = match read(root) {
        Ok(tree) => tree,
        Err(error) => {
            println!("tidy: cannot read the tree: {error}");
            return false;
        }
    };
    let mut problems = check(&tree, root);
    problems.sort();
    for Problem { path, line, message } in &problems {
        println!("{path}:{line}: {message}");
    }
    let (found, files) = (problems.len(), tree.sources.len());
    println!("tidy: {found} problems in {files} source files, {} pages", tree.pages.len());
    problems.is_empty()
}

fn check(tree: &Tree, root: &Path) -> Vec<Problem> {
    let Tree { sources, manifests, pages, changelog, exceptions } = tree;
    let exists = |path: &str| root.join(path).exists();
    let partner_exists = |from: &str, partner: &str| {
        let from = root.join(from);
        let beside = from.parent().map(|folder| folder.join(partner));
        let src = from.ancestors().find(|folder| folder.ends_with("src"));
        let in_src = src.map(|src| src.join(partner));
        [beside, in_src].into_iter().flatten().any(|path| {
            path.is_file() || path.with_extension("rs").is_file() || path.join("mod.rs").is_file()
        })
    };
    let mut problems = layers::check(sources, manifests);
    problems.extend(headers::check(sources));
    problems.extend(invariants::check(sources, &partner_exists));
    problems.extend(sizes::check(sources, exceptions));
    problems.extend(text::check(sources, exceptions));
    problems.extend(manifests::check(manifests, changelog.as_deref()));
    problems.extend(links::check(pages, &exists));
    // Last: now it is known which exceptions were needed.
    problems.extend(exceptions.check());
    problems
}

fn read(root: &Path) -> io::Result<Tree> {
    let mut rust = Vec::new();
    let mut manifests =
        vec![Manifest::new("Cargo.toml", &fs::read_to_string(root.join("Cargo.toml"))?)];
    for krate in CRATES {
        walk(root, krate, ".rs", &mut rust)?;
        let path = format!("{krate}/Cargo.toml");
        manifests.push(Manifest::new(&path, &fs::read_to_string(root.join(&path))?));
    }
    rust.sort();
    let mut pages = Vec::new();
    if root.join("docs").is_dir() {
        walk(root, "docs", ".md", &mut pages)?;
    }
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            pages.push((name.clone(), fs::read_to_string(root.join(&name))?));
        }
    }
    let changelog =
        pages.iter().find(|(path, _)| path == "CHANGELOG.md").map(|(_, text)| text.clone());
    let exceptions = Exceptions::parse(&fs::read_to_string(root.join(exceptions::PATH))?);
    Ok(Tree {
        sources: rust.iter().map(|(path, text)| Source::new(path, text)).collect(),
        manifests,
        pages: pages.into_iter().map(|(path, text)| Page { path, text }).collect(),
        changelog,
        exceptions,
    })
}

/// Reads every file under `folder` whose name ends so, as (path from the root, text).
fn walk(
    root: &Path,
    folder: &str,
    ending: &str,
    out: &mut Vec<(String, String)>,
) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if name == "target" || name.starts_with('.') {
            continue;
        } else if entry.file_type()?.is_dir() {
            walk(root, &path, ending, out)?;
        } else if name.ends_with(ending) {
            let text = fs::read_to_string(entry.path())?;
            out.push((path, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_asked() {
        let long = "// x\n".repeat(400);
        let planted = [
            ("runtime/src/sys/a.rs", "//! Job: x\n//! Layer: L0\nuse crate::sched::b::B;"),
            ("runtime/src/sched/b.rs", "struct B;"),
            ("netpoll/src/c.rs", "//! Job: x\n//!   NP1  one\n"),
            ("sysmon/src/d.rs", &format!("//! Job: x\n{long}")),
            ("examples/src/e.rs", "fn f() { todo!() }"),
        ];
        let page = |text: &str| Page { path: "README.md".to_owned(), text: text.to_owned() };
        let tree = Tree {
            sources: planted.iter().map(|(path, text)| Source::new(path, text)).collect(),
            manifests: vec![Manifest::new("benches/Cargo.toml", "[dependencies]\nx = \"1\"")],
            pages: vec![page("[a](gone.md)")],
            changelog: None,
            exceptions: Exceptions::parse("print gone.rs because"),
        };
        let mut found: Vec<String> =
            check(&tree, Path::new("/nowhere")).into_iter().map(|p| p.path).collect();
        found.sort();
        found.dedup();
        let mut expected: Vec<&str> = planted.iter().map(|(path, _)| *path).collect();
        expected.extend(["benches/Cargo.toml", "README.md", exceptions::PATH]);
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
