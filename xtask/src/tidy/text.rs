//! Job: refuses words and macros that mark unfinished work, printing in libraries, and `unsafe`
//!   that is not argued for.
//! Not here: whether the ids a SAFETY comment cites exist (`invariants`).

use super::exceptions::Exceptions;
use super::invariants::safety_comments;
use super::source::{Problem, Source, is_word, words};

/// Refused in code, everywhere.
const CODE: [(&str, &str); 3] = [
    ("todo!", "unfinished code"),
    ("unimplemented!", "unfinished code"),
    ("#[ignore", "a test that does not run is no test"),
];

/// Refused in comments, everywhere.
const MARKS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// Refused in library code that is not a test.
const PRINTS: [&str; 5] = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];

/// The library crates.
const LIBRARIES: [&str; 4] = ["runtime", "netpoll", "sysmon", "runtime-macros"];

/// The `unsafe` of a macro crate is quoted, not run; what it expands to is argued for where it is
/// used.
const QUOTING: &str = "runtime-macros";

/// Refused in a SAFETY comment: they say nothing.
const HOLLOW: [&str; 3] = ["untriaged", "trust me", "same as above"];

pub(crate) fn check(sources: &[Source], exceptions: &Exceptions) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        check_words(source, &mut problems);
        check_prints(source, exceptions, &mut problems);
        check_unsafe(source, &mut problems);
    }
    problems
}

fn check_words(source: &Source, problems: &mut Vec<Problem>) {
    let mut refuse = |at: usize, message: String| {
        problems.push(Problem::new(&source.path, source.line_of(at), message));
    };
    for (word, why) in CODE {
        for at in macro_uses(&source.code, word) {
            refuse(at, format!("`{word}`: {why}"));
        }
    }
    for mark in MARKS {
        for at in words(&source.comments, mark) {
            refuse(at, format!("`{mark}`: do it, or write down as a fact what is missing"));
        }
    }
}

fn check_prints(source: &Source, exceptions: &Exceptions, problems: &mut Vec<Problem>) {
    if !LIBRARIES.contains(&source.krate()) || source.in_src().is_none() {
        return;
    }
    for print in PRINTS {
        for at in macro_uses(&source.code, print) {
            let line = source.line_of(at);
            if !source.is_test(line) && !exceptions.allows("print", &source.path) {
                let message = format!("`{print}` in a library");
                problems.push(Problem::new(&source.path, line, message));
            }
        }
    }
}

fn check_unsafe(source: &Source, problems: &mut Vec<Problem>) {
    for (line, text) in safety_comments(source) {
        let text = text.to_lowercase();
        for hollow in HOLLOW.iter().filter(|hollow| text.contains(**hollow)) {
            problems.push(Problem::new(
                &source.path,
                line,
                format!("SAFETY: \"{hollow}\" argues nothing"),
            ));
        }
    }
    if source.krate() == QUOTING {
        return;
    }
    for at in words(&source.code, "unsafe") {
        let after = source.code[at + "unsafe".len()..].trim_start();
        let is_impl = words(after, "impl").next() == Some(0);
        let line = source.line_of(at);
        if (after.starts_with('{') || is_impl) && !is_argued(source, line) {
            problems.push(Problem::new(&source.path, line, "`unsafe` without a SAFETY comment"));
        }
    }
}

/// Is there a SAFETY comment on this line, or above it within the same statement?
fn is_argued(source: &Source, line: usize) -> bool {
    let code: Vec<&str> = source.code.lines().take(line).collect();
    let comments: Vec<&str> = source.comments.lines().take(line).collect();
    (0..line)
        .rev()
        .take_while(|&n| {
            let code = code[n].trim_end();
            let is_blank = code.is_empty() && comments[n].trim().is_empty();
            n + 1 == line || !(is_blank || code.ends_with([';', '{', '}']))
        })
        .any(|n| comments[n].contains("SAFETY:"))
}

/// Where `what` stands and is not the tail of a longer name.
fn macro_uses<'a>(code: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(what)
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || !is_word(code.as_bytes()[at - 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let found = check(&[Source::new(path, text)], &Exceptions::parse(""));
        found.into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn marks_of_unfinished_work_are_refused() {
        for text in ["fn a() { todo!() }", "fn a() { unimplemented!() }", "// TODO: b", "/* XXX */"]
        {
            assert_eq!(messages("benches/src/a.rs", text).len(), 1, "{text}");
        }
        assert_eq!(messages("runtime/tests/a.rs", "#[ignore = \"slow\"]\nfn a() {}").len(), 1);
        for text in ["let a = \"TODO todo!\";", "// a todo list", "my_todo!()", "// HACKING.md"] {
            assert!(messages("benches/src/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn libraries_do_not_print() {
        let text = "/// println!()\nfn a() { eprintln!(\"x\") }\n#[cfg(test)]\nmod t { fn b() { println!() } }";
        assert_eq!(messages("netpoll/src/a.rs", text), ["`eprintln!` in a library"]);
        assert!(messages("examples/src/bin/a.rs", text).is_empty());
        let list = Exceptions::parse("print netpoll/src/a.rs the dump");
        assert!(check(&[Source::new("netpoll/src/a.rs", text)], &list).is_empty());
        assert!(list.check().is_empty());
    }

    #[test]
    fn unsafe_is_argued_for() {
        let good = [
            "// SAFETY: AB1.\nunsafe { a() }",
            "// SAFETY: long\n// reason\n#[inline]\nunsafe impl Send for A {}",
            "// SAFETY: AB1.\nlet b = c(\n    unsafe { a() },\n);",
            "let a = unsafe { b() }; // SAFETY: AB1.",
            "pub unsafe fn a() {}",
            "unsafe extern \"C\" { fn a(); }",
        ];
        for text in good {
            assert!(messages("runtime/src/a.rs", text).is_empty(), "{text}");
        }
        assert!(messages("runtime-macros/src/a.rs", "quote!(unsafe { a() })").is_empty());
        let bad = [
            "unsafe { a() }",
            "// SAFETY: other.\nlet b = c();\nunsafe { a() }",
            "// SAFETY: lost.\n\nunsafe impl Send for A {}",
            "// SAFETY: Untriaged.\nunsafe { a() }",
            "// SAFETY: as before, trust\n// me. Trust me.\nunsafe { a() }",
        ];
        for text in bad {
            assert_eq!(messages("runtime/src/a.rs", text).len(), 1, "{text}");
        }
    }
}
