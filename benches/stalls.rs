//! Whether what many polls do at once holds anybody else up, and what they cost while nothing
//! happens: `cargo bench --bench stalls -- [--count N] [--idle SECONDS] [--out FILE] [PART…]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub)]

#[path = "stalls/gaps.rs"]
mod gaps;
#[path = "stalls/idle.rs"]
mod idle;
#[path = "stalls/lateness.rs"]
mod lateness;
#[path = "stalls/neighbour.rs"]
mod neighbour;
#[path = "work/mod.rs"]
mod work;

use clap::Parser;

use self::work::options::Options;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// Which of `idle`, `neighbour`, `lateness`, `gaps`. Default: all.
    parts: Vec<String>,
    /// Polls that are parked.
    #[arg(long, default_value_t = 1_000_000)]
    count: usize,
    /// How many seconds nothing happens.
    #[arg(long, default_value_t = 5)]
    idle: u64,
}

fn main() {
    let Args { options, parts, count, idle } = Args::parse();
    let (count, rounds) = (options.count(count), options.rounds());
    let is_test = options.is_test();
    let measures: [(&str, &dyn Fn() -> String); 4] = [
        ("idle", &|| idle::measure(count, if is_test { 0 } else { idle })),
        ("neighbour", &|| neighbour::measure(count, rounds)),
        ("lateness", &|| lateness::measure(count, rounds)),
        ("gaps", &|| gaps::measure(count, rounds, is_test)),
    ];
    let mut text = String::new();
    for (name, measure) in measures {
        if parts.is_empty() || parts.iter().any(|part| part == name) {
            let table = measure();
            print!("{table}");
            text += &table;
        }
    }
    options.write(&text);
}
