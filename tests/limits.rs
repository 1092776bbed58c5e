//! Promise 7: every limit is exact, its refusal is clear and changes nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "limits/oldest.rs"]
mod oldest;
#[path = "limits/room.rs"]
mod room;

use std::time::Duration;

use common::*;
use tokio_test::{assert_ready, task};
use tower_longpoll::{
    Channel, ConfigError, Event, Hub, HubBuilder, PublishError, Published, Refused, Since, Stats,
    Waited,
};

fn hub(set: impl Fn(HubBuilder) -> HubBuilder) -> Hub {
    set(Hub::builder()).build().unwrap()
}

/// What a hub says about itself, but for its count of refusals.
fn state(hub: &Hub) -> (Stats, tower_longpoll::Cursor) {
    let mut stats = hub.stats();
    stats.refused = 0;
    (stats, hub.cursor())
}

/// Checks that a poll is refused for this reason, and that nothing else came of it.
#[track_caller]
fn assert_refused(hub: &Hub, channels: &[Channel], reason: Refused) {
    let (before, refused) = (state(hub), hub.stats().refused);
    let mut wait = task::spawn(hub.wait(channels));
    let waited = assert_ready!(wait.poll(), "not refused: {reason:?}");
    let is_it = matches!(waited, Waited::Refused { reason: why, .. } if why == reason);
    assert!(is_it, "{reason:?}, not {waited:?}");
    assert_eq!((state(hub), hub.stats().refused), (before, refused + 1));
}

/// Checks that an event is refused for this reason, and that nothing came of it.
#[track_caller]
fn assert_unpublished(hub: &Hub, channel: &Channel, event: impl Into<Event>, why: PublishError) {
    let before = state(hub);
    assert_eq!(hub.publish(channel, event), Err(why));
    assert_eq!(state(hub), before);
    assert_eq!(why.to_string().to_lowercase(), why.to_string());
}

fn named(prefix: &str, count: usize) -> Vec<Channel> {
    (0..count).map(|number| channel(&format!("{prefix}{number}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn max_waits_is_exact_over_all_shards_and_freed_by_drops() {
    for shards in [1, 4, 64, 1024] {
        for max in [0, 1, 3, 100, 5_000] {
            let hub = hub(|hub| hub.max_waits(max).shards(shards));
            for (round, each) in [(0, 1), (1, 3)] {
                let others = named(&format!("{round} "), max + each);
                let mut waits: Vec<_> = others.windows(each).take(max).collect();
                waits.reverse();
                let mut waits: Vec<_> =
                    waits.into_iter().map(|c| park(&hub, c, Since::Now)).collect();
                assert_eq!(hub.stats().parked, max, "{shards} shards");
                for c in channels(3) {
                    assert_refused(&hub, &[c], Refused::Waits { max });
                }
                assert_refused(&hub, &channels(3), Refused::Waits { max });
                // An answer that is ready needs no place.
                timed_out(ask(&hub, &channels(2), Since::Now));
                for c in channels(3).iter().take(max) {
                    waits.pop();
                    waits.push(park(&hub, std::slice::from_ref(c), Since::Now));
                    assert_refused(&hub, &others[..1], Refused::Waits { max });
                }
                drop(waits);
                assert_empty(&hub);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_wait_frees_its_place() {
    let hub = hub(|hub| hub.max_waits(1));
    let c = channels(1);
    type End = fn(&Hub, &Channel);
    let rows: [(&str, End); 3] = [
        ("an event", |hub, c| publish(hub, c, "event")),
        ("a deletion", |hub, c| assert!(hub.delete(c))),
        ("a drop", |_, _| ()),
    ];
    for (row, end) in rows.into_iter().cycle().take(12) {
        let mut wait = park(&hub, &c, Since::Now);
        end(&hub, &c[0]);
        assert_eq!(hub.stats().parked, 1, "{row}: it was not polled yet");
        assert_refused(&hub, &channels(2), Refused::Waits { max: 1 });
        let ended = wait.poll().is_ready();
        assert_eq!(ended, row != "a drop");
        if ended {
            assert_eq!(hub.stats().parked, 0, "{row}: its place is free before it is dropped");
        }
    }
    timed_out(hub.wait(&c).await);
    assert_eq!(hub.stats().parked, 0);
    drop(park(&hub, &c, Since::Now));
}

#[tokio::test(start_paused = true)]
async fn max_waits_per_channel_is_exact() {
    for max in [0, 1, 3, 100] {
        let hub = hub(|hub| hub.max_waits_per_channel(max).max_waits(200));
        let c = channels(2);
        let mut waits: Vec<_> = (0..max).map(|_| park(&hub, &c[..1], Since::Now)).collect();
        assert_refused(&hub, &c[..1], Refused::WaitsPerChannel { max });
        assert_refused(&hub, &c, Refused::WaitsPerChannel { max });
        if max > 0 {
            drop(park(&hub, &c[1..], Since::Now));
            waits.pop();
            waits.push(park(&hub, &c[..1], Since::Now));
            assert_refused(&hub, &c[..1], Refused::WaitsPerChannel { max });
        }
        drop(waits);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn max_channels_is_exact_for_polls_and_publishes() {
    for shards in [1, 4, 64] {
        for max in [0, 1, 3, 100, 5_000] {
            let hub = hub(|hub| hub.max_channels(max).shards(shards).history_age(SECOND));
            let (waits, events) = (named("waited ", max / 2), named("published ", max - max / 2));
            let waits: Vec<_> = waits.chunks(1).map(|c| park(&hub, c, Since::Now)).collect();
            for c in &events {
                hub.publish(c, "event").unwrap();
            }
            assert_eq!(hub.stats().channels, max);
            for c in channels(3) {
                assert_refused(&hub, std::slice::from_ref(&c), Refused::Channels { max });
                assert_unpublished(&hub, &c, "event", PublishError::Channels { max });
            }
            // What is there already can be used, and an answer that is ready needs no channel.
            if let Some(c) = events.first() {
                hub.publish(c, "another").unwrap();
                drop(park(&hub, std::slice::from_ref(c), Since::Now));
                whole(ask(&hub, &[c.clone(), channel("c1")], Since::Oldest));
            }
            timed_out(ask(&hub, &channels(2), Since::Now));
            assert_refused(&hub, &channels(3), Refused::Channels { max });
            drop(waits);
            pass(SECOND).await;
            assert_empty(&hub);
            let waits: Vec<_> =
                named("again ", max).chunks(1).map(|c| park(&hub, c, Since::Now)).collect();
            assert_refused(&hub, &channels(1), Refused::Channels { max });
            drop(waits);
            assert_empty(&hub);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_channels_of_one_poll_are_limited() {
    for max in [1, 2, 64] {
        let hub = hub(|hub| hub.max_channels_per_wait(max));
        drop(park(&hub, &channels(max), Since::Now));
        assert_refused(&hub, &channels(max + 1), Refused::ChannelsPerWait { max });
        assert_refused(&hub, &[], Refused::NoChannels);
        // An endless list is not read to its end.
        let endless = (0..).map(|number| channel(&number.to_string()));
        let waited = assert_ready!(task::spawn(hub.wait(endless)).poll());
        assert!(matches!(waited, Waited::Refused { .. }), "{waited:?}");
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_no_channels_refuses_every_poll() {
    let hub = hub(|hub| hub.max_channels_per_wait(0));
    assert_refused(&hub, &channels(1), Refused::ChannelsPerWait { max: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_named_twice_counts_once() {
    let hub = hub(|hub| hub.max_channels_per_wait(2).max_channels(2));
    let twice = [channel("a"), channel("b"), channel("a")];
    let mut wait = task::spawn(hub.wait(&twice));
    let answer = wait.poll();
    assert!(answer.is_pending(), "{answer:?}");
    assert_eq!(hub.channel_stats(&twice[0]).unwrap().parked, 1);
}

#[tokio::test(start_paused = true)]
async fn names_and_payloads_are_limited() {
    let hub =
        hub(|hub| hub.max_channel_name_bytes(5).max_payload_bytes(3).total_history_bytes(10_000));
    let (fits, long) = (channel("äö5"), channel("äöü"));
    drop(park(&hub, std::slice::from_ref(&fits), Since::Now));
    assert_refused(&hub, std::slice::from_ref(&long), Refused::ChannelName { max_bytes: 5 });
    assert_refused(&hub, &[fits.clone(), long.clone()], Refused::ChannelName { max_bytes: 5 });
    hub.publish(&fits, "abc").unwrap();
    assert_unpublished(&hub, &fits, "abcd", PublishError::Payload { max_bytes: 3 });
    assert_unpublished(&hub, &long, "abc", PublishError::ChannelName { max_bytes: 5 });
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_total_of_all_histories_is_exact() {
    let (weight, max_bytes) = (Event::OVERHEAD_BYTES + 10, 10 * (Event::OVERHEAD_BYTES + 10));
    let event = || Event::new("ten bytes.");
    let why = PublishError::TotalHistory { max_bytes };
    let hub = hub(|hub| {
        hub.total_history_bytes(max_bytes)
            .max_payload_bytes(11)
            .history_events(3)
            .history_age(SECOND)
    });
    let c = named("c", 11);
    for c in &c[..9] {
        hub.publish(c, event()).unwrap();
    }
    assert_unpublished(&hub, &c[9], "eleven byte", why);
    assert_eq!(hub.channel_stats(&c[9]), None);
    hub.publish(&c[9], event()).unwrap();
    assert_eq!(hub.stats().history_bytes, max_bytes);
    assert_unpublished(&hub, &c[10], "", why);
    assert_unpublished(&hub, &c[0], "", why);
    let typed = Event::typed("", "a/b").unwrap();
    assert_unpublished(&hub, &c[0], typed, why);
    // Deleting makes room; then one channel fills its ring and replaces in place for ever.
    hub.delete(&c[9]);
    hub.delete(&c[8]);
    hub.publish(&c[0], event()).unwrap();
    hub.publish(&c[0], event()).unwrap();
    for _ in 0..1_000 {
        hub.publish(&c[0], event()).unwrap();
        assert_unpublished(&hub, &c[0], "eleven byte", why);
        assert_unpublished(&hub, &c[1], event(), why);
    }
    assert_eq!((hub.stats().history_events, hub.stats().history_bytes), (10, 10 * weight));
    pass(SECOND).await;
    assert_empty(&hub);
    hub.publish(&c[10], event()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_channel_keeps_its_newest_events_within_its_bounds() {
    let weight = Event::OVERHEAD_BYTES + 1;
    let rows = [
        ("zero events are one", 0, usize::MAX, 1),
        ("one event", 1, usize::MAX, 1),
        ("three events", 3, usize::MAX, 3),
        ("zero bytes: the newest is kept", 100, 0, 1),
        ("a byte less than two", 100, 2 * weight - 1, 1),
        ("exactly two", 100, 2 * weight, 2),
    ];
    for (row, events, bytes, kept) in rows {
        let hub = hub(|hub| hub.history_events(events).history_bytes(bytes));
        let c = channels(1);
        (0..10).for_each(|number| publish(&hub, &c[0], number.to_string()));
        let expected: Vec<_> = (10 - kept..10).map(|number| number.to_string()).collect();
        assert_eq!(whole(ask(&hub, &c, Since::Oldest)), expected, "{row}");
        assert_eq!(held(&hub), (0, 1, kept, kept * weight), "{row}");
    }
}

#[test]
fn contradictions_name_both_settings() {
    let hold = Hub::builder().hold(2 * SECOND).max_hold(SECOND).build().unwrap_err();
    assert_eq!(hold, ConfigError::HoldBeyondMaxHold { hold: 2 * SECOND, max_hold: SECOND });
    let bytes = Hub::builder().max_payload_bytes(1_000).total_history_bytes(1_000);
    let bytes = bytes.build().unwrap_err();
    let expected = ConfigError::PayloadBeyondTotalHistory {
        max_payload_bytes: 1_000,
        total_history_bytes: 1_000,
    };
    assert_eq!(bytes, expected);
    for (error, names) in [
        (hold, ["hold (", "max_hold ("]),
        (bytes, ["max_payload_bytes (", "total_history_bytes ("]),
    ] {
        assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
    }
    assert!(Hub::builder().hold(SECOND).max_hold(SECOND).build().is_ok());
    let overhead = Event::OVERHEAD_BYTES + Event::MAX_CONTENT_TYPE_BYTES;
    let edge = Hub::builder().max_payload_bytes(1_000);
    assert!(edge.clone().total_history_bytes(1_000 + overhead).build().is_ok());
    assert!(edge.total_history_bytes(999 + overhead).build().is_err());
}

#[tokio::test(start_paused = true)]
async fn extreme_settings_work() {
    let builder = Hub::builder()
        .max_waits(usize::MAX)
        .max_waits_per_channel(usize::MAX)
        .max_channels(usize::MAX)
        .max_channels_per_wait(usize::MAX)
        .max_channel_name_bytes(usize::MAX)
        .max_payload_bytes(usize::MAX)
        .history_events(usize::MAX)
        .history_bytes(usize::MAX)
        .history_age(Duration::MAX)
        .total_history_bytes(usize::MAX)
        .max_batch_events(usize::MAX)
        .max_batch_bytes(usize::MAX)
        .hold(Duration::MAX)
        .max_hold(Duration::MAX);
    for shards in [0, 1, 3] {
        let hub = builder.clone().shards(shards).build().unwrap();
        let c = [channel(&"n".repeat(Channel::MAX_BYTES)), channel("b")];
        let mut wait = park(&hub, &c, Since::Now);
        let published = hub.publish(&c[0], "event").unwrap();
        assert!(matches!(published, Published { woken: 1, .. }));
        whole(assert_ready!(wait.poll()));
        drop(park(&hub, &c, hub.cursor()));
        let (took, waited) = timed(hub.wait(&c).max_events(usize::MAX)).await;
        timed_out(waited);
        assert_eq!(took, 365 * 24 * 3_600 * SECOND);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_million_names_polled_and_dropped_leave_nothing() {
    let hub = Hub::new();
    for number in 0..1_000_000 {
        drop(park(&hub, &[channel(&number.to_string())], Since::Now));
    }
    assert_empty(&hub);
    assert_eq!(hub.stats().dropped, 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_channel_share_its_name() {
    let hub = Hub::new();
    for _ in 0..3 {
        // As a server does, which reads the name from each request.
        hub.publish(&channel("a name of its own"), "event").unwrap();
    }
    let waited = hub.wait([channel("a name of its own")]).since(Since::Oldest).await;
    let Waited::Events(batch) = waited else { panic!("{waited:?}") };
    let names: Vec<_> = batch.iter().map(|entry| entry.channel().as_str().as_ptr()).collect();
    assert_eq!(names, [names[0]; 3]);
}
