//! What a recorder was told.
#![allow(unreachable_pub)]

use std::collections::BTreeMap;

use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use tower_longpoll::{Hub, Stats};

/// The name and the value of the label, if there is one.
type Series = (String, String);

pub struct Meters {
    snapshotter: Snapshotter,
    /// Gauges and counters: the recorder starts anew with each snapshot.
    sums: BTreeMap<Series, f64>,
    values: BTreeMap<String, Vec<f64>>,
    /// The kind, the unit and the label of each name.
    pub kinds: BTreeMap<String, (MetricKind, String, String)>,
}

impl Meters {
    pub fn new(recorder: &DebuggingRecorder) -> Self {
        let (snapshotter, sums) = (recorder.snapshotter(), BTreeMap::new());
        Self { snapshotter, sums, values: BTreeMap::new(), kinds: BTreeMap::new() }
    }

    pub fn take(&mut self) {
        for (key, unit, description, value) in self.snapshotter.snapshot().into_vec() {
            let name = key.key().name().to_owned();
            assert!(description.is_some(), "{name} is described");
            let labels: Vec<_> = key.key().labels().collect();
            assert!(labels.len() < 2, "{name}");
            let label = labels.first().map_or("", |label| label.key()).to_owned();
            let of_label = labels.first().map_or("", |label| label.value()).to_owned();
            let unit = unit.map_or("", |unit| unit.as_str()).to_owned();
            let kind = (key.kind(), unit, label);
            assert_eq!(self.kinds.entry(name.clone()).or_insert(kind.clone()), &kind, "{name}");
            let sum = match value {
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Counter(value) => value as f64,
                DebugValue::Histogram(values) => {
                    let values = values.into_iter().map(|value| *value);
                    self.values.entry(name).or_default().extend(values);
                    continue;
                }
            };
            *self.sums.entry((name, of_label)).or_default() += sum;
        }
    }

    /// Values of a histogram since they were last asked for.
    pub fn values(&mut self, name: &str) -> Vec<f64> {
        self.take();
        self.values.remove(name).unwrap_or_default()
    }

    /// A gauge or a counter.
    #[track_caller]
    pub fn read(&mut self, name: &str, of_label: &str) -> f64 {
        self.take();
        self.known(name, of_label)
    }

    /// The same as it was last taken.
    #[track_caller]
    fn known(&self, name: &str, of_label: &str) -> f64 {
        let series = (name.to_owned(), of_label.to_owned());
        *self.sums.get(&series).unwrap_or_else(|| panic!("there is no {series:?}"))
    }

    /// The values of the label of a name.
    pub fn labels(&self, name: &str) -> Vec<String> {
        let series = self.sums.keys().filter(|(own, _)| own == name);
        series.map(|(_, label)| label.clone()).filter(|label| !label.is_empty()).collect()
    }

    fn sum(&self, name: &str) -> f64 {
        self.sums.iter().filter(|((own, _), _)| own == name).map(|(_, sum)| sum).sum()
    }

    pub fn levels(&mut self) -> [f64; 4] {
        self.take();
        ["parked", "channels", "history_events", "history_bytes"]
            .map(|level| self.known(&format!("longpoll_{level}"), ""))
    }

    /// All gauges and counters are what the hubs say, taken together.
    #[track_caller]
    pub fn assert_agree(&mut self, hubs: &[&Hub]) {
        let stats: Vec<_> = hubs.iter().map(|hub| hub.stats()).collect();
        self.assert_are(&stats);
    }

    #[track_caller]
    pub fn assert_are(&mut self, stats: &[Stats]) {
        let sum = |field: fn(&Stats) -> u64| stats.iter().map(field).sum::<u64>() as f64;
        let levels: [f64; 4] = [
            sum(|stats| stats.parked as u64),
            sum(|stats| stats.channels as u64),
            sum(|stats| stats.history_events as u64),
            sum(|stats| stats.history_bytes as u64),
        ];
        assert_eq!(self.levels(), levels);
        let totals = [
            ("longpoll_events_published_total", "", sum(|stats| stats.published)),
            ("longpoll_events_delivered_total", "", sum(|stats| stats.delivered)),
            ("longpoll_waits_total", "timed_out", sum(|stats| stats.timed_out)),
            ("longpoll_waits_total", "gap", sum(|stats| stats.gaps)),
            ("longpoll_waits_total", "deleted", sum(|stats| stats.deleted)),
            ("longpoll_waits_total", "touched", sum(|stats| stats.touched)),
            ("longpoll_waits_total", "superseded", sum(|stats| stats.superseded)),
            ("longpoll_waits_total", "drained", sum(|stats| stats.drained)),
            ("longpoll_waits_total", "refused", sum(|stats| stats.refused)),
            ("longpoll_waits_total", "dropped", sum(|stats| stats.dropped)),
        ];
        for (name, label, total) in totals {
            assert_eq!(self.known(name, label), total, "{name} {label}");
        }
        assert_eq!(self.sum("longpoll_waits_refused_total"), sum(|stats| stats.refused));
    }
}
