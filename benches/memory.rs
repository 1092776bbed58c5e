//! What a parked poll takes, in bytes, and how long the worst park is while the registry grows:
//! `cargo bench --bench memory -- [--count N] [--out FILE]`.
//!
//! What stays once all polls are gone is told, too. By hand it includes the rooms, which are never
//! taken out; ours is what the hub keeps for those who come next.
//!
//! Each figure comes from a process of its own, so that none sees what another has left behind.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub)]

#[path = "memory/cell.rs"]
mod cell;
#[path = "memory/http.rs"]
mod http;
#[path = "work/mod.rs"]
mod work;

use std::process::Command;

use clap::Parser;
use peak_alloc::PeakAlloc;

use self::{
    cell::{Cell, Figures},
    work::{figures, options::Options},
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// Polls that are parked.
    #[arg(long, default_value_t = 1_000_000)]
    count: usize,
    /// In a child: what to measure.
    #[arg(long, hide = true)]
    cell: Option<String>,
}

fn main() {
    let Args { options, count, cell } = Args::parse();
    if let Some(cell) = &cell {
        println!("{}", cell::measure(Cell::parse(cell), count));
        return;
    }
    let count = options.count(count);
    let mut text = String::new();
    for (channels, what) in [("one", "one channel"), ("own", "a channel each")] {
        let title = format!("Bytes for each of {count} parked polls, {what}");
        text += &figures::titled(&title, &sizes(count, channels));
    }
    let title = "The longest park on the way there, CPU time";
    text += &figures::titled(title, &growth(count, options.rounds()));
    print!("{text}");
    options.write(&text);
}

fn sizes(count: usize, channels: &str) -> Vec<Vec<String>> {
    let mut head = figures::row([""]);
    for form in cell::FORMS {
        head.extend([format!("{form}: heap"), "resident".into(), "stays: heap".into()]);
        head.push("resident".into());
    }
    let mut rows = vec![head];
    for kind in cell::KINDS {
        let mut row = figures::row([*kind]);
        for form in cell::FORMS {
            let cell = format!("{kind} {form} {channels}");
            row.extend(in_a_child(count, &cell).per_poll(count));
        }
        rows.push(row);
    }
    rows
}

/// The worst of a run has much of the machine in it: beside the median of the runs stands the best.
fn growth(count: usize, rounds: usize) -> Vec<Vec<String>> {
    let mut rows =
        vec![figures::row(["", "one channel", "best run", "a channel each", "best run"])];
    for kind in cell::KINDS {
        let mut row = figures::row([*kind]);
        for channels in ["one", "own"] {
            let cell = format!("{kind} bare {channels}");
            let runs = (0..rounds).map(|_| in_a_child(count, &cell).longest_park);
            let mut runs: Vec<_> = runs.collect();
            row.extend(
                [0.5, 0.0].map(|part| figures::duration(figures::quantile(&mut runs, part))),
            );
        }
        rows.push(row);
    }
    rows
}

fn in_a_child(count: usize, cell: &str) -> Figures {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--cell", cell, "--count", &count.to_string()]);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{cell}: {}", String::from_utf8_lossy(&output.stderr));
    Figures::parse(&String::from_utf8(output.stdout).unwrap())
}
