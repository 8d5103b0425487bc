//! Job: results for people: text as they come, and one markdown table.

use std::fmt::Write;

use gusty_benches::harness::{Metric, Target};
use gusty_benches::stats::{Quantity, Summary};

use super::{Measured, Series};

/// A block for one bench: a line for each contender and metric. The last column compares medians:
/// `2.0 x` says that this contender takes (or holds, or reaches) twice as much as our first.
pub(crate) fn text(result: &Measured) -> String {
    let mut out = format!("{}  GOMAXPROCS={}\n", result.bench, result.procs);
    for (m, metric) in result.metrics.iter().enumerate() {
        let ours = result.contenders.first().and_then(|c| c.summary(m));
        for contender in &result.contenders {
            let Some(summary) = contender.summary(m) else { continue };
            let shown = |value| Quantity(value, metric.unit).to_string();
            let _ = write!(
                out,
                "  {:28} {:14} min {:>11}  median {:>11}  max {:>11}",
                contender.name,
                metric.name,
                shown(summary.min),
                shown(summary.median),
                shown(summary.max),
            );
            if let Some(ours) = ours.filter(|_| !contender.is_ours()) {
                let _ = write!(out, "  {:>7.2} x", summary.median / ours.median);
            }
            for (limit, is_met) in verdicts(result, m, contender, summary) {
                let _ = write!(out, "  {limit} {}", if is_met { "met" } else { "MISSED" });
            }
            out.push('\n');
        }
    }
    out
}

/// Table rows: our contenders first, peers in the last column with their ratio to our first.
pub(crate) fn markdown(results: &[Measured]) -> String {
    let mut out = String::from(
        "| bench | Ps | what | gusty: median (min - max) | target | peers: median (times gusty's) |\n\
         |---|---|---|---|---|---|\n",
    );
    for result in results {
        for (m, metric) in result.metrics.iter().enumerate() {
            let ours: Vec<&Series> = result.contenders.iter().filter(|c| c.is_ours()).collect();
            let base = ours.first().and_then(|c| c.summary(m)).map(|s| s.median);
            let peers: Vec<String> = result
                .contenders
                .iter()
                .filter(|c| !c.is_ours())
                .filter_map(|c| peer_cell(c, m, metric, base))
                .collect();
            for (i, contender) in ours.iter().enumerate() {
                let Some(summary) = contender.summary(m) else { continue };
                let shown = |value| Quantity(value, metric.unit).to_string();
                let targets: Vec<String> = verdicts(result, m, contender, summary)
                    .into_iter()
                    .map(|(limit, met)| format!("{limit} {}", if met { "yes" } else { "**no**" }))
                    .collect();
                let _ = writeln!(
                    out,
                    "| `{}` | {} | {}{} | **{}** ({} - {}) | {} | {} |",
                    result.bench,
                    result.procs,
                    metric.name,
                    contender.name.trim_start_matches("gusty"),
                    shown(summary.median),
                    shown(summary.min),
                    shown(summary.max),
                    targets.join("; "),
                    if i == 0 { peers.join("; ") } else { String::new() },
                );
            }
        }
    }
    out
}

fn peer_cell(peer: &Series, m: usize, metric: &Metric, base: Option<f64>) -> Option<String> {
    let median = peer.summary(m)?.median;
    let ratio = base.map(|base| format!(" ({:.2} x)", median / base)).unwrap_or_default();
    Some(format!("{} {}{ratio}", peer.name, Quantity(median, metric.unit)))
}

/// The targets that our contenders missed, in words.
pub(crate) fn missed(result: &Measured) -> Vec<String> {
    let mut out = Vec::new();
    for (m, metric) in result.metrics.iter().enumerate() {
        for contender in &result.contenders {
            let Some(summary) = contender.summary(m) else { continue };
            let broken = verdicts(result, m, contender, summary).into_iter().filter(|v| !v.1);
            out.extend(broken.map(|(limit, _)| {
                let median = Quantity(summary.median, metric.unit);
                format!(
                    "{} {} ({}, {} Ps): {median}, promised {limit}",
                    result.bench, metric.name, contender.name, result.procs
                )
            }));
        }
    }
    out
}

/// The promises in words, and whether each is kept.
fn verdicts(
    result: &Measured,
    m: usize,
    contender: &Series,
    summary: Summary,
) -> Vec<(String, bool)> {
    let metric = &result.metrics[m];
    let mut out = Vec::new();
    if result.toy || !contender.is_ours() {
        return out;
    }
    if let Some(target) = metric.target.filter(|_| result.first) {
        let limit = match target {
            Target::AtMost(limit) => format!("<= {}", Quantity(limit, metric.unit)),
            Target::AtLeast(limit) => format!(">= {}", Quantity(limit, metric.unit)),
        };
        out.push((limit, target.is_met(summary.median)));
    }
    let of = |name| result.contenders.iter().find(|c| c.name == name).and_then(|c| c.summary(m));
    if let Some(against) = metric.against
        && let Some(peer) = of(against.peer)
    {
        let limit = format!("<= {} x {}", against.times, against.peer);
        out.push((limit, summary.median <= against.times * peer.median));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &[Metric] = &[Metric::nanos_at_most("op", 50.0).within(0.2, "threads")];

    fn result(first: bool) -> Measured {
        let series = |name, values: &[f64]| Series {
            name,
            samples: values.iter().map(|v| vec![*v]).collect(),
        };
        let contenders = vec![
            series("gusty", &[40.0, 70.0, 60.0]),
            series("threads", &[600.0]),
            series("x", &[]),
        ];
        Measured { bench: "a/b", procs: 1, first, toy: false, metrics: METRICS, contenders }
    }

    #[test]
    fn a_missed_target_is_said_where_it_was_promised() {
        assert_eq!(missed(&result(true)), ["a/b op (gusty, 1 Ps): 60.0 ns, promised <= 50.0 ns"]);
        assert!(missed(&result(false)).is_empty());
        assert!(text(&result(true)).contains("<= 50.0 ns MISSED"));
    }

    #[test]
    fn a_promise_against_a_peer_goes_by_the_medians_of_the_run() {
        assert!(text(&result(false)).contains("<= 0.2 x threads met"));
        let mut slower = result(false);
        slower.contenders[1].samples = vec![vec![299.0]];
        let missing = ["a/b op (gusty, 1 Ps): 60.0 ns, promised <= 0.2 x threads"];
        assert_eq!(missed(&slower), missing);
        slower.toy = true;
        assert!(missed(&slower).is_empty());
    }

    #[test]
    fn peers_are_compared_by_median() {
        let row = markdown(&[result(true)]);
        let expected = "| `a/b` | 1 | op | **60.0 ns** (40.0 ns - 70.0 ns) | <= 50.0 ns **no**; <= 0.2 x threads yes \
                        | threads 600 ns (10.00 x) |";
        assert!(row.ends_with(&format!("{expected}\n")), "{row}");
    }
}
