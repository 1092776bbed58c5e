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
#[path = "compare/figures.rs"]
mod figures;
#[path = "compare/json.rs"]
mod json;
#[path = "compare/rows.rs"]
mod rows;
#[path = "compare/scaling.rs"]
mod scaling;
#[path = "work/mod.rs"]
mod work;

use std::{fmt::Write as _, fs, path::PathBuf};

use clap::Parser;

use self::{
    figures::{Spread, table},
    work::{Size, floors::FLOORS, world::each},
};

/// Compares parked polls with the same written by hand.
#[derive(Parser)]
struct Options {
    /// Only rows and groups with this in their name.
    #[arg(long, value_name = "SUBSTRING")]
    rows: Option<String>,
    /// How often each subject does each row.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Writes the tables to a file, too.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Writes `benches/scaling.svg` when the group `scaling` was run.
    #[arg(long)]
    plot: bool,
    /// Tiny sizes and one round, to see that it works.
    #[arg(long)]
    test: bool,
    /// Cargo says so when it runs benches; without it, as under `cargo test`, this is a test.
    #[arg(long, hide = true)]
    bench: bool,
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
    let options = Options::parse();
    let is_test = options.test || !options.bench;
    let plan = Plan {
        size: if is_test { Size::SMOKE } else { Size::FULL },
        rounds: if is_test { 1 } else { options.rounds.max(1) },
        is_test,
        plots: options.plot,
        filter: options.rows.or(options.filter).unwrap_or_default(),
    };
    let groups: [fn(&Plan) -> String; 5] =
        [rows::run, floors, contention::run, scaling::run, json::run];
    let mut report = String::new();
    for group in groups {
        let text = group(&plan);
        print!("{text}");
        report += &text;
    }
    if let Some(path) = options.out {
        fs::write(path, report).unwrap();
    }
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
