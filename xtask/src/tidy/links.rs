//! Job: refuses relative links in the prose that lead nowhere, to a file or to a heading.
//! Not here: links to the web; links between items, which rustdoc checks.

use super::source::Problem;

/// A page of prose.
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// `exists` says whether the tree has a file or folder of this path.
pub(crate) fn check(pages: &[Page], exists: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for page in pages {
        for (line, target) in links(&page.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.path.clone() } else { join(&page.path, file) };
            if !exists(&path) {
                problems.push(Problem::new(&page.path, line, format!("dead link: {target}")));
                continue;
            }
            let there = pages.iter().find(|p| p.path == path);
            if there.is_some_and(|p| !anchor.is_empty() && !has_anchor(&p.text, anchor)) {
                problems.push(Problem::new(&page.path, line, format!("no such heading: {target}")));
            }
        }
    }
    problems
}

/// The lines outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Line and target of each `](target)` and `[name]: target`.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        for (at, _) in text.match_indices("](") {
            let in_code_span = text[..at].matches('`').count() % 2 == 1;
            let target = text[at + 2..].split([')', ' ']).next().unwrap_or_default();
            if !in_code_span && !target.is_empty() {
                found.push((line, target.trim_matches(['<', '>'])));
            }
        }
        let reference = text.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((name, target)) = reference
            && !name.starts_with('^')
        {
            found.push((line, target.split(' ').next().unwrap_or_default()));
        }
    }
    found
}

/// `target` as seen from the page at `from`, without `.` and `..`.
fn join(from: &str, target: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if let Some(rooted) = target.strip_prefix('/') {
        rooted.to_owned()
    } else {
        format!("{folder}/{target}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Is there a heading whose anchor this is, or an explicit `id="anchor"`?
fn has_anchor(text: &str, anchor: &str) -> bool {
    let explicit = [format!("id=\"{anchor}\""), format!("name=\"{anchor}\"")];
    let base = anchor.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    explicit.iter().any(|id| text.contains(id))
        || prose(text).any(|(_, line)| {
            let title = line.trim_start_matches('#');
            // A repeated heading gets `-1`, `-2`.
            title.len() < line.len() && [anchor, base].contains(&slug(title.trim()).as_str())
        })
}

/// A heading's anchor, as GitHub makes it.
fn slug(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let page = |path: &str, text: &str| Page { path: path.into(), text: text.into() };
        let pages = [page("docs/a.md", text), page("docs/b.md", "# The `go!` macro\n## x\n## x\n")];
        let tree = ["docs/a.md", "docs/b.md", "README.md", "docs/img"];
        let exists = |path: &str| tree.contains(&path);
        check(&pages, &exists).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn live_links_pass() {
        let text = "# Top\n[a](b.md) [b](../README.md) ![c](./img) [d](#top) [e](b.md#the-go-macro) [f](b.md#x-1)\n[g]: b.md\n[h](https://x.y/z) `[i](gone)`\n```\n[j](gone)\n```\n[^1]: A note.\n";
        assert!(messages(text).is_empty(), "{:?}", messages(text));
    }

    #[test]
    fn dead_links_are_refused() {
        assert_eq!(messages("[a](c.md)"), ["dead link: c.md"]);
        assert_eq!(messages("[a](../../README.md)"), ["dead link: ../../README.md"]);
        assert_eq!(messages("[a]: c.md"), ["dead link: c.md"]);
        assert_eq!(messages("[a](b.md#gone)"), ["no such heading: b.md#gone"]);
    }
}
