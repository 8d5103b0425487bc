//! Job: refuses files of 400 lines and functions of 70, tests and blank lines not counted.
//! Not here: who may be longer (`exceptions.txt`).

use super::exceptions::Exceptions;
use super::source::{Problem, Source, end_of_head, past_match, words};

const FILE_LINES: usize = 400;
const FN_LINES: usize = 70;

pub(crate) fn check(sources: &[Source], exceptions: &Exceptions) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources.iter().filter(|s| s.in_src().is_some()) {
        let last = source.text.lines().count();
        let lines = counted(source, 1, last);
        if lines >= FILE_LINES && !exceptions.allows("file-size", &source.path) {
            let message = format!("{lines} lines; a file has fewer than {FILE_LINES}");
            problems.push(Problem::new(&source.path, 1, message));
        }
        for (name, first, last) in functions(source) {
            let lines = counted(source, first, last);
            let subject = format!("{}::{name}", source.path);
            if lines >= FN_LINES && !exceptions.allows("fn-size", &subject) {
                let message =
                    format!("fn {name}: {lines} lines; a function has fewer than {FN_LINES}");
                problems.push(Problem::new(&source.path, first, message));
            }
        }
    }
    problems
}

/// Lines from `first` to `last` that are neither blank nor test code.
fn counted(source: &Source, first: usize, last: usize) -> usize {
    (1..)
        .zip(source.text.lines())
        .filter(|(n, text)| {
            (first..=last).contains(n) && !source.is_test(*n) && !text.trim().is_empty()
        })
        .count()
}

/// Name, first and last line of every function with a body.
fn functions(source: &Source) -> Vec<(&str, usize, usize)> {
    let code = &source.code;
    words(code, "fn")
        .filter_map(|at| {
            let after = code[at + 2..].trim_start();
            let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            let open = end_of_head(code, at)?;
            // `fn(` is a pointer type, `fn name(...);` a declaration.
            let has_body = end > 0 && code.as_bytes()[open] == b'{';
            let last = source.line_of(past_match(code, open) - 1);
            has_body.then(|| (&after[..end], source.line_of(at), last))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str, exceptions: &str) -> Vec<String> {
        let exceptions = Exceptions::parse(exceptions);
        let found = check(&[Source::new("runtime/src/a.rs", text)], &exceptions);
        found.into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn long_files_are_refused_without_their_tests_and_blanks() {
        let lines = "// x\n".repeat(399);
        assert!(messages(&lines, "").is_empty());
        assert!(
            messages(&format!("{lines}\n\n#[cfg(test)]\nmod t {{\n{lines}}}\n"), "").is_empty()
        );
        let long = format!("{lines}// x\n");
        assert!(messages(&long, "")[0].contains("400 lines"));
        assert!(messages(&long, "file-size runtime/src/a.rs a flat table").is_empty());
    }

    #[test]
    fn long_functions_are_refused() {
        let body = "    a();\n".repeat(66);
        let short = format!(
            "type F = fn(u8);\ntrait T {{ fn t(&self); }}\nfn one(x: [u8; 3])\n{{\n{body}}}\n"
        );
        assert!(messages(&short, "").is_empty(), "{:?}", messages(&short, ""));
        let long = short.replacen("a();", "a();\n    b();", 1);
        assert_eq!(messages(&long, ""), ["fn one: 70 lines; a function has fewer than 70"]);
        assert!(messages(&long, "fn-size runtime/src/a.rs::one one table").is_empty());
    }
}
