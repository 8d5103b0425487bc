//! Job: holds the ids in headers to the code: an invariant that nothing cites, a citation of
//!   nothing, and an ordering edge with one end are refused.
//! Not here: whether an argument is true; that is the reader's and the model checker's part.
//!
//! A header defines an id on a line `//!   AB1  text`: indented, one to four capitals, a number, two
//! spaces. `E1`, `E2` are ordering edges and belong to their file; the rest are invariants and
//! belong to their crate. A file without ids has nothing to fear.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Problem, Source, is_word};

/// Look like ids in a SAFETY comment and are none.
const NOT_IDS: [&str; 6] = ["AVX2", "SSE2", "UTF8", "UTF16", "X86", "X87"];

/// An id and where its header defines it.
struct Definition<'a> {
    source: &'a Source,
    id: &'a str,
    line: usize,
    /// Its text up to the next definition.
    text: String,
}

impl Definition<'_> {
    fn problem(&self, message: String) -> Problem {
        Problem::new(&self.source.path, self.line, message)
    }
}

/// `partner_exists(source path, path in the header)` says whether a named partner file is there.
pub(crate) fn check(
    sources: &[Source],
    partner_exists: &dyn Fn(&str, &str) -> bool,
) -> Vec<Problem> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|s| s.krate() != "xtask") {
        crates.entry(source.krate()).or_default().push(source);
    }
    let mut problems = Vec::new();
    for files in crates.values() {
        let all: Vec<Definition> = files.iter().flat_map(|s| definitions(s)).collect();
        let (edges, rules): (Vec<_>, Vec<_>) = all.iter().partition(|d| is_edge(d.id));
        check_rules(files, &rules, &mut problems);
        for file in files {
            let of_file = |d: &&&Definition| d.source.path == file.path;
            let own: Vec<&Definition> = edges.iter().filter(of_file).copied().collect();
            check_edges(file, &own, partner_exists, &mut problems);
        }
    }
    problems
}

/// Each invariant is defined once and cited; each one cited in a SAFETY comment is defined.
fn check_rules(files: &[&Source], rules: &[&Definition], problems: &mut Vec<Problem>) {
    let mut known: BTreeMap<&str, &Definition> = BTreeMap::new();
    for rule in rules {
        if let Some(first) = known.insert(rule.id, rule) {
            let message =
                format!("{} is defined in {} too; ids are the crate's", rule.id, first.source.path);
            problems.push(rule.problem(message));
        }
    }
    let mut cited = BTreeSet::new();
    for file in files {
        for (line, text) in prose(file) {
            for id in ids(&text) {
                let here =
                    known.get(id).is_some_and(|d| d.source.path == file.path && d.line == line);
                if let Some((id, _)) = known.get_key_value(id).filter(|_| !here) {
                    cited.insert(*id);
                }
            }
        }
        for (line, text) in safety_comments(file) {
            let unknown = |id: &&str| !is_edge(id) && !is_layer(id) && !known.contains_key(id);
            for id in ids(&text).into_iter().filter(unknown) {
                let message = format!("SAFETY cites {id}, which no header of the crate defines");
                problems.push(Problem::new(&file.path, line, message));
            }
        }
    }
    for rule in rules.iter().filter(|rule| !cited.contains(rule.id)) {
        problems.push(rule.problem(format!("invariant {} is cited nowhere in the crate", rule.id)));
    }
}

/// Each edge named beside an access is defined in the file's header and is named at both ends.
fn check_edges(
    file: &Source,
    edges: &[&Definition],
    partner_exists: &dyn Fn(&str, &str) -> bool,
    problems: &mut Vec<Problem>,
) {
    let header_end = file.header().count();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for (line, text) in comment_lines(file).filter(|(line, _)| *line > header_end) {
        for id in ids(text).into_iter().filter(|id| is_edge(id)) {
            *ends.entry(id.to_owned()).or_default() += 1;
        }
        let undefined = |id: &&str| edges.iter().all(|edge| edge.id != *id);
        for id in leading_edges(text).into_iter().filter(undefined) {
            let message = format!("edge {id} is not defined in this file's header");
            problems.push(Problem::new(&file.path, line, message));
        }
    }
    for edge in edges {
        let partner = edge.text.split_once("(partner: ").and_then(|(_, rest)| rest.split_once(')'));
        if let Some((path, _)) = partner
            && !partner_exists(&file.path, path)
        {
            problems.push(edge.problem(format!("edge {}: no such partner: {path}", edge.id)));
        }
        let needed = if partner.is_some() { 1 } else { 2 };
        let found = ends.get(edge.id).copied().unwrap_or(0);
        if found < needed {
            let id = edge.id;
            let message = format!(
                "edge {id} is named at {found} of its ends; mark each access `// {id}`, or say \
                 `(partner: path)` here if the other end is in another file"
            );
            problems.push(edge.problem(message));
        }
    }
}

/// The ids that a header defines.
fn definitions(source: &Source) -> Vec<Definition<'_>> {
    let mut found: Vec<Definition> = Vec::new();
    if source.in_src().is_none() {
        return found;
    }
    for (line, text) in source.header() {
        if let Some(id) = defined_id(text) {
            found.push(Definition { source, id, line, text: String::new() });
        }
        if let Some(last) = found.last_mut() {
            last.text.push_str(text);
        }
    }
    found
}

/// The id of a line `  AB1  text`.
fn defined_id(line: &str) -> Option<&str> {
    let body = line.strip_prefix("  ")?.trim_start();
    let (id, rest) = body.split_at(body.find(' ')?);
    (rest.starts_with("  ") && !rest.trim().is_empty() && ids(id) == [id]).then_some(id)
}

/// Comments and literals, line by line: everything that can cite.
fn prose(source: &Source) -> impl Iterator<Item = (usize, String)> {
    let lines = source.text.lines().zip(source.code.lines());
    (1..).zip(lines.map(|(text, code)| {
        // The code mask is blank just where the prose is; both have the same offsets.
        let keep = |(at, c): (usize, char)| {
            let is_code = code.as_bytes().get(at).is_some_and(|b| *b != b' ');
            if is_code { ' ' } else { c }
        };
        text.char_indices().map(keep).collect()
    }))
}

/// The lines that have a comment, from its first slash.
fn comment_lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(source.comments.lines()).filter_map(|(line, text)| {
        let text = text.trim();
        (!text.is_empty()).then_some((line, text))
    })
}

/// Each SAFETY comment: its first line's number and its whole text.
pub(crate) fn safety_comments(source: &Source) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut last = 0;
    for (line, text) in comment_lines(source) {
        let body = text.trim_start_matches('/').trim_start();
        if body.starts_with("SAFETY:") {
            found.push((line, body.to_owned()));
        } else if last + 1 == line
            && let Some((_, whole)) = found.last_mut()
        {
            whole.push(' ');
            whole.push_str(body);
        } else {
            continue;
        }
        last = line;
    }
    found
}

/// The words of the form AB1.
fn ids(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii() || !is_word(c as u8))
        .filter(|word| {
            let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
            let digits = &word[letters..];
            (1..=4).contains(&letters)
                && (1..=2).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && !NOT_IDS.contains(word)
        })
        .collect()
}

/// The edges a comment begins with, as in `// E1, E2: why`.
fn leading_edges(comment: &str) -> Vec<&str> {
    let Some(body) = comment.strip_prefix("// ") else { return Vec::new() };
    let end = body
        .find(|c: char| !(c == 'E' || c == ',' || c == ' ' || c.is_ascii_digit()))
        .filter(|&end| !is_word(body.as_bytes()[end]))
        .unwrap_or(body.len());
    ids(&body[..end]).into_iter().filter(|id| is_edge(id)).collect()
}

fn is_edge(id: &str) -> bool {
    id.starts_with('E') && id.as_bytes()[1].is_ascii_digit()
}

fn is_layer(id: &str) -> bool {
    matches!(id, "L0" | "L1" | "L2" | "L3" | "L4")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&sources, &|_, partner| partner == "b.rs").into_iter().map(|p| p.message).collect()
    }

    const HEAD: &str = "//! Job: x\n//! Invariants\n//!   AB1  one\n//!        and more\n";

    #[test]
    fn a_file_without_ids_passes() {
        assert!(
            messages(&[("runtime/src/a.rs", "//! Job: x\nfn a() {} // Every E is fine")])
                .is_empty()
        );
    }

    #[test]
    fn an_invariant_must_be_cited() {
        let alone = messages(&[("runtime/src/a.rs", &format!("{HEAD}struct AB1;"))]);
        assert_eq!(alone, ["invariant AB1 is cited nowhere in the crate"]);
        let cited = format!("{HEAD}// keeps AB1\nfn a() {{}}");
        assert!(messages(&[("runtime/src/a.rs", &cited)]).is_empty());
        let asserted = "fn b() { assert!(x, \"AB1\"); }";
        assert!(messages(&[("runtime/src/a.rs", HEAD), ("runtime/src/b.rs", asserted)]).is_empty());
        let elsewhere = messages(&[("runtime/src/a.rs", HEAD), ("netpoll/src/b.rs", asserted)]);
        assert_eq!(elsewhere.len(), 1);
    }

    #[test]
    fn a_cited_invariant_must_be_defined() {
        let text = "// SAFETY: so says\n// AB2, on L0 with UTF8.\nunsafe {}\n// CD1 is no citation";
        let found = messages(&[("runtime/src/a.rs", text)]);
        assert_eq!(found, ["SAFETY cites AB2, which no header of the crate defines"]);
    }

    #[test]
    fn an_id_has_one_home() {
        let cited = format!("{HEAD}// AB1\n");
        let found = messages(&[("runtime/src/a.rs", &cited), ("runtime/src/b.rs", &cited)]);
        assert!(found[0].contains("defined in runtime/src/a.rs too"), "{found:?}");
    }

    #[test]
    fn an_edge_has_two_ends() {
        let head = "//! Orderings\n//!   E1  a: store -> b: load\n";
        let both = format!("{head}a(); // E1\nb(); // E1: seen\n");
        assert!(messages(&[("runtime/src/a.rs", &both)]).is_empty());
        let one = messages(&[("runtime/src/a.rs", &format!("{head}a(); // E1"))]);
        assert!(one[0].contains("edge E1 is named at 1 of its ends"));
        let unknown = messages(&[("runtime/src/a.rs", &format!("{both}c(); // E1, E2"))]);
        assert_eq!(unknown, ["edge E2 is not defined in this file's header"]);
    }

    #[test]
    fn a_partner_in_another_file_is_the_other_end() {
        let head = "//!   E1  a: store -> b: load\n//!       (partner: b.rs)\na(); // E1";
        assert!(messages(&[("runtime/src/a.rs", head)]).is_empty());
        let gone = messages(&[("runtime/src/a.rs", &head.replace("b.rs", "c.rs"))]);
        assert_eq!(gone, ["edge E1: no such partner: c.rs"]);
    }
}
