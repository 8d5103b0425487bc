//! Job: every sample as JSON, for plots and for comparing two runs.

use super::{Measured, Series};

/// An array with an object for each bench and number of Ps.
pub(crate) fn render(results: &[Measured]) -> String {
    let objects: Vec<String> = results.iter().map(object).collect();
    format!("[\n{}\n]\n", objects.join(",\n"))
}

fn object(result: &Measured) -> String {
    let metrics: Vec<String> = result.metrics.iter().map(|m| quoted(m.name)).collect();
    let contenders: Vec<String> = result.contenders.iter().map(series).collect();
    format!(
        "{{\"bench\":{},\"procs\":{},\"metrics\":[{}],\"contenders\":[{}]}}",
        quoted(result.bench),
        result.procs,
        metrics.join(","),
        contenders.join(",")
    )
}

fn series(series: &Series) -> String {
    let number =
        |value: &f64| if value.is_finite() { value.to_string() } else { "null".to_owned() };
    let samples: Vec<String> = series
        .samples
        .iter()
        .map(|sample| format!("[{}]", sample.iter().map(number).collect::<Vec<_>>().join(",")))
        .collect();
    format!("{{\"name\":{},\"samples\":[{}]}}", quoted(series.name), samples.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_json() {
        let series_of = Series { name: "a\"b", samples: vec![vec![1.5, f64::NAN], vec![2.0, 3.0]] };
        let expected = r#"{"name":"a\"b","samples":[[1.5,null],[2,3]]}"#;
        assert_eq!(series(&series_of), expected);
        assert_eq!(render(&[]), "[\n\n]\n");
    }
}
