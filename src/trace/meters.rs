//! The feature `metrics`: what is reported, under which name.
//!
//! The names are told to users in `docs/observability.md`, and a test holds the two together.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    panic::{self, AssertUnwindSafe},
};

use metrics::{
    Key, Label, Level, Metadata, Recorder, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram, with_recorder,
};

use super::{Metered, Readings};

/// Whether anything is measured.
pub(super) const ON: bool = true;

static METADATA: Metadata<'static> =
    Metadata::new("tower_longpoll", Level::INFO, Some(module_path!()));

macro_rules! key {
    ($name:literal) => {
        Key::from_static_name($name)
    };
    ($name:literal, $label:literal = $value:expr) => {{
        static LABELS: [Label; 1] = [Label::from_static_parts($label, $value)];
        Key::from_static_parts($name, &LABELS)
    }};
}

macro_rules! waits {
    ($outcome:literal) => {
        key!("longpoll_waits_total", "outcome" = $outcome)
    };
}

macro_rules! refused {
    ($place:literal) => {
        key!("longpoll_waits_refused_total", "reason" = REASONS[$place])
    };
}

/// Why a wait is refused.
const REASONS: [&str; 9] = [
    "no_channels",
    "channels_per_wait",
    "channel_name",
    "key",
    "waits",
    "waits_per_channel",
    "channels",
    "draining",
    "closed",
];

/// Why an event is not published.
const UNPUBLISHED: [&str; 6] =
    ["payload", "channel_name", "channels", "total_history", "closed", "follows"];

/// How many of the series go up and down, what of the others a shard has counted, and what the meter.
const LEVELS: usize = 4;
const TOTALS: usize = 10;
const OWN: usize = 1 + REASONS.len();

/// All that is read off a shard: the levels and the totals in the order of [`Readings`], then what
/// the meter itself has counted.
static KEYS: [Key; LEVELS + TOTALS + OWN] = [
    key!("longpoll_parked"),
    key!("longpoll_channels"),
    key!("longpoll_history_events"),
    key!("longpoll_history_bytes"),
    key!("longpoll_events_published_total"),
    key!("longpoll_events_delivered_total"),
    waits!("timed_out"),
    waits!("gap"),
    waits!("deleted"),
    waits!("touched"),
    waits!("superseded"),
    waits!("drained"),
    waits!("refused"),
    waits!("dropped"),
    waits!("events"),
    refused!(0),
    refused!(1),
    refused!(2),
    refused!(3),
    refused!(4),
    refused!(5),
    refused!(6),
    refused!(7),
    refused!(8),
];

/// Tells a recorder what the names mean, and that all is at zero, where that is known beforehand.
pub(crate) fn describe() {
    quietly(|| {
        describe_gauge!(
            "longpoll_parked",
            Unit::Count,
            "Polls that are parked, or were woken and have not been polled yet."
        );
        describe_gauge!(
            "longpoll_channels",
            Unit::Count,
            "Channels that hold events or on which polls are parked."
        );
        describe_gauge!("longpoll_history_events", Unit::Count, "Events in all histories.");
        describe_gauge!(
            "longpoll_history_bytes",
            Unit::Bytes,
            "What the events in all histories count against the byte limits."
        );
        describe_gauge!(
            "longpoll_log_lag",
            Unit::Count,
            "Entries of the logs that hubs follow which they have not applied yet."
        );
        describe_counter!("longpoll_events_published_total", Unit::Count, "Events published.");
        describe_counter!(
            "longpoll_events_delivered_total",
            Unit::Count,
            "Events handed to waits; an event that three waits got counts three times."
        );
        describe_counter!("longpoll_waits_total", Unit::Count, "Waits that ended, by outcome.");
        describe_counter!(
            "longpoll_waits_refused_total",
            Unit::Count,
            "Waits that were refused, by reason."
        );
        describe_counter!(
            "longpoll_publishes_refused_total",
            Unit::Count,
            "Events that were not published, by reason."
        );
        describe_histogram!(
            "longpoll_parked_seconds",
            Unit::Seconds,
            "How long polls were parked, however they ended."
        );
        describe_histogram!(
            "longpoll_publish_to_answer_seconds",
            Unit::Seconds,
            "From the publish of the first event of an answer until the parked poll collected it."
        );
        with_recorder(|recorder| report(recorder, (0..KEYS.len()).map(|place| (place, 0))));
        gauge!("longpoll_log_lag").increment(0.0);
        UNPUBLISHED.into_iter().for_each(|reason| count_unpublished(reason, 0));
    });
}

/// A hub is so far behind its log, instead of as far as before.
pub(super) fn lags(before: u64, now: u64) {
    quietly(|| gauge!("longpoll_log_lag").increment(now as f64 - before as f64));
}

/// An event was not published.
pub(super) fn unpublished(reason: &'static str) {
    quietly(|| count_unpublished(reason, 1));
}

fn count_unpublished(reason: &'static str, count: u64) {
    counter!("longpoll_publishes_refused_total", "reason" => reason).increment(count);
}

/// A poll that was parked has ended.
pub(super) fn ended(was_parked: f64, since_publish: Option<f64>) {
    quietly(|| {
        histogram!("longpoll_parked_seconds").record(was_parked);
        if let Some(seconds) = since_publish {
            histogram!("longpoll_publish_to_answer_seconds").record(seconds);
        }
    });
}

/// A shard's own count of what is in no other, and what was last reported of it. It takes its part
/// of the levels back when it is dropped.
#[derive(Default)]
pub(crate) struct Meter {
    levels: [u64; LEVELS],
    totals: [u64; TOTALS],
    own: [u64; OWN],
    /// Waits that got events without a gap, then those that were refused, by reason.
    counted: [u64; OWN],
}

impl Meter {
    /// A wait got events, and there was no gap.
    pub(crate) fn answered(&mut self) {
        let [answered, ..] = &mut self.counted;
        *answered += 1;
    }

    pub(crate) fn refused(&mut self, reason: &'static str) {
        let place = REASONS.iter().position(|&known| known == reason);
        debug_assert!(place.is_some(), "{reason} is one of the reasons");
        let [_, refused @ ..] = &mut self.counted;
        if let Some(count) = place.and_then(|place| refused.get_mut(place)) {
            *count += 1;
        }
    }

    fn tell(&mut self, Readings { levels, totals }: Readings, changes: &Changes) {
        let is_changed = note(levels, &mut self.levels, &changes.levels)
            | note(totals, &mut self.totals, &changes.totals)
            | note(self.counted, &mut self.own, &changes.own);
        if is_changed {
            changes.any.set(true);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let changes = Changes::default();
        changes.any.set(note([0; LEVELS], &mut self.levels, &changes.levels));
    }
}

/// What has changed in shards since they were last read. Reported when it is dropped.
#[derive(Default)]
pub(crate) struct Changes {
    any: Cell<bool>,
    levels: [Cell<u64>; LEVELS],
    totals: [Cell<u64>; TOTALS],
    own: [Cell<u64>; OWN],
}

impl Drop for Changes {
    fn drop(&mut self) {
        if self.any.get() {
            self.report();
        }
    }
}

impl Changes {
    #[inline(never)]
    fn report(&self) {
        let changes = self.levels.iter().chain(&self.totals).chain(&self.own).map(Cell::get);
        let changes = changes.enumerate().filter(|&(_, change)| change != 0);
        quietly(|| with_recorder(|recorder| report(recorder, changes)));
    }
}

/// Notes what is other than it was before; true if anything is.
#[inline]
fn note<const N: usize>(now: [u64; N], before: &mut [u64; N], changes: &[Cell<u64>; N]) -> bool {
    let mut any = 0;
    for ((now, before), change) in now.into_iter().zip(before).zip(changes) {
        // What goes down wraps around, and back when it is added up.
        let by = now.wrapping_sub(std::mem::replace(before, now));
        change.set(change.get().wrapping_add(by));
        any |= by;
    }
    any != 0
}

fn report(recorder: &dyn Recorder, changes: impl Iterator<Item = (usize, u64)>) {
    for (place, change) in changes {
        let Some(key) = KEYS.get(place) else { continue };
        if place < LEVELS {
            recorder.register_gauge(key, &METADATA).increment(change as i64 as f64);
        } else {
            recorder.register_counter(key, &METADATA).increment(change);
        }
    }
}

/// A lock's guard, which reads the shard before it is unlocked.
pub(crate) struct Telling<'a, G: DerefMut<Target: Metered>> {
    guard: G,
    changes: &'a Changes,
}

impl<'a, G: DerefMut<Target: Metered>> Telling<'a, G> {
    pub(crate) fn new(guard: G, changes: &'a Changes) -> Self {
        Self { guard, changes }
    }
}

impl<G: DerefMut<Target: Metered>> Deref for Telling<'_, G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut<Target: Metered>> DerefMut for Telling<'_, G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl<G: DerefMut<Target: Metered>> Drop for Telling<'_, G> {
    fn drop(&mut self) {
        let readings = self.guard.readings();
        self.guard.meter().tell(readings, self.changes);
    }
}

/// Calls a recorder. Its panic has been reported by the panic hook, and ends here: no wait may miss
/// its end for it.
fn quietly(call: impl FnOnce()) {
    let _ = panic::catch_unwind(AssertUnwindSafe(call));
}
