//! What a parked poll takes, in bytes, and how long the worst park is while the registry grows:
//! `cargo bench --bench memory -- [--count N] [--out FILE]`.
//!
//! Each figure comes from a process of its own, so that none sees what another has left behind.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub)]

#[path = "memory/cell.rs"]
mod cell;
mod hand;
#[path = "memory/http.rs"]
mod http;

use std::{path::PathBuf, process::Command};

use clap::Parser;
use peak_alloc::PeakAlloc;

use self::{
    cell::{Cell, Figures},
    hand::table,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[derive(Parser)]
struct Args {
    /// Polls that are parked.
    #[arg(long, default_value_t = 1_000_000)]
    count: usize,
    /// How often the longest park is looked for.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Writes the tables to a file, too.
    #[arg(long)]
    out: Option<PathBuf>,
    /// So little of everything that it only shows that it runs.
    #[arg(long)]
    test: bool,
    /// In a child: what to measure.
    #[arg(long, hide = true)]
    cell: Option<String>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut args = Args::parse();
    if args.test {
        (args.count, args.rounds) = (1_000, 1);
    }
    if let Some(cell) = &args.cell {
        println!("{}", cell::measure(Cell::parse(cell), args.count));
        return;
    }
    let mut text = String::new();
    for (channels, what) in [("one", "one channel"), ("own", "a channel each")] {
        let title = format!("Bytes for each of {} parked polls, {what}", args.count);
        text += &table::markdown(&title, &sizes(&args, channels));
    }
    text += &table::markdown("The longest park on the way there, CPU time", &growth(&args));
    table::report(&text, args.out.as_deref());
}

fn sizes(args: &Args, channels: &str) -> Vec<Vec<String>> {
    let mut head = table::row([""]);
    for form in cell::FORMS {
        head.extend([format!("{form}: heap"), "resident".into(), "stays: heap".into()]);
        head.push("resident".into());
    }
    let mut rows = vec![head];
    for kind in cell::KINDS {
        let mut row = table::row([*kind]);
        for form in cell::FORMS {
            let figures = in_a_child(args, &format!("{kind} {form} {channels}"));
            row.extend(figures.per_poll(args.count));
        }
        rows.push(row);
    }
    rows
}

/// The worst of a run has much of the machine in it: beside the median of the runs stands the best.
fn growth(args: &Args) -> Vec<Vec<String>> {
    let mut rows = vec![table::row(["", "one channel", "best run", "a channel each", "best run"])];
    for kind in cell::KINDS {
        let mut row = table::row([*kind]);
        for channels in ["one", "own"] {
            let cell = format!("{kind} bare {channels}");
            let runs = (0..args.rounds).map(|_| in_a_child(args, &cell).longest_park);
            let mut runs: Vec<_> = runs.collect();
            row.extend([0.5, 0.0].map(|part| table::time(table::quantile(&mut runs, part))));
        }
        rows.push(row);
    }
    rows
}

fn in_a_child(args: &Args, cell: &str) -> Figures {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--cell", cell, "--count", &args.count.to_string()]);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{cell}: {}", String::from_utf8_lossy(&output.stderr));
    Figures::parse(&String::from_utf8(output.stdout).unwrap())
}
