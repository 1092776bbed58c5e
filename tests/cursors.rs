//! Where a poll starts: absent, oldest, a position of this hub, or one that it cannot know.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::*;
use tokio_test::{assert_pending, assert_ready, task};
use tower_longpoll::{Cursor, Entry, Hub, Since, Waited};

/// The epoch of a cursor, and its number, by the text form as documented.
fn parts(cursor: Cursor) -> (Vec<u8>, u64) {
    let text = cursor.to_string();
    let raw = URL_SAFE_NO_PAD.decode(text.strip_prefix('1').unwrap()).unwrap();
    let number = raw[8..].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    (raw[..8].to_vec(), number)
}

fn text(epoch: &[u8], number: &[u8]) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode([epoch, number].concat()))
}

/// A position of the same hub at another number.
fn at(cursor: Cursor, number: u64) -> Cursor {
    let bytes = number.to_be_bytes();
    let skipped = number.leading_zeros() as usize / 8;
    text(&parts(cursor).0, &bytes[skipped..]).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_cursor_means_from_now() {
    let (hub, c) = (Hub::new(), channels(2));
    publish(&hub, &c[0], "before");
    assert_eq!(timed_out(ask(&hub, &c, None)), hub.cursor());
    let made_before = hub.wait(&c);
    publish(&hub, &c[0], "before it was first polled");
    let mut wait = task::spawn(made_before);
    assert_pending!(wait.poll());
    publish(&hub, &c[1], "after");
    assert_eq!(whole(assert_ready!(wait.poll())), ["after"]);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn oldest_means_all_that_is_held_and_is_never_a_gap() {
    let hub = Hub::builder().history_events(2).history_age(SECOND).build().unwrap();
    let c = channels(2);
    timed_out(ask(&hub, &c, Since::Oldest));
    for number in 0..5 {
        publish(&hub, &c[0], number.to_string());
    }
    publish(&hub, &c[1], "5");
    assert_eq!(whole(ask(&hub, &c, Since::Oldest)), ["3", "4", "5"]);
    hub.delete(&c[0]);
    assert_eq!(whole(ask(&hub, &c, Since::Oldest)), ["5"]);
    pass(SECOND).await;
    timed_out(ask(&hub, &c, Since::Oldest));
    // A client that starts with the oldest and is then left behind is told, like any other.
    let cursor = timed_out(hub.wait(&c).since(Since::Oldest).hold(SECOND).await);
    (0..3).for_each(|number| publish(&hub, &c[0], number.to_string()));
    assert!(batch(ask(&hub, &c, cursor)).gap());
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn oldest_in_batches_goes_on_without_a_gap() {
    let (hub, c) = (Hub::builder().history_events(5).build().unwrap(), channels(2));
    (0..12).for_each(|number| publish(&hub, &c[number % 2], number.to_string()));
    let (mut since, mut told) = (Since::Oldest, Vec::new());
    while let Waited::Events(batch) = hub.wait(&c).since(since).max_events(3).hold(MS).await {
        assert!(!batch.gap() && batch.len() <= 3);
        since = batch.cursor().into();
        told.extend(texts(&batch));
    }
    assert_eq!(told, ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_the_hub_cannot_know_is_a_gap_at_once() {
    let (hub, other, c) = (Hub::new(), Hub::new(), channels(2));
    (0..3).for_each(|number| publish(&hub, &c[0], number.to_string()));
    (0..9).for_each(|number| publish(&other, &c[0], number.to_string()));
    let here = hub.cursor();
    let zero: Cursor = text(&[0, 0, 0, 0, 0, 0, 0, 1], &[]).parse().unwrap();
    let rows = [
        ("of another hub", other.cursor()),
        ("of another hub at the same number", at(other.cursor(), 3)),
        ("of another hub at its start", at(other.cursor(), 0)),
        ("one ahead", at(here, 4)),
        ("far ahead", at(here, 1 << 40)),
        ("as far as can be", at(here, u64::MAX)),
        ("of a small epoch", zero),
    ];
    for (row, cursor) in rows {
        for polled in [&c[..1], &c[1..], &c] {
            let answer = batch(hub.wait(polled).since(cursor).await);
            assert!(answer.gap(), "{row}: told");
            let all: &[_] = if polled[0] == c[0] { &["0", "1", "2"] } else { &[] };
            assert_eq!(texts(&answer), all, "{row}");
            assert_eq!(answer.cursor(), here, "{row}");
            timed_out(ask(&hub, polled, answer.cursor()));
        }
    }
    assert_eq!((hub.stats().parked, hub.stats().gaps), (0, 21));
}

#[tokio::test(start_paused = true)]
async fn a_hub_without_events_answers_foreign_positions_too() {
    let (hub, c) = (Hub::new(), channels(1));
    for cursor in [Hub::new().cursor(), at(hub.cursor(), 1)] {
        let answer = batch(hub.wait(&c).since(cursor).await);
        assert!(answer.gap() && answer.is_empty());
        assert_eq!(answer.cursor(), hub.cursor());
    }
    timed_out(ask(&hub, &c, hub.cursor()));
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_position_in_the_past_that_nobody_was_given_is_as_good_as_any() {
    let (hub, c) = (Hub::new(), channels(2));
    (0..4).for_each(|number| publish(&hub, &c[number % 2], number.to_string()));
    for number in 0..=4 {
        let rest: Vec<_> = (number..4).map(|number| number.to_string()).collect();
        match ask(&hub, &c, at(hub.cursor(), number)) {
            Waited::Events(batch) => assert_eq!((texts(&batch), batch.gap()), (rest, false)),
            other => assert_eq!((timed_out(other), number), (hub.cursor(), 4)),
        }
    }
}

#[test]
fn malformed_texts_are_refused() {
    let good = {
        let hub = Hub::new();
        publish(&hub, &channel("c"), "event");
        hub.cursor()
    };
    let (epoch, number) = parts(good);
    assert_eq!(number, 1);
    assert_eq!(text(&epoch, &[1]), good.to_string());
    let good = good.to_string();
    // The last character of this one has bits that say nothing: "A" is the one way to write them.
    let strict = text(&epoch, &[1, 0]);
    let loose = format!("{}B", strict.strip_suffix('A').unwrap());
    let long = "A".repeat(100_000);
    let rows = [
        ("empty", String::new()),
        ("the version alone", "1".into()),
        ("another version", format!("2{}", &good[1..])),
        ("no version", good[1..].into()),
        ("a space before", format!(" {good}")),
        ("a space after", format!("{good} ")),
        ("padding", format!("{good}=")),
        ("the standard alphabet", format!("1{}", "+/".repeat(6))),
        ("cut short", good[..good.len() - 3].into()),
        ("twice", format!("{good}{good}")),
        ("an epoch of zero", text(&[0; 8], &[1])),
        ("a leading zero", text(&epoch, &[0, 1])),
        ("a zero", text(&epoch, &[0])),
        ("too large a number", text(&epoch, &[1; 9])),
        ("bits that say nothing", loose),
        ("a control character", format!("{}\0", &good[..good.len() - 1])),
        ("not ASCII", format!("{}é", &good[..good.len() - 1])),
        ("a sign", "1-1".into()),
        ("endless", format!("1{long}")),
    ];
    for (row, text) in rows {
        assert!(text.parse::<Cursor>().is_err(), "{row}");
    }
}

#[test]
fn a_text_form_is_short_and_safe_and_comes_back() {
    let hub = Hub::new();
    for number in [0, 1, 255, 256, 1 << 40, u64::MAX] {
        let cursor = at(hub.cursor(), number);
        let text = cursor.to_string();
        assert!(text.len() <= 23, "{text}");
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(text.parse(), Ok(cursor));
        assert_eq!(parts(cursor).1, number);
    }
}

#[test]
fn two_hubs_never_share_a_position() {
    let mut epochs: Vec<_> = (0..200).map(|_| parts(Hub::new().cursor()).0).collect();
    epochs.sort();
    epochs.dedup();
    assert_eq!(epochs.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn one_cursor_serves_any_set_of_channels() {
    let (hub, c) = (Hub::new(), channels(4));
    let start = hub.cursor();
    publish(&hub, &c[0], "0");
    publish(&hub, &c[1], "1");
    let answer = ask(&hub, &c[..2], start);
    let cursor = answer.cursor();
    assert_eq!(whole(answer), ["0", "1"]);
    publish(&hub, &c[2], "2");
    publish(&hub, &c[0], "3");
    publish(&hub, &c[3], "4");
    // A cursor of two channels, used for one of them, for others, and for more.
    let rows: [(&[usize], &[&str]); 5] = [
        (&[0], &["3"]),
        (&[1], &[]),
        (&[2], &["2"]),
        (&[3, 1], &["4"]),
        (&[3, 2, 1, 0], &["2", "3", "4"]),
    ];
    for (polled, expected) in rows {
        let polled: Vec<_> = polled.iter().map(|&place| c[place].clone()).collect();
        let answer = ask(&hub, &polled, cursor);
        assert_eq!(answer.cursor(), hub.cursor());
        match answer {
            Waited::Events(batch) => {
                assert_eq!((texts(&batch), batch.gap()), (to(expected), false));
            }
            other => assert!(expected.is_empty() && timed_out(other) == hub.cursor()),
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

fn to(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn the_cursor_of_an_entry_is_the_place_behind_it() {
    let (hub, c) = (Hub::new(), channels(3));
    let start = hub.cursor();
    let published: Vec<_> =
        (0..30).map(|n| hub.publish(&c[n % 3], n.to_string()).unwrap().cursor).collect();
    let all = batch(ask(&hub, &c, start));
    assert_eq!(all.iter().map(Entry::cursor).collect::<Vec<_>>(), published);
    for (place, entry) in all.iter().enumerate() {
        match ask(&hub, &c, entry.cursor()) {
            Waited::Events(rest) => assert_eq!(texts(&rest), texts(&all)[place + 1..]),
            other => assert_eq!((place, timed_out(other)), (29, hub.cursor())),
        }
    }
}
