//! Very many timers in one slot of a high level: how long whoever has them come down keeps the
//! others out.

use crate::{
    slab::Slab,
    timers::Record,
    wheel::Wheel,
    work::{clock::worked, figures},
};

/// Steps under one lock, as in the library.
const BATCH: usize = 64;
/// On the third level at first: 64 * 64 ticks and more ahead.
const DEADLINE: u64 = 64 * 64 + 64 + 1;

pub fn measure(count: usize, rounds: usize) -> Vec<Vec<String>> {
    let mut rows = vec![figures::row(["steps in a call", "p99.9", "longest", "best run", "all"])];
    for (name, steps) in [("64", BATCH), ("all", usize::MAX)] {
        let mut runs = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            let mut calls = calls(count, steps);
            let all = calls.iter().sum();
            let [most, longest] = [0.999, 1.0].map(|part| figures::quantile(&mut calls, part));
            for (run, figure) in runs.iter_mut().zip([most, longest, all]) {
                run.push(figure);
            }
        }
        let best = figures::quantile(&mut runs[1], 0.0);
        let [most, longest, all] = runs.each_mut().map(|run| figures::median(run));
        let mut row = vec![name.to_owned()];
        row.extend([most, longest, best, all].map(figures::duration));
        rows.push(row);
    }
    rows
}

/// How long each call took until all timers were met, in nanoseconds.
fn calls(count: usize, batch: usize) -> Vec<u64> {
    let (mut wheel, mut records) = (Wheel::new(), Slab::new());
    for _ in 0..count {
        let key = records.insert(Record::default());
        wheel.insert(&mut records, key, DEADLINE);
    }
    let (mut calls, mut met) = (Vec::new(), 0);
    while met < count {
        let (start, mut steps) = (worked(), batch);
        while wheel.pop(&mut records, DEADLINE, &mut steps).is_some() {
            met += 1;
        }
        calls.push(worked() - start);
    }
    calls
}
