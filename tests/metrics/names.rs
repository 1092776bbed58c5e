//! The table of names in the documentation is what is really reported.

use std::collections::BTreeMap;

use metrics::set_default_local_recorder as install;
use metrics_util::{MetricKind, debugging::DebuggingRecorder};
use tokio_test::assert_ready;
use tower_longpoll::{
    Channel, Hub, HubBuilder, Since,
    backplane::{Backplane, MemoryLog},
};

use super::{common::*, meters::Meters};

const DOCUMENT: &str = include_str!("../../docs/observability.md");

/// Kind, unit, label and its values, of each name.
type Names = BTreeMap<String, (String, String, String, Vec<String>)>;

/// What stands in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn documented() -> Names {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `longpoll_"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, _] = cells[..] else { panic!("five cells: {row}") };
        let mut values = quoted(labels);
        let label = if values.is_empty() { String::new() } else { values.remove(0) };
        values.sort();
        (quoted(name).remove(0), (kind.to_owned(), unit.to_owned(), label, values))
    });
    rows.collect()
}

fn reported(meters: &mut Meters) -> Names {
    meters.take();
    let names = meters.kinds.iter().map(|(name, (kind, unit, label))| {
        let kind = match kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
        };
        let values = meters.labels(name);
        (name.clone(), (kind.to_owned(), unit.clone(), label.clone(), values))
    });
    names.collect()
}

fn build(set: fn(HubBuilder) -> HubBuilder) -> Hub {
    set(Hub::builder()).build().unwrap()
}

/// Has everything happen that is told of.
async fn everything() {
    let (hub, c) = (Hub::new(), channels(2));
    let refuse = |hub: &Hub, channels: &[Channel]| drop(ask(hub, channels, Since::Now));
    // Ends of waits that were parked, and one that never was.
    let woken_by: [fn(&Hub, &Channel); 4] = [
        |hub, c| publish(hub, c, "event"),
        |hub, c| _ = hub.delete(c),
        |hub, c| _ = hub.touch(c),
        |hub, c| {
            publish(hub, c, "gone");
            hub.delete(c);
        },
    ];
    for wakes in woken_by {
        let mut wait = park(&hub, &c[..1], Since::Now);
        wakes(&hub, &c[0]);
        assert_ready!(wait.poll());
    }
    drop(park(&hub, &c, Since::Now));
    let mut older = tokio_test::task::spawn(hub.wait(&c).supersede_by("key"));
    assert!(older.poll().is_pending());
    let mut newer = tokio_test::task::spawn(hub.wait(&c).supersede_by("key").hold(SECOND));
    assert!(newer.poll().is_pending());
    assert_ready!(older.poll());
    pass(SECOND).await;
    assert_ready!(newer.poll());

    // Refusals.
    refuse(&hub, &[]);
    refuse(&build(|hub| hub.max_channels_per_wait(1)), &c);
    refuse(&build(|hub| hub.max_channel_name_bytes(1)), &c);
    drop(hub.wait(&c).supersede_by("k".repeat(1_000)));
    let full: [fn(HubBuilder) -> HubBuilder; 3] =
        [|hub| hub.max_waits(0), |hub| hub.max_waits_per_channel(0), |hub| hub.max_channels(0)];
    for set in full {
        assert_ready!(tokio_test::task::spawn(build(set).wait(&c)).poll());
    }
    let unpublished: [fn(HubBuilder) -> HubBuilder; 4] = [
        |hub| hub.max_payload_bytes(0),
        |hub| hub.max_channel_name_bytes(1),
        |hub| hub.max_channels(0),
        |hub| hub.max_payload_bytes(9).total_history_bytes(1_100),
    ];
    for set in unpublished {
        // Where not the first is refused, the third is.
        let hub = build(set);
        assert!((0..3).any(|_| hub.publish(&c[0], "event").is_err()));
    }
    let follower = Backplane::join(Hub::builder(), MemoryLog::new()).await.unwrap();
    assert!(follower.hub().publish(&c[0], "event").is_err());
    let mut drained = park(&hub, &c, Since::Now);
    hub.drain(std::time::Duration::ZERO);
    assert_ready!(drained.poll());
    refuse(&hub, &c);
    hub.close();
    refuse(&hub, &c);
    assert!(hub.publish(&c[0], "event").is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_is_what_the_table_tells() {
    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    everything().await;
    let (documented, reported) = (documented(), reported(&mut meters));
    assert_eq!(documented.keys().collect::<Vec<_>>(), reported.keys().collect::<Vec<_>>());
    assert_eq!(documented, reported);
    // All of it has happened: nothing is only told to be at zero.
    for (name, (kind, _, _, labels)) in &reported {
        let labels = if labels.is_empty() { vec![String::new()] } else { labels.clone() };
        for label in labels.iter().filter(|_| kind == "counter") {
            assert!(meters.read(name, label) > 0.0, "{name} {label}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_hub_tells_of_all_levels_and_totals_that_they_are_at_zero() {
    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    let _hub = Hub::new();
    let reported = reported(&mut meters);
    for (name, (kind, unit, label, values)) in documented() {
        if kind == "histogram" {
            continue;
        }
        assert_eq!(reported.get(&name), Some(&(kind, unit, label, values.clone())), "{name}");
        let labels = if values.is_empty() { vec![String::new()] } else { values };
        assert!(labels.iter().all(|label| meters.read(&name, label) == 0.0), "{name}");
    }
}
