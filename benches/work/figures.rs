//! Figures of several rounds, and tables of them.

use std::fmt;

/// The median of some figures, the least and the most.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_unstable_by(f64::total_cmp);
        let upper = figures[figures.len() / 2];
        let lower = figures[(figures.len() - 1) / 2];
        let median = f64::midpoint(lower, upper);
        Self { median, least: figures[0], most: figures[figures.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most } = *self;
        write!(f, "{} ({}–{})", short(median), short(least), short(most))
    }
}

/// With three digits or a little more.
pub(crate) fn short(figure: f64) -> String {
    let decimals = if figure < 10.0 { 2 } else { usize::from(figure < 100.0) };
    format!("{figure:.decimals$}")
}

/// A table in Markdown.
pub(crate) fn table<H: AsRef<str>, C: AsRef<str>>(head: &[H], lines: &[Vec<C>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.iter().map(AsRef::as_ref).collect());
    text += &line(head.iter().map(|_| "---").collect());
    for cells in lines {
        text += &line(cells.iter().map(AsRef::as_ref).collect());
    }
    text
}

/// A heading and a table, whose first row is its head.
pub(crate) fn titled(title: &str, rows: &[Vec<String>]) -> String {
    format!("\n### {title}\n\n{}", table(&rows[0], &rows[1..]))
}

pub(crate) fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

/// Which of the values, in order, so large a part of all is not above.
pub(crate) fn quantile(values: &mut [u64], part: f64) -> u64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).ceil() as usize).copied().unwrap_or(0)
}

pub(crate) fn median(values: &mut [u64]) -> u64 {
    quantile(values, 0.5)
}

/// Nanoseconds, in the unit in which they read best.
pub(crate) fn duration(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        _ => format!("{:.2} ms", nanos as f64 / 1e6),
    }
}
