//! Whether what many polls do at once holds anybody else up, and what they cost while nothing
//! happens: `cargo bench --bench stalls -- [--count N] [--idle SECONDS] [--out FILE] [PART…]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub)]

#[path = "stalls/gaps.rs"]
mod gaps;
mod hand;
#[path = "stalls/idle.rs"]
mod idle;
#[path = "stalls/lateness.rs"]
mod lateness;
#[path = "stalls/neighbour.rs"]
mod neighbour;

use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
struct Args {
    /// Which of `idle`, `neighbour`, `lateness`, `gaps`. Default: all.
    parts: Vec<String>,
    /// Polls that are parked.
    #[arg(long, default_value_t = 1_000_000)]
    count: usize,
    /// How many seconds nothing happens.
    #[arg(long, default_value_t = 5)]
    idle: u64,
    /// How often each figure is taken.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Writes the tables to a file, too.
    #[arg(long)]
    out: Option<PathBuf>,
    /// So little of everything that it only shows that it runs.
    #[arg(long)]
    test: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut args = Args::parse();
    if args.test {
        (args.count, args.idle, args.rounds) = (1_000, 0, 1);
    }
    let wants = |part: &str| args.parts.is_empty() || args.parts.iter().any(|own| own == part);
    let mut text = String::new();
    if wants("idle") {
        text += &idle::measure(args.count, args.idle);
    }
    if wants("neighbour") {
        text += &neighbour::measure(args.count, args.rounds);
    }
    if wants("lateness") {
        text += &lateness::measure(args.count, args.rounds);
    }
    if wants("gaps") {
        text += &gaps::measure(args.count, args.rounds);
    }
    hand::table::report(&text, args.out.as_deref());
}
