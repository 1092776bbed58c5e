//! The table.

use std::{collections::HashMap, fmt::Write};

use super::contenders::{Contender, Kind};

/// What a figure of the example has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    None,
    AtMost(f64),
    AtLeast(f64),
    AtMostThatOf(Kind),
    AtLeastThatOf(Kind),
}

/// One kind of figure.
pub(crate) struct Row {
    what: &'static str,
    unit: &'static str,
    bar: Bar,
}

impl Row {
    pub(crate) const fn new(what: &'static str, unit: &'static str, bar: Bar) -> Self {
        Self { what, unit, bar }
    }
}

/// All figures, by contender and row.
pub(crate) struct Report<'a> {
    contenders: &'a [Contender],
    figures: HashMap<(usize, &'static str), Vec<f64>>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(contenders: &'a [Contender]) -> Self {
        Self { contenders, figures: HashMap::new() }
    }

    pub(crate) fn add(&mut self, contender: usize, figures: Vec<(&'static str, f64)>) {
        for (what, figure) in figures {
            self.figures.entry((contender, what)).or_default().push(figure);
        }
    }

    /// Medians, with the least and the most; and whether the first contender's meet the bars.
    pub(crate) fn markdown(&self, rows: &[Row]) -> String {
        let names: Vec<_> = self.contenders.iter().map(|one| one.name.as_str()).collect();
        let mut table = format!("\n| | {} | bar | met |\n", names.join(" | "));
        table += &format!("|---|{}---|---|\n", "---|".repeat(names.len()));
        for row in rows {
            let places = 0..names.len();
            let cells: Vec<_> = places.map(|place| self.cell(place, row.what)).collect();
            if cells.iter().all(|cell| cell == "–") {
                continue;
            }
            let (bar, met) = self.judge(row);
            let cells = cells.join(" | ");
            writeln!(table, "| {}, {} | {cells} | {bar} | {met} |", row.what, row.unit).unwrap();
        }
        table
    }

    fn sorted(&self, place: usize, what: &'static str) -> Option<Vec<f64>> {
        let mut figures = self.figures.get(&(place, what))?.clone();
        figures.sort_by(f64::total_cmp);
        Some(figures)
    }

    fn median(&self, place: usize, what: &'static str) -> Option<f64> {
        self.sorted(place, what).map(|figures| figures[figures.len() / 2])
    }

    fn cell(&self, place: usize, what: &'static str) -> String {
        match self.sorted(place, what).as_deref() {
            None | Some([]) => "–".into(),
            Some([one]) => number(*one),
            Some(all @ [least, .., most]) => {
                let median = number(all[all.len() / 2]);
                format!("{median} ({}–{})", number(*least), number(*most))
            }
        }
    }

    fn judge(&self, row: &Row) -> (String, &'static str) {
        let of = |kind| {
            let place = self.contenders.iter().position(|one| one.kind == kind)?;
            self.median(place, row.what)
        };
        let (sign, bar) = match row.bar {
            Bar::None => return (String::new(), ""),
            Bar::AtMost(bar) => ("≤", Some(bar)),
            Bar::AtLeast(bar) => ("≥", Some(bar)),
            Bar::AtMostThatOf(kind) => ("≤", of(kind)),
            Bar::AtLeastThatOf(kind) => ("≥", of(kind)),
        };
        let (Some(bar), Some(ours)) = (bar, self.median(0, row.what)) else {
            return ("not measured".into(), "");
        };
        let met = if sign == "≤" { ours <= bar } else { ours >= bar };
        (format!("{sign} {}", number(bar)), if met { "yes" } else { "**no**" })
    }
}

/// With separators in large numbers, and digits after the point in small ones.
fn number(figure: f64) -> String {
    if figure.abs() < 100.0 && figure.fract() != 0.0 {
        return format!("{figure:.2}");
    }
    let digits = format!("{:.0}", figure.abs());
    let mut text = String::from(if figure < -0.5 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
