//! Job: one run of wrk and what it reports.

use std::fmt;
use std::process::Command;

use crate::Options;

/// What matters of wrk's report.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) requests_per_second: f64,
    /// As wrk writes them: median and 99th percentile.
    latency: [String; 2],
    /// Connections that failed, reads and writes that failed, timeouts, answers that were not 2xx.
    pub(crate) errors: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = &self.latency;
        let (rate, errors) = (self.requests_per_second, self.errors);
        write!(f, "{rate:>9.0} requests/s  p50 {p50:>8}  p99 {p99:>8}  errors {errors}")
    }
}

/// Loads the server at `address` as the options say.
pub(crate) fn run(address: &str, options: &Options) -> Result<Report, String> {
    let output = Command::new("wrk")
        .arg("--latency")
        .arg(format!("-t{}", options.threads))
        .arg(format!("-c{}", options.connections))
        .arg(format!("-d{}s", options.seconds))
        .arg(format!("http://{address}/plaintext"))
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                "wrk is not installed (Debian: apt-get install wrk)".to_owned()
            }
            _ => format!("wrk: {error}"),
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn parse(text: &str) -> Option<Report> {
    let after = |prefix: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(prefix))?;
        Some(line.trim().to_owned())
    };
    let numbers = |line: String| -> u64 {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok()).sum()
    };
    let socket = after("Socket errors:").map_or(0, numbers);
    let status = after("Non-2xx or 3xx responses:").map_or(0, numbers);
    Some(Report {
        requests_per_second: after("Requests/sec:")?.parse().ok()?,
        latency: [after("50%")?, after("99%")?],
        errors: socket + status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "  Latency Distribution\n     50%    1.02ms\n     75%    1.30ms\n     \
                        99%    2.50ms\n  123456 requests in 10.00s, 17.1MB read\n\
                        Requests/sec:  12345.60\nTransfer/sec:      1.71MB\n";

    #[test]
    fn a_report_is_read() {
        let report = parse(GOOD).unwrap();
        assert_eq!((report.requests_per_second, report.errors), (12_345.6, 0));
        assert_eq!(report.latency, ["1.02ms", "2.50ms"]);
    }

    #[test]
    fn errors_are_added_up() {
        let bad = format!(
            "{GOOD}  Socket errors: connect 1, read 20, write 300, timeout 4000\n  \
             Non-2xx or 3xx responses: 50000\n"
        );
        assert_eq!(parse(&bad).unwrap().errors, 54_321);
        assert_eq!(parse("unable to connect"), None);
    }
}
