//! What is measured, of whom, how often.

mod axum;
mod bursts;
mod client;
mod contenders;
mod fan_out;
mod memory;
mod proc;
mod report;
mod streams;
mod timeouts;
mod unicast;

use std::{env, path::PathBuf, process};

use contenders::{Contender, Kind};
use report::{Bar, Report, Row};

/// How much of each.
pub(crate) struct Scale {
    /// Parked polls whose memory is measured.
    pub(crate) parked: usize,
    pub(crate) streams: usize,
    /// Parked polls of one channel.
    pub(crate) crowd: usize,
    pub(crate) broadcasts: usize,
    /// Events of a channel in a burst, and how many bursts there are.
    pub(crate) burst: usize,
    pub(crate) bursts: usize,
    pub(crate) unicasts: usize,
    pub(crate) holds: usize,
}

const FULL: Scale = Scale {
    parked: 15_000,
    streams: 100_000,
    crowd: 10_000,
    broadcasts: 5,
    burst: 20,
    bursts: 25,
    unicasts: 10_000,
    holds: 10_000,
};

const SMOKE: Scale = Scale {
    parked: 50,
    streams: 50,
    crowd: 50,
    broadcasts: 1,
    burst: 5,
    bursts: 2,
    unicasts: 100,
    holds: 50,
};

/// Takes figures of one contender: their rows, in order.
type Scenario = fn(&Contender, &Scale) -> Vec<(&'static str, f64)>;

const SCENARIOS: [(&str, Scenario); 6] = [
    ("parked", memory::parked),
    ("streams", streams::streams),
    ("broadcast", fan_out::broadcast),
    ("bursts", bursts::bursts),
    ("unicast", unicast::unicast),
    ("timeouts", timeouts::timeouts),
];

const ROWS: [Row; 22] = [
    Row::new("parked HTTP/1 poll", "bytes", Bar::AtMost(10_500.0)),
    Row::new("the same after answers", "bytes", Bar::AtMost(10_500.0)),
    Row::new("parked HTTP/2 stream", "bytes", Bar::AtMost(1_750.0)),
    Row::new("broadcast", "answers/s", Bar::AtLeast(105_000.0)),
    Row::new("its POST answered after", "% of the fan-out", Bar::AtMost(50.0)),
    Row::new("the server's CPU for each answer", "µs", Bar::None),
    Row::new("the load's core in it", "% busy", Bar::None),
    Row::new("bursts", "events/s", Bar::AtLeastThatOf(Kind::Nchan)),
    Row::new("lost, doubled or out of order", "events", Bar::AtMost(0.0)),
    Row::new("the server's CPU for each", "µs", Bar::None),
    Row::new("the load's core in bursts", "% busy", Bar::None),
    Row::new("bursts, an event an answer", "events/s", Bar::None),
    Row::new("lost of these", "events", Bar::AtMost(0.0)),
    Row::new("the server's CPU for each of these", "µs", Bar::None),
    Row::new("the load's core with these", "% busy", Bar::None),
    Row::new("unicast at 2,000/s", "µs of CPU", Bar::AtMostThatOf(Kind::Axum)),
    Row::new("from POST to answer, p50", "µs", Bar::None),
    Row::new("unicast, heads may take for ever", "µs of CPU", Bar::AtMostThatOf(Kind::Axum)),
    Row::new("then from POST to answer, p50", "µs", Bar::None),
    Row::new("earliest timeout", "ms late", Bar::AtLeast(0.0)),
    Row::new("timeout, p50", "ms late", Bar::None),
    Row::new("timeout, p99", "ms late", Bar::AtMost(2.0)),
];

pub(crate) fn main() {
    let mut arguments = env::args().skip(1);
    let (mut rounds, mut scale, mut only, mut out) = (5, FULL, None, None);
    let (mut also, mut is_alone) = (Vec::new(), false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| usage(&argument));
        match argument.as_str() {
            "--serve-axum" => return axum::serve(),
            "--rounds" => rounds = value().parse().unwrap_or_else(|_| usage(&argument)),
            "--only" => only = Some(value()),
            "--out" => out = Some(PathBuf::from(value())),
            "--also" => also.push(PathBuf::from(value())),
            "--alone" => is_alone = true,
            "--test" => (rounds, scale) = (1, SMOKE),
            // cargo says so to every bench.
            "--bench" => {}
            other => usage(other),
        }
    }
    let contenders = contenders::all(&also, is_alone);
    let mut report = Report::new(&contenders);
    for round in 1..=rounds {
        for (name, scenario) in SCENARIOS {
            if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            for (place, contender) in contenders.iter().enumerate() {
                let figures = scenario(contender, &scale);
                let turn = format!("{round}/{rounds} {name}, {}", contender.name);
                if figures.is_empty() {
                    eprintln!("{turn}: skipped, it has no such thing");
                } else {
                    eprintln!("{turn}: {figures:?}");
                }
                report.add(place, figures);
            }
        }
    }
    let table = report.markdown(&ROWS);
    println!("{table}");
    if let Some(out) = out {
        std::fs::write(out, table).unwrap();
    }
}

fn usage(what: &str) -> ! {
    eprintln!("what is `{what}`? The head of benches/server.rs has the options");
    process::exit(2);
}
