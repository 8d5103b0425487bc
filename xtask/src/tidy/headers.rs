//! Job: refuses a file that does not say what it is for: `Job:` at its top and, in the runtime,
//!   the layer that the table in `layers` gives it.
//! Not here: the ids that headers define (`invariants`).

use super::layers::layer_of;
use super::source::{Problem, Source};

/// Whose sources carry headers.
const CRATES: [&str; 5] = ["runtime", "netpoll", "sysmon", "runtime-macros", "xtask"];

pub(crate) fn check(sources: &[Source]) -> Vec<Problem> {
    let with_header = |s: &&Source| CRATES.contains(&s.krate()) && s.in_src().is_some();
    sources.iter().filter(with_header).flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    // The top of a public module is a front page for users: its Job and Layer may then stand in
    // `//` lines after it, in a lib.rs also further down on the page.
    let after_page = source.text.lines().any(|line| line.starts_with("// Job:"));
    let is_front = source.in_src() == Some("lib.rs") || after_page;
    let top: Vec<(usize, &str)> = if is_front {
        (1..)
            .zip(source.text.lines())
            .take_while(|(_, line)| line.is_empty() || line.starts_with("//"))
            .map(|(n, line)| (n, line.trim_start_matches(['/', '!'])))
            .collect()
    } else {
        source.header().collect()
    };
    let job = top.iter().position(|(_, line)| line.trim_start().starts_with("Job:"));
    if !source.text.starts_with("//!") || job.is_none() || (job != Some(0) && !is_front) {
        problems.push(Problem::new(&source.path, 1, "the file must begin with `//! Job: ...`"));
    }
    if source.is_test_file() {
        return problems;
    }
    let Some(layer) = layer_of(&source.path) else { return problems };
    let said = top.iter().find_map(|(n, line)| Some((*n, line.trim().strip_prefix("Layer:")?)));
    match said {
        None => {
            let message = format!("the header lacks its layer: `//! Layer: {layer}`");
            problems.push(Problem::new(&source.path, 1, message));
        }
        Some((line, rest)) => {
            let id: String = rest.trim().chars().take_while(char::is_ascii_alphanumeric).collect();
            if id != layer.to_string() {
                let message = format!("the header says layer {id}, its place says {layer}");
                problems.push(Problem::new(&source.path, line, message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&[Source::new(path, text)]).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn a_full_header_passes() {
        let text = "//! Job: x\n//! Layer: L1 (structures)\nfn a() {}";
        assert!(messages("runtime/src/queue/a.rs", text).is_empty());
        assert!(messages("netpoll/src/a.rs", "//! Job: x").is_empty());
        assert!(messages("runtime/src/queue/tests.rs", "//! Job: x").is_empty());
    }

    #[test]
    fn no_job_no_layer_wrong_layer_are_refused() {
        assert_eq!(messages("sysmon/src/a.rs", "//! What a file\n//! Job: late").len(), 1);
        assert_eq!(messages("sysmon/src/a.rs", "// Job: x").len(), 1);
        assert!(messages("runtime/src/sys/a.rs", "//! Job: x")[0].contains("Layer: L0"));
        let wrong = messages("runtime/src/sys/a.rs", "//! Job: x\n//! Layer: L2");
        assert!(wrong[0].contains("says layer L2, its place says L0"));
    }

    #[test]
    fn a_front_page_may_say_its_job_later() {
        let text = "//! # A crate\n//! Tour.\n\n// Job: the front page.\n// Layer: L4\nmod a;";
        assert!(messages("runtime/src/lib.rs", text).is_empty());
        assert_eq!(messages("runtime/src/lib.rs", "//! # A crate\n// Layer: L4").len(), 1);
    }

    #[test]
    fn examples_and_integration_tests_need_none() {
        assert!(messages("examples/src/bin/a.rs", "fn main() {}").is_empty());
        assert!(messages("runtime/tests/a.rs", "fn a() {}").is_empty());
    }
}
