//! Promise 3: nothing is lost silently, and nobody is told of a loss that was not theirs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "continuity/model.rs"]
mod model;

use std::{task::Poll, time::Duration};

use bytes::Bytes;
use common::*;
use model::*;
use tokio_test::{assert_pending, assert_ready, task};
use tower_longpoll::{Channel, Hub, Since, Waited};

#[tokio::test(start_paused = true)]
async fn an_event_published_between_two_polls_is_in_the_second() {
    let (hub, c) = (Hub::new(), channels(1));
    let cursor = timed_out(hub.wait(&c).hold(SECOND).await);
    hub.publish(&c[0], "between").unwrap();
    let answer = batch(hub.wait(&c).since(cursor).await);
    assert_eq!((texts(&answer), answer.gap()), (vec!["between".to_owned()], false));
    timed_out(ask(&hub, &c, answer.cursor()));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn every_event_comes_once_and_in_order() {
    for seed in 0..20 {
        for (channels, shards) in [(1, 1), (3, 1), (3, 64), (20, 1), (20, 64)] {
            let run = Run { seed, channels, shards, noise: channels / 2, ..ROOMY };
            let (_, gaps) = run.go().await;
            assert_eq!(gaps, 0, "{run:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_evicted_is_told_as_a_gap_and_only_that() {
    let mut gaps = [0; 5];
    for seed in 0..20 {
        for channels in [1, 3, 20] {
            let base = Run { seed, channels, ..ROOMY };
            let rows = [
                ("events", Run { history_events: 3, ..base }),
                ("bytes", Run { history_bytes: 500, ..base }),
                ("age", Run { age: 60 * MS, ..base }),
                ("deletes", Run { deletes: true, ..base }),
                ("all", Run { history_events: 5, age: 90 * MS, deletes: true, ..base }),
            ];
            for ((name, run), gaps) in rows.into_iter().zip(&mut gaps) {
                for shards in [1, 64] {
                    let (received, told) = Run { shards, ..run }.go().await;
                    assert!(received > 0, "{name}: {run:?}");
                    *gaps += told;
                }
            }
        }
    }
    assert!(gaps.iter().all(|&told| told > 0), "every way to lose an event was taken: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn batch_limits_chain_without_loss() {
    for seed in 0..3 {
        for max_batch_events in [1, 3, 100] {
            for max_batch_bytes in [0, 1, 50, 500] {
                for channels in [1, 3] {
                    let run = Run { seed, channels, max_batch_events, max_batch_bytes, ..ROOMY };
                    let (_, gaps) = run.go().await;
                    assert_eq!(gaps, 0, "{run:?}");
                    let evicts = Run { history_events: 4, age: 70 * MS, deletes: true, ..run };
                    evicts.go().await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_yields_what_polls_would() {
    let (hub, c) = (Hub::builder().max_batch_events(3).build().unwrap(), channels(3));
    let start = hub.cursor();
    let mut stream = task::spawn(hub.events(&c, start));
    assert_pending!(stream.poll_next());
    let mut streamed = Vec::new();
    let mut random = Random::new(7);
    for number in 0..500 {
        hub.publish(&c[random.below(3)], number.to_string()).unwrap();
        // Longer than its refresh, at times: a quiet stream does not fall behind.
        pass(MS * [0, 0, 10, 26_000][random.below(4)]).await;
        if random.below(3) == 0 {
            assert!(stream.is_woken());
            while let Poll::Ready(item) = stream.poll_next() {
                streamed.extend(whole(item.unwrap()));
            }
        }
    }
    while let Poll::Ready(item) = stream.poll_next() {
        streamed.extend(whole(item.unwrap()));
    }
    let (mut polled, mut cursor) = (Vec::new(), start);
    while let Waited::Events(batch) = ask(&hub, &c, cursor) {
        assert!(!batch.gap());
        polled.extend(texts(&batch));
        cursor = batch.cursor();
    }
    assert_eq!(streamed, polled);
    assert_eq!(polled, (0..500).map(|number| number.to_string()).collect::<Vec<_>>());
    drop(stream);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_once_with_its_channel_or_hub() {
    for drains in [false, true] {
        let (hub, c) = (Hub::new(), channels(1));
        let mut stream = task::spawn(hub.events(&c, Since::Now));
        assert_pending!(stream.poll_next());
        if drains {
            hub.drain(Duration::ZERO);
        } else {
            assert!(hub.delete(&c[0]));
        }
        assert!(stream.is_woken());
        let last = assert_ready!(stream.poll_next());
        let is_it = matches!(last, Some(Waited::Drained { .. })) == drains
            && matches!(last, Some(Waited::Deleted { .. })) != drains;
        assert!(is_it, "{last:?}");
        assert!(assert_ready!(stream.poll_next()).is_none());
        assert!(assert_ready!(stream.poll_next()).is_none());
        assert_empty(&hub);
    }
}

/// Something that tells when it is dropped.
struct Probe(#[expect(dead_code, reason = "counted")] std::sync::Arc<()>);

impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        b"probe"
    }
}

#[tokio::test(start_paused = true)]
async fn history_ages_out_at_the_exact_instant_with_nobody_polling() {
    for age in [1, 2, 63, 64, 65, 1_000, 4_095, 4_096, 4_097, 3_600_000].map(|age| MS * age) {
        let hub = Hub::builder().history_age(age).build().unwrap();
        pass(7 * MS).await;
        let alive = std::sync::Arc::new(());
        for c in channels(200) {
            hub.publish(&c, Bytes::from_owner(Probe(alive.clone()))).unwrap();
        }
        pass(age - MS).await;
        // Not read off the hub: its statistics do what is due themselves.
        assert_eq!(std::sync::Arc::strong_count(&alive), 201, "{age:?}: early");
        pass(MS).await;
        assert_eq!(std::sync::Arc::strong_count(&alive), 1, "{age:?}: late");
        assert_empty(&hub);
    }
}

/// Lets time go by, but no task run.
fn pass_without_driver(time: Duration) {
    assert!(task::spawn(tokio::time::advance(time)).poll().is_pending(), "it would yield now");
}

#[tokio::test(start_paused = true)]
async fn what_a_hub_says_is_exact_before_its_driver_runs() {
    type Ask = fn(&Hub, &Channel) -> bool;
    let rows: [(&str, Ask); 5] = [
        ("stats", |hub, _| hub.stats().channels > 0 && hub.stats().history_bytes > 0),
        ("channel_stats", |hub, c| hub.channel_stats(c).is_some()),
        ("delete", |hub, c| hub.delete(c)),
        ("poll", |hub, c| {
            let oldest = ask(hub, std::slice::from_ref(c), Since::Oldest);
            matches!(oldest, Waited::Events(batch) if batch.len() == 1)
        }),
        ("publish", |hub, c| {
            hub.publish(c, "next").unwrap();
            hub.channel_stats(c).unwrap().history_events == 2
        }),
    ];
    let mut wrong = Vec::new();
    for (row, is_there) in rows {
        for (late, expected) in [(SECOND - MS, true), (SECOND, false)] {
            let hub = Hub::builder().history_age(SECOND).build().unwrap();
            hub.publish(&channel("c"), "event").unwrap();
            pass_without_driver(late);
            if is_there(&hub, &channel("c")) != expected {
                wrong.push((row, late));
            }
        }
    }
    assert_eq!(wrong, [], "an event that is too old is gone, and its channel with it");
}

/// What becomes of the channels that others use, while a client polls a quiet one.
#[derive(Clone, Copy, Debug)]
enum Others {
    AgeOut,
    DeletedAtOnce,
    DeletedLater,
    Polled,
    All,
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_quiet_channel_is_never_told_of_the_gaps_of_others() {
    use Others::*;
    for others in [AgeOut, DeletedAtOnce, DeletedLater, Polled, All] {
        for (age, shards) in [(10, 1), (10, 64), (3_600_000, 1), (3_600_000, 64)] {
            for hold in [0, 1, 5, 9, 500] {
                let row = format!("{others:?}, age {age}, {shards} shards, hold {hold}");
                let hub = Hub::builder().history_age(MS * age).shards(shards).build().unwrap();
                let (quiet, mut random) = (channels(2), Random::new(1));
                let (mut cursor, mut other) = (hub.cursor(), 0);
                let mut cycle = |count: usize| {
                    for _ in 0..count {
                        other += 1;
                        let name = channel(&format!("other {}", other - random.below(2)));
                        let kind = match others {
                            All => [AgeOut, DeletedAtOnce, DeletedLater, Polled][random.below(4)],
                            one => one,
                        };
                        match kind {
                            DeletedLater => _ = hub.delete(&name),
                            Polled => drop(park(&hub, std::slice::from_ref(&name), Since::Now)),
                            _ => publish(&hub, &name, "noise"),
                        }
                        match kind {
                            DeletedAtOnce => assert!(hub.delete(&name)),
                            DeletedLater => publish(&hub, &name, "noise"),
                            _ => {}
                        }
                    }
                };
                for round in 0..60 {
                    let wait = hub.wait(&quiet).since(cursor).hold(MS * hold);
                    let mut wait = task::spawn(wait);
                    let mut answer = wait.poll();
                    for _ in 0..10 {
                        cycle(4);
                        pass(MS * (hold / 10)).await;
                    }
                    cycle(10);
                    if round % 7 == 3 && hold < 9 {
                        // It leaves while it is parked, and comes back before the age is over.
                        drop(wait);
                        continue;
                    }
                    if answer.is_pending() {
                        pass(MS * (hold % 10)).await;
                        answer = wait.poll();
                    }
                    let Poll::Ready(answer) = answer else { panic!("{row}: it is over") };
                    let told = matches!(answer, Waited::TimedOut { .. });
                    assert!(told, "{row}, round {round}: {answer:?}");
                    cursor = answer.cursor();
                    drop(wait);
                    cycle(10);
                    pass(MS * (round % 3)).await;
                }
                assert_eq!(hub.stats().parked, 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_unseen_events_are_gone_is_told_whenever_it_comes() {
    for (age, shards) in [(10, 1), (10, 64), (3_600_000, 1), (3_600_000, 64)] {
        for deleted in [true, false] {
            for again in ["not", "published", "parked", "deleted twice", "parked and left"] {
                for away in [0, 1, age / 2, age - 1, age, age + 1, 5 * age] {
                    let row = format!("{deleted}, {again}, age {age}, away {away}, {shards}");
                    let hub = Hub::builder().history_age(MS * age).shards(shards).build().unwrap();
                    let c = channels(1);
                    hub.publish(&c[0], "seen").unwrap();
                    let cursor = hub.cursor();
                    hub.publish(&c[0], "unseen").unwrap();
                    let caught_up = hub.cursor();
                    if deleted {
                        assert!(hub.delete(&c[0]));
                    } else {
                        pass(MS * age).await;
                    }
                    let mut parked = None;
                    match again {
                        "published" => publish(&hub, &c[0], "new"),
                        "parked" => parked = Some(park(&hub, &c, caught_up)),
                        "parked and left" => drop(park(&hub, &c, caught_up)),
                        "deleted twice" => {
                            hub.publish(&c[0], "gone").unwrap();
                            hub.delete(&c[0]);
                        }
                        _ => {}
                    }
                    pass(MS * away).await;
                    let answer = batch(ask(&hub, &c, cursor));
                    assert!(answer.gap(), "{row}: untold");
                    let new: &[_] = if again == "published" && away < age { &["new"] } else { &[] };
                    assert_eq!(texts(&answer), new, "{row}");
                    let next = ask(&hub, &c, answer.cursor());
                    assert!(matches!(next, Waited::TimedOut { .. }), "{row}: told again: {next:?}");
                    // Who had seen all of it has missed nothing of it.
                    let sated = ask(&hub, &c, caught_up);
                    let is_gap = matches!(&sated, Waited::Events(batch) if batch.gap());
                    let missed = again == "deleted twice" || again == "published" && away >= age;
                    assert_eq!(is_gap, missed, "{row}: {sated:?}");
                    drop(parked);
                    assert_eq!(hub.stats().parked, 0);
                }
            }
        }
    }
}
