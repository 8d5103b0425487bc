//! Job: what is shown of the output of a test run: a line a test program while it runs, and, if it
//!   fails, what one needs to know of it.
//! Not here: keeping the output (`run`).

/// Lines at the end of the output that are shown in any case.
const TAIL: usize = 60;
/// Lines that are shown of what went before.
const MOST: usize = 100;

/// Whether a line is shown while the run goes on.
pub(crate) fn is_headline(line: &str) -> bool {
    let line = line.trim_start();
    ["Running ", "Doc-tests ", "test result:", "error", "warning"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Whether a line says what went wrong, wherever it stands.
fn is_telling(line: &str) -> bool {
    let failed_test = line.starts_with("test ") && line.ends_with("FAILED");
    let starts = ["test result: FAILED", "error", "failures:", "GUSTY_", "gusty: "];
    let parts = ["panicked at", "process didn't exit successfully", "has been running for"];
    failed_test
        || starts.iter().any(|start| line.starts_with(start))
        || parts.iter().any(|part| line.contains(part))
}

/// The telling lines, each with the one after it, and the end of the output.
pub(crate) fn of_failure(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let tail = lines.len().saturating_sub(TAIL);
    let mut shown: Vec<&str> = Vec::new();
    let mut until = 0;
    for (at, line) in lines[..tail].iter().enumerate() {
        if is_telling(line) {
            until = at + 2;
        }
        if at < until {
            shown.push(line);
        }
    }
    // The last ones: a test that fails ends the run.
    let shown = &shown[shown.len().saturating_sub(MOST)..];
    [shown, &lines[tail..]].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_found_far_from_the_end() {
        let mut output =
            "test a ... ok\ntest b ... FAILED\nthread 'b' panicked at x.rs:1:\nwhy\n".to_owned();
        output += &"noise\n".repeat(1000);
        output += "the end\n";
        let excerpt = of_failure(&output);
        for part in ["test b ... FAILED", "x.rs:1", "why", "the end"] {
            assert!(excerpt.contains(part), "{part}");
        }
        assert!(!excerpt.contains("test a"));
        assert!(excerpt.lines().count() <= TAIL + MOST);
    }

    #[test]
    fn much_of_it_is_cut_at_its_beginning() {
        let output = "error: early\n".to_owned() + &"error: late\n".repeat(1000);
        let excerpt = of_failure(&output);
        assert_eq!(excerpt.lines().count(), TAIL + MOST);
        assert!(!excerpt.contains("early"));
        assert_eq!(of_failure(""), "");
    }

    #[test]
    fn headlines_are_few() {
        assert!(is_headline("     Running tests/chan.rs (target/debug/deps/chan-1)"));
        assert!(is_headline("test result: ok. 3 passed; 0 failed;"));
        assert!(!is_headline("test chan::works ... ok"));
    }
}
