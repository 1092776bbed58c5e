//! Of the waits with one key the newest stays: a client that polls again ends its older poll.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    time::Duration,
};

use common::*;
use tokio_test::{assert_pending, assert_ready, task};
use tower_longpoll::{Channel, Cursor, Hub, HubBuilder, Refused, Since, Wait, Waited};

/// A parked wait that has a key.
#[track_caller]
fn keyed(hub: &Hub, channels: &[Channel], key: &str) -> Parked {
    let mut wait = task::spawn(hub.wait(channels).supersede_by(key));
    assert!(wait.poll().is_pending(), "there is nothing to answer yet");
    wait
}

#[track_caller]
fn superseded(waited: Waited) -> Cursor {
    match waited {
        Waited::Superseded { cursor } => cursor,
        other => panic!("not superseded: {other:?}"),
    }
}

#[track_caller]
fn refused(waited: Waited) -> Refused {
    match waited {
        Waited::Refused { reason, .. } => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn hub(set: impl Fn(HubBuilder) -> HubBuilder) -> Hub {
    set(Hub::builder()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_older_ends_and_the_newest_stays_whatever_they_wait_for() {
    let c = channels(6);
    let rows: [(&str, &[Channel], &[Channel]); 6] = [
        ("the same channel", &c[..1], &c[..1]),
        ("another channel", &c[..1], &c[1..2]),
        ("the same channels", &c[..3], &c[..3]),
        ("some in common", &c[..3], &c[2..5]),
        ("none in common", &c[..3], &c[3..]),
        ("fewer", &c, &c[..1]),
    ];
    for shards in [1, 2, 64, 1024] {
        for (row, older, newer) in rows {
            let row = format!("{shards} shards, {row}");
            let hub = hub(|hub| hub.shards(shards));
            let mut first = keyed(&hub, older, "tab");
            let mut second = keyed(&hub, newer, "tab");
            assert!(first.is_woken() && !second.is_woken(), "{row}");
            assert_eq!(superseded(assert_ready!(first.poll())), hub.cursor(), "{row}");
            assert_pending!(first.poll(), "{row}: it has ended");
            assert_pending!(second.poll(), "{row}");
            let stats = hub.stats();
            assert_eq!((stats.parked, stats.superseded), (1, 1), "{row}");
            assert_eq!(hub.publish(&newer[0], "event").unwrap().woken, 1, "{row}");
            assert_eq!(whole(assert_ready!(second.poll())), ["event"], "{row}");
            hub.delete(&newer[0]);
            assert_empty(&hub);
            assert_eq!((hub.stats().superseded, hub.stats().dropped), (1, 0), "{row}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_supersedes_nobody_before_it_is_polled() {
    let (hub, c) = (Hub::new(), channels(1));
    let mut older = keyed(&hub, &c, "tab");
    let newer = hub.wait(&c).supersede_by("tab");
    assert!(!older.is_woken());
    drop(newer);
    assert_pending!(older.poll());
    drop(older);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn only_waits_of_the_same_key_end() {
    let keys = ["", "a", "A", "a ", "aa", "\0", "\0a", "a\0", "\n", "c0", "ä", "a\u{308}"];
    for shards in [1, 64] {
        let hub = hub(|hub| hub.shards(shards));
        let c = channels(1);
        let mut waits: Vec<_> = keys.iter().map(|key| keyed(&hub, &c, key)).collect();
        let mut keyless = park(&hub, &c, Since::Now);
        assert!(waits.iter().all(|wait| !wait.is_woken()));
        for (key, wait) in keys.iter().zip(&mut waits) {
            let newer = keyed(&hub, &c, key);
            superseded(assert_ready!(wait.poll(), "{key:?}"));
            *wait = newer;
            assert_eq!(hub.stats().parked, keys.len() + 1, "{key:?}");
        }
        assert!(waits.iter().all(|wait| !wait.is_woken()));
        assert_pending!(keyless.poll());
        drop((waits, keyless));
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn hubs_share_no_keys() {
    let (hub, other, c) = (Hub::new(), Hub::new(), channels(1));
    let mut wait = keyed(&hub, &c, "tab");
    drop(keyed(&other, &c, "tab"));
    assert_pending!(wait.poll());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_a_poll_is_superseded() {
    let (hub, c) = (Hub::new(), channels(2));
    publish(&hub, &c[0], "before");
    let start = hub.cursor();
    let mut older = task::spawn(hub.wait(&c).since(start).supersede_by("tab"));
    assert_pending!(older.poll());
    let mut newer = task::spawn(hub.wait(&c[1..]).since(start).supersede_by("tab"));
    assert_pending!(newer.poll());
    let cursor = superseded(assert_ready!(older.poll()));
    publish(&hub, &c[0], "after");
    publish(&hub, &c[1], "elsewhere");
    assert_eq!(whole(ask(&hub, &c, cursor)), ["after", "elsewhere"]);
    assert_eq!(whole(assert_ready!(newer.poll())), ["elsewhere"]);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_there_wins_over_being_superseded() {
    type Step = fn(&Hub, &Channel);
    const EVENT: Step = |hub, c| publish(hub, c, "event");
    for event_first in [true, false] {
        for place in 0..3 {
            let (hub, c) = (Hub::new(), channels(3));
            let start = hub.cursor();
            let mut older = task::spawn(hub.wait(&c).since(start).supersede_by("tab"));
            assert_pending!(older.poll());
            if event_first {
                EVENT(&hub, &c[place]);
            }
            // From now on: the event, if it has come already, is no news to the newer.
            let mut newer = keyed(&hub, &c, "tab");
            if !event_first {
                EVENT(&hub, &c[place]);
            }
            assert!(older.is_woken());
            assert_eq!(whole(assert_ready!(older.poll())), ["event"], "first: {event_first}");
            assert_eq!(newer.poll().is_ready(), !event_first, "first: {event_first}");
            drop(newer);
            assert_eq!((hub.stats().parked, hub.stats().superseded), (0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_else_befalls_a_superseded_wait_comes_after() {
    type Step = fn(&Hub, &Channel);
    let rows: [(&str, Step, &str); 4] = [
        ("deletion", |hub, c| assert!(hub.delete(c)), "Deleted"),
        ("touch", |hub, c| _ = hub.touch(c), "Touched"),
        ("drain", |hub, _| hub.drain(Duration::ZERO), "Superseded"),
        ("close", |hub, _| hub.close(), "Superseded"),
    ];
    for (row, step, expected) in rows {
        let (hub, c) = (Hub::new(), channels(1));
        let mut older = keyed(&hub, &c, "tab");
        let newer = keyed(&hub, &c, "tab");
        step(&hub, &c[0]);
        let waited = assert_ready!(older.poll());
        assert!(format!("{waited:?}").starts_with(expected), "{row}: {waited:?}");
        drop(newer);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_superseded_wait_outlives_no_hold_and_its_hold_ends_no_other() {
    let (hub, c) = (Hub::new(), channels(2));
    let mut older = task::spawn(hub.wait(&c).hold(SECOND).supersede_by("tab"));
    assert_pending!(older.poll());
    let newer = tokio::spawn(timed(hub.wait(&c).hold(3 * SECOND).supersede_by("tab")));
    settle().await;
    assert!(older.is_woken());
    pass(SECOND).await;
    superseded(assert_ready!(older.poll()));
    let (took, waited) = newer.await.unwrap();
    timed_out(waited);
    assert_eq!(took, 3 * SECOND);
    assert_eq!((hub.stats().superseded, hub.stats().timed_out), (1, 1));
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_no_channel() {
    let (hub, c) = (hub(|hub| hub.max_channels(1)), channels(1));
    let key = channel("key");
    let mut wait = keyed(&hub, &c, key.as_str());
    assert_eq!((hub.stats().channels, hub.channel_stats(&key)), (1, None));
    assert_eq!(hub.touch(&key), 0);
    assert!(!hub.delete(&key));
    assert!(hub.publish(&key, "event").is_err(), "there is room for one channel");
    assert_eq!(refused(assert_ready!(task::spawn(hub.wait([key])).poll())), {
        Refused::Channels { max: 1 }
    });
    assert_pending!(wait.poll());
    drop(wait);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_the_same_name_is_another_thing() {
    let (hub, c) = (Hub::new(), channels(1));
    let key = [channel("key")];
    let mut with_key = keyed(&hub, &c, "key");
    let mut on_channel = park(&hub, &key, Since::Now);
    let mut both = keyed(&hub, &key, "another key");
    assert_eq!(hub.stats().channels, 2);
    assert_eq!(hub.publish(&key[0], "event").unwrap().woken, 2);
    assert_eq!(whole(assert_ready!(on_channel.poll())), ["event"]);
    assert_eq!(whole(assert_ready!(both.poll())), ["event"]);
    assert_pending!(with_key.poll());
    let mut newer = keyed(&hub, &key, "key");
    superseded(assert_ready!(with_key.poll()));
    assert!(hub.delete(&key[0]));
    assert!(matches!(assert_ready!(newer.poll()), Waited::Deleted { .. }));
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn keys_need_no_room_among_the_channels() {
    // Keys of their own for each round: wherever the one permit lies, the channel gets it.
    for shards in [1, 2, 64] {
        let hub =
            hub(|hub| hub.shards(shards).max_channels(1).max_waits(1).max_channels_per_wait(1));
        for round in 0..200 {
            let c = [channel(&format!("c{round}"))];
            let mut wait = task::spawn(hub.wait(&c).supersede_by(format!("key {round}")));
            let answer = wait.poll();
            assert!(answer.is_pending(), "{shards} shards, #{round}: {answer:?}");
            drop(wait);
            assert_empty(&hub);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_keys_on_one_channel_count_as_no_channels() {
    let (hub, c) = (hub(|hub| hub.max_channels(1)), channels(1));
    let waits: Vec<_> = (0..500).map(|n| keyed(&hub, &c, &n.to_string())).collect();
    assert_eq!(held(&hub), (500, 1, 0, 0));
    assert_eq!(hub.publish(&c[0], "event").unwrap().woken, 500);
    drop(waits);
    hub.delete(&c[0]);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_waits_per_channel_is_no_limit_of_a_key() {
    let (hub, c) = (hub(|hub| hub.max_waits_per_channel(1)), channels(2));
    let mut older = keyed(&hub, &c[..1], "tab");
    let newer = keyed(&hub, &c[1..], "tab");
    superseded(assert_ready!(older.poll()));
    drop(newer);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_supersedes_nobody() {
    type Set = fn(HubBuilder) -> HubBuilder;
    let c = channels(3);
    let long = "k".repeat(257);
    let waits = Refused::Waits { max: 1 };
    let each = Refused::WaitsPerChannel { max: 1 };
    let full = Refused::Channels { max: 1 };
    let many = Refused::ChannelsPerWait { max: 2 };
    let rows: [(&str, Set, &[Channel], &str, Refused); 6] = [
        ("waits", |hub| hub.max_waits(1), &c[1..2], "tab", waits),
        ("waits per channel", |hub| hub.max_waits_per_channel(1), &c[..2], "tab", each),
        ("channels", |hub| hub.max_channels(1), &c[..2], "tab", full),
        ("channels per wait", |hub| hub.max_channels_per_wait(2), &c, "tab", many),
        ("no channels", |hub| hub, &[], "tab", Refused::NoChannels),
        ("too long a key", |hub| hub, &c, &long, Refused::Key { max_bytes: 256 }),
    ];
    for shards in [1, 64] {
        for (row, set, polled, key, reason) in rows {
            let hub = set(Hub::builder().shards(shards)).build().unwrap();
            let mut older = keyed(&hub, &c[..1], "tab");
            let before = held(&hub);
            let mut newer = task::spawn(hub.wait(polled).supersede_by(key));
            assert_eq!(refused(assert_ready!(newer.poll(), "{row}")), reason, "{row}");
            assert!(!older.is_woken(), "{row}");
            assert_pending!(older.poll(), "{row}");
            let stats = hub.stats();
            assert_eq!((held(&hub), stats.refused, stats.superseded), (before, 1, 0), "{row}");
            drop((older, newer));
            assert_empty(&hub);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_during_a_drain_supersedes_nobody() {
    let (hub, c) = (hub(|hub| hub.shards(1)), channels(1));
    let mut first = keyed(&hub, &c, "the first to go");
    let mut older = keyed(&hub, &c, "tab");
    hub.drain(10 * SECOND);
    pass(SECOND).await;
    for key in ["the first to go", "tab"] {
        let mut newer = task::spawn(hub.wait(&c).supersede_by(key));
        assert_eq!(refused(assert_ready!(newer.poll())), Refused::Draining);
    }
    assert!(matches!(assert_ready!(first.poll()), Waited::Drained { .. }));
    assert_pending!(older.poll());
    drop(older);
    assert_eq!((hub.stats().superseded, hub.stats().refused), (0, 2));
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_as_long_as_a_name_may_be() {
    let rows = [
        ("the default", None, "k".repeat(256), "k".repeat(257), 256),
        ("a lower limit, in bytes", Some(5), "äö5".into(), "äöü".into(), 5),
        ("the highest", Some(usize::MAX), "k".repeat(4096), "k".repeat(4097), 4096),
    ];
    for (row, limit, fits, long, max_bytes) in rows {
        let hub = hub(|hub| limit.into_iter().fold(hub, HubBuilder::max_channel_name_bytes));
        let c = channels(2);
        let mut older = keyed(&hub, &c, &fits);
        let mut newer = task::spawn(hub.wait(&c).since(Since::Oldest).supersede_by(&long));
        let reason = refused(assert_ready!(newer.poll()));
        assert_eq!(reason, Refused::Key { max_bytes }, "{row}");
        assert!(!reason.is_temporary(), "{row}");
        assert!(reason.to_string().contains(&max_bytes.to_string()), "{row}: {reason}");
        assert_pending!(newer.poll(), "{row}: it has ended");
        assert_eq!(hub.stats().refused, 1, "{row}");
        let newer = keyed(&hub, &c, &fits);
        superseded(assert_ready!(older.poll(), "{row}"));
        drop(newer);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_poll_is_refused_once_whatever_its_key() {
    let (hub, c) = (Hub::new(), channels(1));
    let long = "k".repeat(257);
    let mut none = task::spawn(hub.wait([] as [Channel; 0]).supersede_by(&long));
    assert_eq!(refused(assert_ready!(none.poll())), Refused::NoChannels, "the first reason");
    let mut twice = task::spawn(hub.wait(&c).supersede_by(&long).supersede_by(&long));
    assert_eq!(refused(assert_ready!(twice.poll())), Refused::Key { max_bytes: 256 });
    assert_eq!(hub.stats().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_newer_that_is_answered_at_once_supersedes_too() {
    type Poll = fn(Wait, Cursor, Cursor) -> Wait;
    let rows: [(&str, Poll, &str); 4] = [
        ("an event", |wait, start, _| wait.since(start), "Events"),
        ("all that is held", |wait, _, _| wait.since(Since::Oldest), "Events"),
        ("a gap", |wait, _, foreign| wait.since(foreign), "Events"),
        ("a zero hold", |wait, _, _| wait.hold(Duration::ZERO), "TimedOut"),
    ];
    for shards in [1, 64] {
        for (row, poll, expected) in rows {
            for order in ["the key first", "the key last"] {
                let (hub, c) = (hub(|hub| hub.shards(shards)), channels(2));
                let (start, foreign) = (hub.cursor(), Hub::new().cursor());
                publish(&hub, &c[1], "event");
                let mut older = keyed(&hub, &c[..1], "tab");
                let wait = hub.wait(&c);
                let wait = if order == "the key first" {
                    poll(wait.supersede_by("tab"), start, foreign)
                } else {
                    poll(wait, start, foreign).supersede_by("tab")
                };
                let mut newer = task::spawn(wait);
                let answer = assert_ready!(newer.poll(), "{row}");
                assert!(format!("{answer:?}").starts_with(expected), "{row}: {answer:?}");
                assert!(older.is_woken(), "{row}");
                superseded(assert_ready!(older.poll(), "{row}"));
                assert_eq!((hub.stats().parked, hub.stats().superseded), (0, 1), "{row}");
                hub.delete(&c[1]);
                assert_empty(&hub);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_once_without_an_older_poll_leaves_nothing() {
    let (hub, c) = (Hub::new(), channels(1));
    for _ in 0..100 {
        let mut wait = task::spawn(hub.wait(&c).hold(Duration::ZERO).supersede_by("tab"));
        timed_out(assert_ready!(wait.poll()));
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_newest_that_is_dropped_leaves_nothing_to_the_next() {
    for shards in [1, 64] {
        let (hub, c) = (hub(|hub| hub.shards(shards)), channels(3));
        let mut older = keyed(&hub, &c, "tab");
        drop(keyed(&hub, &c, "tab"));
        superseded(assert_ready!(older.poll()));
        assert_empty(&hub);
        let mut next = keyed(&hub, &c, "tab");
        settle().await;
        assert!(!next.is_woken());
        publish(&hub, &c[0], "event");
        assert_eq!(whole(assert_ready!(next.poll())), ["event"]);
        let stats = hub.stats();
        assert_eq!((stats.parked, stats.superseded, stats.dropped), (0, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_that_is_dropped_is_neither_superseded_nor_left() {
    let (hub, c) = (Hub::new(), channels(2));
    // Dropped before the newer comes, and after.
    drop(keyed(&hub, &c, "tab"));
    let second = keyed(&hub, &c, "tab");
    let mut third = keyed(&hub, &c, "tab");
    drop(second);
    assert_pending!(third.poll());
    drop(third);
    assert_eq!((hub.stats().superseded, hub.stats().dropped), (0, 3));
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn the_last_key_is_the_one_a_wait_has() {
    for (shards, keys) in [(1, ["a", "b"]), (64, ["a", "b"]), (64, ["b", "b"])] {
        let (hub, c) = (hub(|hub| hub.shards(shards)), channels(2));
        let mut older = ["a", "b"].map(|key| keyed(&hub, &c, key));
        let twice = hub.wait(&c).supersede_by(keys[0]).supersede_by(keys[1]);
        let mut newer = task::spawn(twice);
        assert_pending!(newer.poll());
        superseded(assert_ready!(older[1].poll()));
        assert_pending!(older[0].poll());
        assert_pending!(newer.poll());
        // It is not known by the key that it had first.
        let mut again = keyed(&hub, &c, "a");
        superseded(assert_ready!(older[0].poll()));
        assert_pending!(newer.poll());
        assert_pending!(again.poll());
        drop((newer, again));
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_has_no_effect_once_the_wait_was_polled() {
    let (hub, c) = (Hub::new(), channels(1));
    let mut older = keyed(&hub, &c, "tab");
    let mut late = hub.wait(&c);
    let cx = &mut Context::from_waker(Waker::noop());
    assert_pending!(Pin::new(&mut late).poll(cx));
    let mut late = late.supersede_by("tab").supersede_by("k".repeat(257));
    assert_pending!(Pin::new(&mut late).poll(cx));
    assert_pending!(older.poll());
    let newer = keyed(&hub, &c, "tab");
    superseded(assert_ready!(older.poll()));
    publish(&hub, &c[0], "event");
    assert_eq!(whole(assert_ready!(Pin::new(&mut late).poll(cx))), ["event"]);
    let mut late = late.supersede_by("tab");
    assert_pending!(Pin::new(&mut late).poll(cx), "it has ended");
    drop((newer, late));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_in_a_row_leave_the_last() {
    for is_polled in [true, false] {
        for shards in [1, 64] {
            let (hub, c) = (hub(|hub| hub.shards(shards)), channels(7));
            let mut waits = Vec::new();
            for number in 0..100 {
                waits.push(keyed(&hub, &c[number % 7..=number % 7], "tab"));
                if is_polled && number > 0 {
                    superseded(assert_ready!(waits[number - 1].poll()));
                    assert_eq!(held(&hub), (1, 1, 0, 0));
                }
            }
            let last = waits.pop().unwrap();
            assert!(!last.is_woken());
            for mut wait in waits {
                assert!(is_polled || wait.is_woken());
                assert_eq!(wait.poll().is_ready(), !is_polled);
            }
            assert_eq!(held(&hub), (1, 1, 0, 0));
            assert_eq!(hub.publish(&c[99 % 7], "event").unwrap().woken, 1);
            drop(last);
            assert_eq!((hub.stats().parked, hub.stats().superseded), (0, 99));
        }
    }
}

/// A waker that panics, or that polls anew with the same key, from within the call that wakes it.
enum Foreign {
    Bomb,
    Again { hub: Hub, channels: Vec<Channel>, came: Mutex<Vec<Pin<Box<Wait>>>> },
}

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        match &*self {
            Self::Bomb => panic!("a foreign waker panics"),
            Self::Again { hub, channels, came } => {
                let mut again = Box::pin(hub.wait(channels).supersede_by("tab"));
                let cx = &mut Context::from_waker(Waker::noop());
                assert!(again.as_mut().poll(cx).is_pending());
                came.lock().unwrap().push(again);
            }
        }
    }
}

#[test]
fn a_waker_that_panics_when_superseded_harms_nobody() {
    for (row, since) in [("parked", Since::Now), ("answered at once", Since::Oldest)] {
        let (hub, c) = (Hub::new(), channels(3));
        publish(&hub, &c[2], "before");
        let mut older = Box::pin(hub.wait(&c).supersede_by("tab"));
        let bomb = Waker::from(Arc::new(Foreign::Bomb));
        assert_pending!(older.as_mut().poll(&mut Context::from_waker(&bomb)));
        let mut newer = task::spawn(hub.wait(&c).since(since).supersede_by("tab"));
        let answer = newer.poll();
        assert_eq!(answer.is_pending(), since == Since::Now, "{row}");
        let cx = &mut Context::from_waker(Waker::noop());
        superseded(assert_ready!(older.as_mut().poll(cx), "{row}"));
        if answer.is_pending() {
            publish(&hub, &c[1], "event");
            assert!(newer.is_woken());
            assert_eq!(whole(assert_ready!(newer.poll())), ["event"]);
        }
        assert_eq!(hub.stats().parked, 0, "{row}");
    }
}

#[test]
fn a_poll_that_comes_again_from_within_its_waker_is_the_newest() {
    for shards in [1, 64] {
        let (hub, c) = (hub(|hub| hub.shards(shards)), channels(2));
        let again =
            Foreign::Again { hub: hub.clone(), channels: c.clone(), came: Mutex::default() };
        let again = Arc::new(again);
        let mut first = Box::pin(hub.wait(&c).supersede_by("tab"));
        let waker = Waker::from(Arc::clone(&again));
        assert_pending!(first.as_mut().poll(&mut Context::from_waker(&waker)));
        let mut second = task::spawn(hub.wait(&c).supersede_by("tab"));
        _ = second.poll();
        superseded(assert_ready!(second.poll()));
        let cx = &mut Context::from_waker(Waker::noop());
        superseded(assert_ready!(first.as_mut().poll(cx)));
        let Foreign::Again { came, .. } = &*again else { unreachable!() };
        let mut third = came.lock().unwrap().pop().unwrap();
        assert!(came.lock().unwrap().is_empty(), "woken once");
        assert_pending!(third.as_mut().poll(cx));
        drop(third);
        assert_eq!(hub.stats().superseded, 2);
        assert_empty(&hub);
    }
}

#[test]
fn of_polls_that_race_from_many_threads_one_stays() {
    let (hub, c) = (Hub::new(), channels(4));
    let racers: Vec<_> = (0..4)
        .map(|n| {
            let (hub, c) = (hub.clone(), c[n..=n].to_vec());
            std::thread::spawn(move || {
                let poll = |_| {
                    let mut wait = task::spawn(hub.wait(&c).supersede_by("tab"));
                    let ended = wait.poll();
                    assert!(ended.is_pending(), "{ended:?}");
                    wait
                };
                (0..500).map(poll).collect::<Vec<_>>()
            })
        })
        .collect();
    let waits: Vec<_> = racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect();
    let parked: Vec<_> =
        waits.into_iter().filter_map(|mut wait| wait.poll().is_pending().then_some(wait)).collect();
    assert_eq!((parked.len(), hub.stats().parked, hub.stats().superseded), (1, 1, 1_999));
    drop(parked);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_polls_again_before_its_answer_loses_nothing() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let (hub, c) = (hub(|hub| hub.shards([1, 64][seed as usize % 2])), channels(3));
        let (mut cursor, mut told, mut sent, mut ended) = (hub.cursor(), vec![], vec![], 0);
        let mut wait: Option<Parked> = None;
        for step in 0..300 {
            match random.below(3) {
                0 => {
                    sent.push(step.to_string());
                    publish(&hub, &c[random.below(3)], step.to_string());
                }
                1 => {
                    // The connection of the older broke: whatever it is told, nobody hears it.
                    let mut newer = task::spawn(hub.wait(&c).since(cursor).supersede_by("tab"));
                    let answer = newer.poll();
                    if let Some(mut older) = wait.take() {
                        assert!(older.is_woken(), "seed {seed}");
                        ended += usize::from(matches!(
                            assert_ready!(older.poll()),
                            Waited::Superseded { .. }
                        ));
                    }
                    match answer {
                        std::task::Poll::Pending => wait = Some(newer),
                        std::task::Poll::Ready(waited) => {
                            cursor = waited.cursor();
                            told.append(&mut whole(waited));
                        }
                    }
                }
                _ => {
                    let Some(polled) = &mut wait else { continue };
                    let std::task::Poll::Ready(waited) = polled.poll() else { continue };
                    wait = None;
                    cursor = waited.cursor();
                    told.append(&mut whole(waited));
                }
            }
        }
        drop(wait);
        if let Waited::Events(batch) = ask(&hub, &c, cursor) {
            told.append(&mut texts(&batch));
        }
        assert_eq!(told, sent, "seed {seed}");
        assert_eq!(hub.stats().superseded, ended as u64, "seed {seed}");
        assert!(ended > 0 && hub.stats().parked == 0, "seed {seed}");
    }
}
