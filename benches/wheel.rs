//! The wheel against other timers, with very many outstanding: `cargo bench --bench wheel --
//! [--count N] [--out FILE]`. And the longest step of a cascade.
//!
//! The wheel and the slab are private: they are compiled in here.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub)]

#[path = "../src"]
#[allow(unused, unreachable_pub)]
mod pure {
    pub(crate) mod slab;
    pub(crate) mod wheel;
}
#[path = "wheel/cascade.rs"]
mod cascade;
#[path = "wheel/timers.rs"]
mod timers;
#[path = "work/mod.rs"]
mod work;

use clap::Parser;

use self::{
    // `crate::slab` to the wheel, too.
    pure::{slab, wheel},
    timers::{Delays, Draw, Due, Ordered, Ours, Sleeps, Timers},
    work::{clock::worked, figures, options::Options},
};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// Timers that are outstanding.
    #[arg(long, default_value_t = 1_000_000)]
    count: usize,
}

fn main() {
    let Args { options, count } = Args::parse();
    let (count, rounds) = (options.count(count), options.rounds());
    let mut text = String::new();
    for (what, due) in [("due anyhow", Due::Anyhow), ("due in order", Due::InOrder)] {
        let title = format!("Cancel a random timer and set another, {count} outstanding, {what}");
        text += &figures::titled(&title, &contest(count, rounds, due));
    }
    let title = format!("{count} timers of one slot come down: the longest call");
    text += &figures::titled(&title, &cascade::measure(count, rounds));
    print!("{text}");
    options.write(&text);
}

struct Contender {
    name: &'static str,
    timers: Box<dyn Timers>,
    draw: Draw,
    times: Vec<u64>,
}

fn contest(count: usize, rounds: usize, due: Due) -> Vec<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    // The same places and deadlines for all.
    let contender = |name, make: fn(usize, &mut Draw) -> Box<dyn Timers>| {
        let mut draw = Draw::new(due);
        Contender { name, timers: make(count, &mut draw), draw, times: Vec::new() }
    };
    let mut contenders = [
        contender("ours, in a record", |count, draw| Box::new(Ours::new(count, draw, false))),
        contender("ours, with its record", |count, draw| Box::new(Ours::new(count, draw, true))),
        contender("tokio `Sleep`", |count, draw| Box::new(Sleeps::new(count, draw))),
        contender("tokio-util `DelayQueue`", |count, draw| Box::new(Delays::new(count, draw))),
        contender("`BTreeMap`", |count, draw| Box::new(Ordered::new(count, draw))),
    ];
    for _ in 0..rounds {
        for Contender { timers, draw, times, .. } in &mut contenders {
            let start = worked();
            timers.replace(count, draw);
            times.push((worked() - start) / count as u64);
        }
    }
    let mut rows = vec![figures::row(["", "median", "least", "most", "against ours"])];
    let ours = figures::median(&mut contenders[0].times);
    for Contender { name, mut times, .. } in contenders {
        let spread = [0.5, 0.0, 1.0].map(|part| figures::quantile(&mut times, part));
        let mut row = vec![name.to_owned()];
        row.extend(spread.map(figures::duration));
        row.push(format!("{:.1}x", spread[0] as f64 / ours as f64));
        rows.push(row);
    }
    rows
}
