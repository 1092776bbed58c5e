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
pub(crate) fn table<C: AsRef<str>>(head: &[&str], lines: &[Vec<C>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text += &line(head.iter().map(|_| "---").collect());
    for cells in lines {
        text += &line(cells.iter().map(AsRef::as_ref).collect());
    }
    text
}
