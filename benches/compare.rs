//! The comparison: every row by every subject, in turns.
//!
//! ```sh
//! cargo bench --bench compare                          # all, at full size
//! cargo bench --bench compare -- --rows park --rounds 9 --out table.md
//! cargo bench --bench compare -- --rows scaling --plot
//! ```
//!
//! In each round each subject begins anew, and another one goes first. What one has freed the next
//! may use again: the allocator is the same.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "compare/contention.rs"]
mod contention;
#[path = "compare/json.rs"]
mod json;
#[path = "compare/rows.rs"]
mod rows;
#[path = "compare/scaling.rs"]
mod scaling;
#[path = "work/mod.rs"]
mod work;

use std::fmt::Write as _;

use clap::Parser;

use self::work::{
    Size,
    figures::{Spread, table},
    floors::FLOORS,
    options::Options,
    world::each,
};

/// Compares parked polls with the same written by hand.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// Only rows and groups with this in their name.
    #[arg(long, value_name = "SUBSTRING")]
    rows: Option<String>,
    /// Writes `benches/scaling.svg` when the group `scaling` was run.
    #[arg(long)]
    plot: bool,
    /// The same as `--rows`.
    #[arg(hide = true)]
    filter: Option<String>,
}

/// What is to be run.
struct Plan {
    size: Size,
    rounds: usize,
    is_test: bool,
    plots: bool,
    filter: String,
}

impl Plan {
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }
}

fn main() {
    let Args { options, rows, plot, filter } = Args::parse();
    let plan = Plan {
        size: if options.is_test() { Size::SMOKE } else { Size::FULL },
        rounds: options.rounds(),
        is_test: options.is_test(),
        plots: plot,
        filter: rows.or(filter).unwrap_or_default(),
    };
    let groups: [fn(&Plan) -> String; 5] =
        [rows::run, floors, contention::run, scaling::run, json::run];
    let mut report = String::new();
    for group in groups {
        let text = group(&plan);
        print!("{text}");
        report += &text;
    }
    options.write(&report);
}

/// What the machine allows.
fn floors(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for floor in FLOORS.iter().filter(|floor| plan.wants("floors") || plan.wants(floor.name)) {
        let count = plan.size.tasks;
        let figures = (0..plan.rounds).map(|_| each((floor.run)(count), count));
        lines.push(vec![floor.name.to_owned(), Spread::of(figures.collect()).to_string()]);
    }
    section("floors", "ns each: median (least–most)", table(&["floor", "ns"], &lines), &lines)
}

/// A heading and a table, or nothing if that has no lines.
fn section<T>(name: &str, says: &str, table: String, lines: &[T]) -> String {
    let mut text = String::new();
    if !lines.is_empty() {
        write!(text, "\n### {name}\n\n{says}.\n\n{table}").unwrap();
    }
    text
}
