//! Job: the command line of the example programs: arguments, errors, numbers for people.

use std::error::Error;
use std::process::ExitCode;

/// What an example's `run` returns: anything that went wrong, to be printed.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Argument number `n` (1 is the first), or `default` if there are fewer.
///
/// # Errors
/// The argument is no number; the message names it by `what`.
pub fn number(n: usize, what: &str, default: usize) -> Result<usize, String> {
    match std::env::args().nth(n) {
        None => Ok(default),
        Some(text) => parse(&text, what),
    }
}

fn parse(text: &str, what: &str) -> Result<usize, String> {
    text.replace('_', "").parse().map_err(|_| format!("{what}: `{text}` is not a number"))
}

/// Ends `main`: an error goes to stderr and makes the exit status 1.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (n, text) in cases {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn a_bad_number_is_named() {
        assert_eq!(parse("1_000", "size"), Ok(1000));
        assert_eq!(parse("many", "size"), Err("size: `many` is not a number".to_owned()));
    }
}
