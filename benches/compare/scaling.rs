//! What an operation costs when few or many waits are parked, each on a channel of its own.

use std::{fmt::Write as _, fs, iter, path::Path};

use tower_longpoll::Hub;

use super::{Plan, section};
use crate::work::{
    Notifying, Subject,
    figures::{Spread, table},
    many::many,
    world::each,
};

#[path = "plot.rs"]
mod plot;

const PARKED: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const OPERATIONS: [&str; 2] = ["park + cancel", "publish + answer"];

/// An operation of a subject, in nanoseconds by number of parked waits.
struct Curve {
    subject: &'static str,
    operation: &'static str,
    points: Vec<(usize, Spread)>,
}

pub(crate) fn run(plan: &Plan) -> String {
    if !plan.wants("scaling") {
        return String::new();
    }
    let sizes = PARKED.map(|parked| if plan.is_test { parked.min(500) } else { parked });
    let mut curves = Vec::new();
    for subject in [Hub::NAME, Notifying::NAME] {
        for operation in OPERATIONS {
            curves.push(Curve { subject, operation, points: Vec::new() });
        }
    }
    for parked in sizes {
        let mut runs = [const { Vec::new() }; 4];
        for _ in 0..plan.rounds {
            let figures = [at::<Hub>(plan, parked), at::<Notifying>(plan, parked)];
            iter::zip(&mut runs, figures.as_flattened())
                .for_each(|(run, &figure)| run.push(figure));
        }
        for (curve, run) in iter::zip(&mut curves, runs) {
            curve.points.push((parked, Spread::of(run)));
        }
    }
    // A test leaves the committed figures alone.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    if !plan.is_test {
        fs::write(folder.join("scaling.csv"), csv(&curves)).unwrap();
    }
    if plan.plots && !plan.is_test {
        plot::draw(&folder.join("scaling.svg"), &curves).unwrap();
    }
    let lines: Vec<_> = curves.iter().map(line).collect();
    let parked = sizes.map(|parked| format!("{parked} parked"));
    let head = [["subject", "operation"].as_slice(), &parked.each_ref().map(String::as_str)];
    section("scaling", "ns each: median (least–most)", table(&head.concat(), &lines), &lines)
}

/// Nanoseconds of each operation.
fn at<S: Subject>(plan: &Plan, parked: usize) -> [f64; OPERATIONS.len()] {
    // With one event for each channel, so that every publish finds what the others find, however few
    // there are of them.
    let (many, count) = (many::<S>(parked, 1), plan.size.iterations / 2);
    many.publish();
    many.park();
    let rounds = count.div_ceil(parked);
    let batch = count.min(parked);
    let cancel = many.cancel(count);
    let answered = (0..rounds).map(|_| many.publish_and_answer(batch)).sum();
    [each(cancel, count), each(answered, rounds * batch)]
}

fn line(curve: &Curve) -> Vec<String> {
    let figures = curve.points.iter().map(|(_, spread)| spread.to_string());
    [curve.subject.to_owned(), curve.operation.to_owned()].into_iter().chain(figures).collect()
}

fn csv(curves: &[Curve]) -> String {
    let mut text = "subject,operation,parked,ns\n".to_owned();
    for curve in curves {
        for (parked, spread) in &curve.points {
            let (subject, operation, ns) = (curve.subject, curve.operation, spread.median);
            writeln!(text, "{subject},{operation},{parked},{ns:.1}").unwrap();
        }
    }
    text
}
