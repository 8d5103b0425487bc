//! Job: one Rust file as the checks see it: its code without comments and strings, its comments
//!   alone, and which lines are compiled for tests only.
//! Not here: what is wrong with any of it.
//!
//! The masks keep every offset and line break of the text, so a place found in one is the same
//! place in all. Good enough for tidy code; the compiler has the last word on what is Rust.

use std::ops::Range;

/// One finding, printed as `path:line: message`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Problem {
        Problem { path: path.to_owned(), line, message: message.into() }
    }
}

/// A file of the tree, by its path from the root.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and the contents of literals blanked.
    pub(crate) code: String,
    /// The text with everything but comments blanked.
    pub(crate) comments: String,
    /// Offset of each line's start.
    lines: Vec<usize>,
    /// For each line: is it test code?
    test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (code, comments) = masks(text);
        let lines: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
            test: vec![is_test_path(path); lines.len()],
            lines,
            code,
            comments,
        };
        for range in test_items(&source.code) {
            let (first, last) = (source.line_of(range.start), source.line_of(range.end));
            source.test[first - 1..last].fill(true);
        }
        source
    }

    /// The crate's folder: the first part of the path.
    pub(crate) fn krate(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The path inside the crate's `src`, if it is there.
    pub(crate) fn in_src(&self) -> Option<&str> {
        self.path.split_once('/')?.1.strip_prefix("src/")
    }

    /// Line number, from 1, of an offset.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset).max(1)
    }

    /// Is this line (from 1) compiled for tests only?
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test.get(line - 1).copied().unwrap_or(false)
    }

    /// The whole file is test code.
    pub(crate) fn is_test_file(&self) -> bool {
        self.test.iter().all(|&test| test)
    }

    /// The `//!` lines at the top, with their line numbers, without the marker.
    pub(crate) fn header(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines()).map_while(|(n, line)| Some((n, line.strip_prefix("//!")?)))
    }
}

/// Test code by its place: `tests.rs`, `*_tests.rs`, and everything in a folder `tests`.
fn is_test_path(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    stem == "tests" || stem.ends_with("_tests") || folders.split('/').any(|f| f == "tests")
}

/// Is the byte part of an identifier?
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where `word` stands by itself, not as part of a longer one.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).map(|i| bytes[i]);
        let after = bytes.get(at + word.len()).copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Offset just past the bracket that closes the one at `open`, or the end of the code.
pub(crate) fn past_match(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Offset of what ends an item's head beginning at `from`: its `{` or `;`, or, for a field or an
/// arm, the `}` around it.
pub(crate) fn end_of_head(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    code.bytes().enumerate().skip(from).find_map(|(at, byte)| {
        match byte {
            b'{' | b';' | b'}' if depth == 0 => return Some(at),
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        None
    })
}

/// What `#[cfg(... test ...)]` stands on, attribute included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("#[cfg(").chain(code.match_indices("#![cfg(")) {
        let open = start + code[start..].find('[').unwrap_or_default();
        let end = past_match(code, open);
        let predicate = &code[open..end];
        if words(predicate, "test").next().is_none() || predicate.contains("not(test)") {
            continue;
        }
        if code[start..].starts_with("#!") {
            return std::iter::once(0..code.len()).collect();
        }
        let head = skip_attributes(code, end);
        let end = match end_of_head(code, head) {
            Some(at) if code.as_bytes()[at] == b'{' => past_match(code, at),
            Some(at) => at + 1,
            None => code.len(),
        };
        found.push(start..end - 1);
    }
    found
}

fn skip_attributes(code: &str, mut at: usize) -> usize {
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if !code[at..].starts_with("#[") {
            return at;
        }
        at = past_match(code, at + 1);
    }
}

/// What a stretch of text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// The code mask and the comment mask of a text.
fn masks(text: &str) -> (String, String) {
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let (kind, len) = next_stretch(text, at);
        for (mask, keeps) in [(&mut code, Kind::Code), (&mut comments, Kind::Comment)] {
            for c in text[at..at + len].chars() {
                if kind == keeps || c == '\n' {
                    mask.push(c);
                } else {
                    mask.extend(std::iter::repeat_n(' ', c.len_utf8()));
                }
            }
        }
        at += len;
    }
    (code, comments)
}

/// Kind and length of what starts at `at`: a comment, a literal's inside with its quotes, or one
/// word or character of code.
fn next_stretch(text: &str, at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    let first = rest.as_bytes()[0];
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if first == b'"' {
        return (Kind::Literal, quoted(rest, 0));
    }
    if first == b'\'' {
        return char_literal(rest).map_or((Kind::Code, 1), |len| (Kind::Literal, len));
    }
    if is_word(first) {
        let len = rest.bytes().take_while(|&b| is_word(b)).count();
        if matches!(&rest[..len], "r" | "br" | "cr") {
            let hashes = rest[len..].bytes().take_while(|&b| b == b'#').count();
            if rest.as_bytes().get(len + hashes) == Some(&b'"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let body = len + hashes + 1;
                let end = rest[body..].find(&close).map_or(rest.len(), |i| body + i + close.len());
                return (Kind::Literal, end);
            }
        }
        return (Kind::Code, len);
    }
    (Kind::Code, 1)
}

/// Length of the string literal whose quote is at `open`.
fn quoted(rest: &str, open: usize) -> usize {
    let bytes = rest.as_bytes();
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of a char literal, or None for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, c) = chars.next()?;
    if c == '\\' {
        chars.next()?;
        return chars.find(|&(_, c)| c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|&(_, c)| c == '\'').map(|(at, _)| at + 1)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        let (step, next) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, depth + 1),
            [b'*', b'/', ..] => (2, depth - 1),
            _ => (1, depth),
        };
        at += step;
        depth = next;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_separate_code_comments_and_literals() {
        let text = "let a = \"// no\"; // yes: 'é'\nlet b = '\"'; /* x /* y */ z */ let c: &'a str = r#\"}\"#;";
        let source = Source::new("x/src/a.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.comments.len(), text.len());
        assert!(!source.code.contains("//") && !source.code.contains('}'));
        assert!(source.code.contains("let c: &'a str ="));
        assert!(source.comments.contains("// yes: 'é'") && source.comments.contains("z */"));
        assert!(!source.comments.contains("no") && !source.comments.contains("let"));
    }

    #[test]
    fn test_items_are_marked_and_nothing_else() {
        let text = "fn a() {}\n#[cfg(all(test, loom))]\n#[allow(x)]\nmod t {\n  fn b() {}\n}\nfn c() {}\n#[cfg(not(test))]\nfn d() {}\n#[cfg(test)]\nuse e;\nfn f() {}";
        let source = Source::new("x/src/a.rs", text);
        let marked: Vec<usize> = (1..=12).filter(|&line| source.is_test(line)).collect();
        assert_eq!(marked, [2, 3, 4, 5, 6, 10, 11]);
        assert!(!source.is_test_file());
        assert!(Source::new("x/src/a/loom_tests.rs", text).is_test_file());
        assert!(Source::new("x/src/a.rs", "#![cfg(test)]\nfn a() {}").is_test_file());
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("ab b_ b xb b", "b").collect::<Vec<_>>(), [6, 11]);
    }

    #[test]
    fn the_header_ends_at_the_first_other_line() {
        let source = Source::new("x/src/a.rs", "//! one\n//! two\n\n//! three");
        assert_eq!(source.header().collect::<Vec<_>>(), [(1, " one"), (2, " two")]);
    }
}
