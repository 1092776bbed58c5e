//! The rows that have a bar.

use tower_longpoll::Hub;

use super::{Plan, section};
use crate::work::{
    Broadcast, Handled, Notifying, Parsed, Size, Subject,
    fanout::fanout,
    figures::{Spread, short, table},
    many::many,
    park::Park,
    subject::HISTORY,
    tasks::Tasks,
    world::each,
};

/// The same work by every subject.
struct Row {
    name: &'static str,
    /// What each run returns, in this order.
    figures: &'static [Figure],
    /// Ours first.
    subjects: [fn(&Size) -> Vec<f64>; SUBJECTS],
}

const SUBJECTS: usize = 3;

struct Figure {
    name: &'static str,
    unit: &'static str,
    /// How many times what we take the others are to take at least.
    bars: Option<[f64; SUBJECTS - 1]>,
}

const fn figure(name: &'static str, bar: f64) -> Figure {
    Figure { name, unit: "ns", bars: Some([bar, bar]) }
}

/// A part of the work that has no bar of its own.
const fn part(name: &'static str) -> Figure {
    Figure { name, unit: "ns", bars: None }
}

macro_rules! by_all {
    ($work:ident $(, $threads:literal)?) => {
        [
            $work::<Hub $(, $threads)?>,
            $work::<Notifying $(, $threads)?>,
            $work::<Broadcast $(, $threads)?>,
        ]
    };
}

const ALONE: &[Figure] = &[Figure { name: "", unit: "ns", bars: Some([2.2, 2.6]) }];
const TOGETHER: &[Figure] = &[figure("", 5.0)];

/// The short rows are on 10,000 channels, with 100,000 polls that stay parked.
const ROWS: &[Row] = &[
    Row { name: "park + cancel, 1 thread", figures: ALONE, subjects: by_all!(cancel, 1) },
    Row {
        name: "park + cancel, 1 thread, few channels",
        figures: ALONE,
        subjects: by_all!(cancel_few, 1),
    },
    Row {
        name: "park + cancel, 1 thread, a handle cloned for each",
        figures: ALONE,
        subjects: by_all!(cancel_handled, 1),
    },
    Row {
        name: "park + cancel, 1 thread, `Channel::new` for each",
        figures: ALONE,
        subjects: [cancel::<Parsed, 1>, cancel::<Notifying, 1>, cancel::<Broadcast, 1>],
    },
    Row { name: "park + cancel, 2 threads", figures: TOGETHER, subjects: by_all!(cancel, 2) },
    Row {
        name: "park + cancel, 2 threads, few channels",
        figures: TOGETHER,
        subjects: by_all!(cancel_few, 2),
    },
    Row {
        name: "park + cancel, 2 threads, a handle cloned for each",
        figures: &[part("")],
        subjects: by_all!(cancel_handled, 2),
    },
    Row {
        name: "park + cancel, 2 threads, `Channel::new` for each",
        figures: &[part("")],
        subjects: [cancel::<Parsed, 2>, cancel::<Notifying, 2>, cancel::<Broadcast, 2>],
    },
    Row { name: "park + wake, 1 thread", figures: &[figure("", 2.2)], subjects: by_all!(wake, 1) },
    Row {
        name: "park + wake, 1 thread, few channels",
        figures: &[figure("", 2.2)],
        subjects: by_all!(wake_few, 1),
    },
    Row { name: "park + wake, 2 threads", figures: TOGETHER, subjects: by_all!(wake, 2) },
    Row {
        name: "park + wake, 2 threads, few channels",
        figures: TOGETHER,
        subjects: by_all!(wake_few, 2),
    },
    Row {
        name: "1,000,000 channels, one wait each",
        figures: &[
            figure(": park", 2.7),
            figure(": woken, answered, parked again", 2.1),
            part(": publish to all"),
            part(": then all answered, parked again"),
        ],
        subjects: by_all!(channels),
    },
    Row {
        name: "broadcast to 1,000,000 waits",
        figures: &[part(": publish"), part(": answered"), figure(": in sum", 1.9)],
        subjects: by_all!(broadcast),
    },
    Row {
        name: "broadcast to 1,000,000 tasks, 2 workers, all joined",
        figures: &[Figure { name: "", unit: "ms", bars: Some([1.6, 1.6]) }],
        subjects: by_all!(tasks),
    },
    Row {
        name: "publish to 200,000 tasks on their own channels, all joined",
        figures: &[figure("", 1.0)],
        subjects: by_all!(own_tasks),
    },
];

fn cancel<S: Subject, const THREADS: usize>(size: &Size) -> Vec<f64> {
    vec![each(Park::<S>::new(size).cancel(THREADS), size.iterations)]
}

fn cancel_handled<S: Subject, const THREADS: usize>(size: &Size) -> Vec<f64> {
    cancel::<Handled<S>, THREADS>(size)
}

fn cancel_few<S: Subject, const THREADS: usize>(size: &Size) -> Vec<f64> {
    cancel::<S, THREADS>(&Size { channels: size.few, ..*size })
}

fn wake_few<S: Subject, const THREADS: usize>(size: &Size) -> Vec<f64> {
    wake::<S, THREADS>(&Size { channels: size.few, ..*size })
}

fn wake<S: Subject, const THREADS: usize>(size: &Size) -> Vec<f64> {
    vec![each(Park::<S>::new(size).wake(THREADS), size.iterations)]
}

fn channels<S: Subject>(size: &Size) -> Vec<f64> {
    let many = many::<S>(size.waits, HISTORY);
    let times = [many.park(), many.cycle(), many.publish(), many.answer()];
    times.map(|time| each(time, size.waits)).to_vec()
}

fn broadcast<S: Subject>(size: &Size) -> Vec<f64> {
    let fanout = fanout::<S>(size.waits);
    let (publish, collect) = (fanout.publish(), fanout.collect());
    [publish, collect, publish + collect].map(|time| each(time, size.waits)).to_vec()
}

fn tasks<S: Subject>(size: &Size) -> Vec<f64> {
    vec![Tasks::<S>::on_one(size.tasks).publish().as_secs_f64() * 1e3]
}

fn own_tasks<S: Subject>(size: &Size) -> Vec<f64> {
    vec![each(Tasks::<S>::on_their_own(size.own_tasks).publish(), size.own_tasks)]
}

pub(crate) fn run(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for row in ROWS.iter().filter(|row| plan.wants(row.name)) {
        let spreads = spreads(row, plan);
        for (place, figure) in row.figures.iter().enumerate() {
            lines.push(line(row, figure, &spreads.each_ref().map(|of| of[place])));
        }
        if !plan.is_test {
            eprintln!("done: {}", row.name);
        }
    }
    let names = [Hub::NAME, Notifying::NAME, Broadcast::NAME];
    let head = ["work", "unit", names[0], names[1], "x", names[2], "x", "bar", ""];
    let says = "Median (least–most) of the rounds, on each thread; x is theirs divided by ours";
    section("rows", says, table(&head, &lines), &lines)
}

/// For each subject the spread of each figure.
fn spreads(row: &Row, plan: &Plan) -> [Vec<Spread>; SUBJECTS] {
    let mut runs: [Vec<Vec<f64>>; SUBJECTS] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..SUBJECTS {
            let subject = (round + turn) % SUBJECTS;
            runs[subject].push(row.subjects[subject](&plan.size));
        }
    }
    let of = |runs: &Vec<Vec<f64>>, place: usize| runs.iter().map(|run| run[place]).collect();
    runs.map(|runs| (0..row.figures.len()).map(|place| Spread::of(of(&runs, place))).collect())
}

fn line(row: &Row, figure: &Figure, spreads: &[Spread; SUBJECTS]) -> Vec<String> {
    let [ours, notify, broadcast] = spreads;
    let ratios = [notify, broadcast].map(|theirs| theirs.median / ours.median);
    let (bar, verdict) = figure.bars.map_or_else(Default::default, |bars| {
        let is_met = ratios.iter().zip(bars).all(|(ratio, bar)| *ratio >= bar);
        let [first, second] = bars;
        let bar = if first == second { format!("{first}") } else { format!("{first} / {second}") };
        (bar, if is_met { "met" } else { "missed" })
    });
    vec![
        format!("{}{}", row.name, figure.name),
        figure.unit.to_owned(),
        ours.to_string(),
        notify.to_string(),
        short(ratios[0]),
        broadcast.to_string(),
        short(ratios[1]),
        bar,
        verdict.to_owned(),
    ]
}
