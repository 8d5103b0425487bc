//! Job: the list of what may break a rule, `exceptions.txt`, and its ratchet: an entry without a
//!   reason or without need is refused, so the list only shrinks.
//! Not here: the rules.

use std::cell::Cell;

use super::source::Problem;

/// Where the list is.
pub(crate) const PATH: &str = "xtask/src/tidy/exceptions.txt";

/// The rules that know exceptions.
const RULES: [&str; 3] = ["file-size", "fn-size", "print"];

struct Entry {
    line: usize,
    rule: String,
    subject: String,
    reason: String,
    used: Cell<bool>,
}

/// The parsed list.
pub(crate) struct Exceptions(Vec<Entry>);

impl Exceptions {
    /// Lines `rule subject reason...`; `#` begins a comment line.
    pub(crate) fn parse(text: &str) -> Exceptions {
        let is_entry =
            |(_, line): &(usize, &str)| !line.trim().is_empty() && !line.starts_with('#');
        let entries = (1..).zip(text.lines()).filter(is_entry).map(|(line, text)| {
            let mut parts = text.trim().splitn(3, char::is_whitespace).map(str::trim);
            let mut next = || parts.next().unwrap_or_default().to_owned();
            Entry { line, rule: next(), subject: next(), reason: next(), used: Cell::new(false) }
        });
        Exceptions(entries.collect())
    }

    /// Is there an entry? Asked only for what breaks the rule: asking is what marks it as needed.
    pub(crate) fn allows(&self, rule: &str, subject: &str) -> bool {
        let entry = self.0.iter().find(|e| e.rule == rule && e.subject == subject);
        entry.inspect(|e| e.used.set(true)).is_some()
    }

    /// What is wrong with the list itself, after every check has asked.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for entry in &self.0 {
            let message = if !RULES.contains(&entry.rule.as_str()) {
                format!("no rule `{}` has exceptions", entry.rule)
            } else if entry.reason.is_empty() {
                "an exception needs a reason".to_owned()
            } else if !entry.used.get() {
                format!("no longer needed: {} {}", entry.rule, entry.subject)
            } else {
                continue;
            };
            problems.push(Problem::new(PATH, entry.line, message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_allowed_and_must_be_needed() {
        let text = "# list\n\nprint a.rs  the dump goes to stderr\nfn-size b.rs::f long\n";
        let list = Exceptions::parse(text);
        assert!(list.allows("print", "a.rs"));
        assert!(!list.allows("print", "b.rs") && !list.allows("file-size", "a.rs"));
        let found = list.check();
        assert_eq!(found, [Problem::new(PATH, 4, "no longer needed: fn-size b.rs::f")]);
    }

    #[test]
    fn entries_need_a_reason_and_a_rule() {
        let list = Exceptions::parse("print a.rs\ncycle a.rs why not\n");
        assert!(list.allows("print", "a.rs"));
        let found: Vec<String> = list.check().into_iter().map(|p| p.message).collect();
        assert_eq!(found, ["an exception needs a reason", "no rule `cycle` has exceptions"]);
    }
}
