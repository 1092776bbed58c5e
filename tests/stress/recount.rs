//! What the threads have noted, against each other and against what the hub says.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_longpoll::Cursor;

use super::{
    client::{Answer, Story},
    *,
};

/// What was done, and how waits ended.
#[derive(Default)]
pub(super) struct Log {
    /// Each event that was published, with the number of its channel.
    pub(super) published: Vec<(Cursor, usize)>,
    pub(super) stories: Vec<Story>,
    pub(super) dropped: u64,
    touches: u64,
    delivered: u64,
    gaps: u64,
    timed_out: u64,
    deleted: u64,
    touched: u64,
    superseded: u64,
    drained: u64,
    refused: u64,
}

impl Log {
    pub(super) fn with(mut self, mut other: Self) -> Self {
        self.published.append(&mut other.published);
        self.stories.append(&mut other.stories);
        self.dropped += other.dropped;
        self.touches += other.touches;
        self.delivered += other.delivered;
        self.gaps += other.gaps;
        self.timed_out += other.timed_out;
        self.deleted += other.deleted;
        self.touched += other.touched;
        self.superseded += other.superseded;
        self.drained += other.drained;
        self.refused += other.refused;
        self
    }

    /// How many waits a touch has woken.
    pub(super) fn touched(&mut self, woken: usize) {
        self.touches += woken as u64;
    }

    pub(super) fn ended(&mut self, waited: &Waited) {
        *match waited {
            Waited::Events(batch) => {
                self.gaps += u64::from(batch.gap());
                self.delivered += batch.len() as u64;
                return;
            }
            Waited::TimedOut { .. } => &mut self.timed_out,
            Waited::Deleted { .. } => &mut self.deleted,
            Waited::Touched { .. } => &mut self.touched,
            Waited::Superseded { .. } => &mut self.superseded,
            Waited::Drained { .. } => &mut self.drained,
            Waited::Refused { .. } => &mut self.refused,
            other => panic!("{other:?}"),
        } += 1;
    }
}

/// The number in a cursor. Tests may know it; clients must not.
fn sequence(cursor: Cursor) -> u64 {
    let raw = URL_SAFE_NO_PAD.decode(&cursor.to_string()[1..]).unwrap();
    raw[8..].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

pub(super) fn recount(hub: &Hub, log: &Log, drained: bool) {
    let published: HashMap<_, _> =
        log.published.iter().map(|&(cursor, channel)| (sequence(cursor), channel)).collect();
    assert_eq!(published.len(), log.published.len(), "each has a position of its own");
    let last = published.keys().max();
    for (number, story) in log.stories.iter().enumerate() {
        let end = story.answers.last().map(|answer| sequence(answer.to));
        assert!(drained || end.as_ref() >= last, "client {number} has come to the end");
        check(number, story, &published);
    }
    let seen: usize = log.stories.iter().flat_map(|s| &s.answers).map(|a| a.events.len()).sum();
    assert!(seen > 1_000, "{seen} events were seen: it was no test");

    let stats = hub.stats();
    assert_eq!(stats.parked, 0);
    let counted = [
        ("published", stats.published, log.published.len() as u64),
        ("delivered", stats.delivered, log.delivered),
        ("gaps", stats.gaps, log.gaps),
        ("timed_out", stats.timed_out, log.timed_out),
        ("deleted", stats.deleted, log.deleted),
        ("touched", stats.touched, log.touched),
        ("superseded", stats.superseded, log.superseded),
        ("drained", stats.drained, log.drained),
        ("refused", stats.refused, log.refused),
        ("dropped", stats.dropped, log.dropped),
    ];
    for (name, says, is) in counted {
        assert_eq!(says, is, "{name}");
    }
    assert!(log.touched <= log.touches, "more were touched than touches have woken");
    println!(
        "{} published, {seen} seen by clients, {} gaps, {} deleted, {} touched, {} superseded, \
         {} dropped, {} drained",
        log.published.len(),
        log.gaps,
        log.deleted,
        log.touched,
        log.superseded,
        log.dropped,
        log.drained
    );
}

/// Checks that a client has seen each event of its channels exactly once and in order, or was told
/// of a gap where it is missing.
fn check(client: usize, story: &Story, published: &HashMap<u64, usize>) {
    let start = sequence(story.start);
    let mut at = start;
    let mut seen = Vec::new();
    for Answer { from, to, gap, events } in &story.answers {
        assert_eq!(sequence(*from), at, "client {client}: it goes on where it was");
        let to = sequence(*to);
        assert!(to >= at, "client {client}: back from {at} to {to}");
        let mut told = Vec::new();
        for (cursor, text) in events {
            let number = sequence(*cursor);
            let channel = published.get(&number);
            assert!(channel.is_some(), "client {client}: nobody published {number}, {text}");
            let is_its = channel.is_some_and(|channel| story.channels.contains(channel));
            assert!(is_its, "client {client}: {number} is of another channel");
            assert!((at + 1..=to).contains(&number), "client {client}: {number} in {at}..{to}");
            told.push(number);
        }
        assert!(told.is_sorted_by(|a, b| a < b), "client {client}: {told:?} are in order");
        if !gap {
            let due = |number: &u64| {
                published.get(number).is_some_and(|channel| story.channels.contains(channel))
            };
            let due: Vec<_> = (at + 1..=to).filter(due).collect();
            assert_eq!(told, due, "client {client}: from {at} to {to} without a gap");
        }
        seen.extend(told);
        at = to;
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "client {client}: each once");
}
