//! Figures, and tables of them.

use std::{fmt::Write, path::Path};

/// A Markdown table: the first row is its head.
pub fn markdown(title: &str, rows: &[Vec<String>]) -> String {
    let mut text = format!("### {title}\n\n");
    for (place, row) in rows.iter().enumerate() {
        writeln!(text, "| {} |", row.join(" | ")).unwrap();
        if place == 0 {
            let rest = "---:|".repeat(row.len().saturating_sub(1));
            writeln!(text, "|---|{rest}").unwrap();
        }
    }
    text.push('\n');
    text
}

pub fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

/// Prints what was measured, and writes it to a file if one is given.
pub fn report(text: &str, file: Option<&Path>) {
    println!("{text}");
    if let Some(file) = file {
        std::fs::write(file, text).unwrap();
    }
}

/// Which of the values, in order, so large a part of all is not above.
pub fn quantile(values: &mut [u64], part: f64) -> u64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).ceil() as usize).copied().unwrap_or(0)
}

pub fn median(values: &mut [u64]) -> u64 {
    quantile(values, 0.5)
}

/// Nanoseconds, in the unit in which they read best.
pub fn time(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        _ => format!("{:.2} ms", nanos as f64 / 1e6),
    }
}
