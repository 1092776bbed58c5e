//! A client that asks the same again and again.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;

const WITHIN: Duration = Duration::from_secs(1);

fn damping(hub: &Hub) -> LongPollLayer<PathRoute> {
    layer(hub).damp_by(WITHIN, client)
}

/// A hub with one event on `a`, and the path of a poll that it answers at once.
fn hot() -> (Hub, String) {
    let hub = Hub::new();
    let uri = format!("/events/a?cursor={}", hub.cursor());
    hub.publish(&channel("a"), "x").unwrap();
    (hub, uri)
}

#[tokio::test(start_paused = true)]
async fn nobody_is_slowed_down_unless_asked_to() {
    let (hub, uri) = hot();
    let rows = [
        ("no option", layer(&hub), "me"),
        ("no time", layer(&hub).damp_by(Duration::ZERO, client), "me"),
        ("no key", damping(&hub), ""),
    ];
    for (name, layer, who) in rows {
        for _ in 0..10 {
            assert_eq!(now(&layer, who, &uri).text, "x", "{name}");
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_poll_is_answered_a_while_after_the_last() {
    for (gap, rest) in [(0, 1_000), (1, 999), (600, 400), (999, 1), (1_000, 0), (5_000, 0)] {
        let (hub, uri) = hot();
        let layer = damping(&hub);
        assert_eq!(now(&layer, "me", &uri).text, "x");
        pass(MS * gap).await;
        let (took, answer) = timed(poll(&layer, "me", &uri)).await;
        assert_eq!((took, answer.status, &*answer.text), (MS * rest, 200, "x"), "after {gap} ms");
        let (took, _) = timed(poll(&layer, "me", &uri)).await;
        assert_eq!(took, WITHIN, "and again, after {gap} ms");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_differs_is_answered_at_once() {
    let (hub, uri) = hot();
    let second = hub.publish(&channel("a"), "y").unwrap();
    hub.publish(&channel("b"), "z").unwrap();
    hub.publish(&channel("a"), "z").unwrap();
    let layer = damping(&hub);
    now(&layer, "me", &uri);
    let rows = [
        ("another client", "you", uri.clone()),
        ("another channel", "me", uri.replace("/a", "/b")),
        ("another cursor", "me", format!("/events/a?cursor={}", second.cursor)),
        ("the oldest", "me", "/events/a?cursor=oldest".into()),
        ("more channels", "me", uri.replace("/a?", "?channel=a&channel=b&")),
    ];
    for (name, who, uri) in rows {
        assert_eq!(now(&layer, who, &uri).status, 200, "{name}");
        assert_pending!(poll(&layer, who, &uri).poll(), "{} again", name);
    }
    assert_eq!(hub.stats().parked, 0);
}

/// A client with the cursor of a server that is gone, or with none of its own, asks in a loop, too.
#[tokio::test(start_paused = true)]
async fn whatever_the_cursor_is_a_loop_is_slowed_down() {
    let foreign = Hub::new().cursor();
    for since in ["oldest".to_owned(), foreign.to_string()] {
        let (hub, _) = hot();
        let layer = damping(&hub);
        let uri = format!("/events/a?cursor={since}");
        assert_eq!(now(&layer, "me", &uri).text, "x");
        let (took, answer) = timed(poll(&layer, "me", &uri)).await;
        assert_eq!((took, &*answer.text), (WITHIN, "x"), "{since}");
        assert_eq!(answer.headers.contains_key("longpoll-gap"), since != "oldest");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_without_a_cursor_is_parked_at_once() {
    let hub = Hub::new();
    let layer = damping(&hub);
    assert_eq!(now(&layer, "me", "/events/a?wait=0").status, 204);
    // An event is answered at once.
    pass(MS * 100).await;
    let mut again = parked(&layer, "me", "/events/a?wait=0");
    assert_eq!(hub.channel_stats(&channel("a")).unwrap().parked, 1);
    hub.publish(&channel("a"), "x").unwrap();
    assert_eq!(assert_ready!(again.poll()).text, "x");
    // Without one, only when the while has passed.
    pass(WITHIN * 5).await;
    assert_eq!(now(&layer, "me", "/events/a?wait=0").status, 204);
    pass(MS * 100).await;
    let (took, answer) = timed(poll(&layer, "me", "/events/a?wait=0")).await;
    assert_eq!((took, answer.status), (MS * 900, 204));
    // A hold that is longer anyway is as long as it is.
    let (took, _) = timed(poll(&layer, "me", "/events/a?wait=7")).await;
    assert_eq!(took, SECOND * 7);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hot_loop_is_as_slow_as_it_is_to_be() {
    let (hub, uri) = hot();
    let foreign = format!("/events/a?cursor={}", Hub::new().cursor());
    for uri in [&uri, "/events/a?cursor=oldest", "/events/quiet?wait=0", &*foreign] {
        let layer = damping(&hub);
        now(&layer, "me", uri);
        let start = Instant::now();
        for _ in 0..100 {
            poll(&layer, "me", uri).await;
        }
        assert_eq!(start.elapsed(), WITHIN * 100, "{uri}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_come_together_do_not_pile_up() {
    let (hub, uri) = hot();
    let layer = damping(&hub);
    now(&layer, "me", &uri);
    pass(MS * 100).await;
    let polls = (0..100).map(|_| timed(poll(&layer, "me", &uri)));
    let answers = join_all(polls).await;
    for (took, answer) in answers {
        assert!(took <= WITHIN && took >= WITHIN - MS * 100, "{took:?}");
        assert_eq!(answer.text, "x");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn what_is_published_meanwhile_is_in_the_answer_once() {
    for json in [true, false] {
        let (hub, uri) = hot();
        let layer = damping(&hub).reply(if json { Reply::Json } else { Reply::Raw });
        let first = now(&layer, "me", &uri);
        let mut damped = parked(&layer, "me", &uri);
        for text in ["y", "z"] {
            hub.publish(&channel("a"), text).unwrap();
            assert_pending!(damped.poll());
        }
        let answer = damped.await;
        let mut got = Vec::new();
        let mut take = |answer: &Answer| {
            if json {
                let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
                let events = json["events"].as_array().unwrap().iter();
                got.extend(events.map(|event| event["data"].as_str().unwrap().to_owned()));
            } else {
                got.push(answer.text.clone());
            }
        };
        assert!(!first.text.is_empty());
        take(&answer);
        let mut since = answer.cursor();
        while since != hub.cursor() {
            let answer = poll(&layer, "me", &format!("/events/a?cursor={since}")).await;
            take(&answer);
            since = answer.cursor();
        }
        assert_eq!(got, ["x", "y", "z"]);
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_shortened_by_the_pause() {
    let hub = Hub::new();
    let layer = damping(&hub);
    for (wait, gap, expected) in [(5, 0, 5_000), (1, 0, 1_000), (5, 300, 5_000), (0, 300, 700)] {
        let since = hub.publish(&channel("other"), "x").unwrap().cursor;
        let uri = |wait: u32| format!("/events/a?wait={wait}&cursor={since}");
        assert_eq!(now(&layer, "me", &uri(0)).status, 204);
        pass(MS * gap).await;
        let (took, answer) = timed(poll(&layer, "me", &uri(wait))).await;
        assert_eq!((took, answer.status), (MS * expected, 204), "{wait} s, {gap} ms later");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn no_pause_counts_as_a_hold_that_ran_out() {
    let (hub, uri) = hot();
    let layer = damping(&hub);
    now(&layer, "me", &uri);
    assert_eq!(poll(&layer, "me", &uri).await.text, "x");
    let stats = hub.stats();
    assert_eq!((stats.timed_out, stats.delivered, stats.parked), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slowed_poll_that_is_dropped_leaves_nothing() {
    let hub = Hub::new();
    let layer = damping(&hub).supersede_by(client);
    let uri = format!("/events/a?wait=0&cursor={}", hub.cursor());
    now(&layer, "me", &uri);
    drop(poll(&layer, "me", &uri));
    let slowed = parked(&layer, "me", &uri);
    assert_eq!(hub.stats().parked, 1);
    drop(slowed);
    assert_empty(&hub);
    pass(WITHIN * 3).await;
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_slowed_poll_hangs_neither_at_a_drain_nor_at_a_limit() {
    type End = fn(&Hub);
    let rows: [(&str, End); 3] = [
        ("drained", |hub| hub.drain(Duration::ZERO)),
        ("drained over a time", |hub| hub.drain(MS * 500)),
        ("closed", Hub::close),
    ];
    for (name, end) in rows {
        let hub = Hub::new();
        let layer = damping(&hub);
        let uri = format!("/events/a?wait=9&cursor={}", hub.cursor());
        drop(parked(&layer, "me", &uri));
        let slowed = parked(&layer, "me", &uri);
        end(&hub);
        let (took, answer) = timed(slowed).await;
        assert!(took <= MS * 500, "{name}: {took:?}");
        assert!([204, 503].contains(&answer.status), "{name}: {answer:?}");
        assert_eq!(answer.cursor(), hub.cursor(), "{name}");
        assert_eq!(hub.stats().parked, 0, "{name}");
    }
    let hub = Hub::builder().max_waits(1).build().unwrap();
    let layer = damping(&hub);
    let uri = format!("/events/a?wait=9&cursor={}", hub.cursor());
    drop(parked(&layer, "me", &uri));
    let other = parked(&layer, "you", "/events/b");
    assert_eq!(now(&layer, "me", &uri).status, 503, "no room to be slowed down in");
    drop(other);
    // Its place is given up and taken again when the pause is over.
    let mut slowed = parked(&layer, "me", &uri);
    assert_eq!(now(&layer, "you", "/events/b").status, 503);
    assert_pending!(slowed.poll());
    assert_eq!(slowed.await.status, 204);
    assert_eq!(hub.stats().parked, 0);
}

/// Else a full hub would be asked in a loop.
#[tokio::test(start_paused = true)]
async fn a_poll_that_cannot_be_slowed_down_is_refused_where_it_is() {
    let hub = Hub::builder().max_waits(1).build().unwrap();
    let (layer, start) = (damping(&hub), hub.cursor());
    hub.publish(&channel("a"), "x").unwrap();
    let uri = format!("/events/a?cursor={start}");
    let other = parked(&layer, "you", "/events/b");
    assert_eq!(now(&layer, "me", &uri).text, "x");
    let refused = now(&layer, "me", &uri);
    assert_eq!((refused.status, refused.cursor()), (503, start));
    assert!(refused.headers.contains_key("retry-after"));
    drop(other);
    assert_eq!(hub.stats().parked, 0);
}

/// A drain lets go who is parked as if their holds had run out, and sends them elsewhere.
#[tokio::test(start_paused = true)]
async fn a_slowed_poll_is_drained_as_every_parked_one_is() {
    let hub = Hub::new();
    let layer = damping(&hub);
    let uri = format!("/events/a?wait=9&cursor={}", hub.cursor());
    drop(parked(&layer, "me", &uri));
    let (mut slowed, mut held) = (parked(&layer, "me", &uri), parked(&layer, "you", &uri));
    assert_eq!(hub.stats().parked, 2);
    hub.drain(Duration::ZERO);
    let (slowed, held) = (assert_ready!(slowed.poll()), assert_ready!(held.poll()));
    assert_eq!((held.status, &held.headers["connection"]), (204, &"close".parse().unwrap()));
    assert_eq!((slowed.status, slowed.headers), (held.status, held.headers));
    assert_eq!((hub.stats().parked, hub.stats().drained, hub.stats().refused), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slowed_poll_ends_no_newer_one_of_its_client() {
    let hub = Hub::new();
    let layer = damping(&hub).supersede_by(client);
    let uri = format!("/events/a?wait=9&cursor={}", hub.cursor());
    drop(parked(&layer, "me", &uri));
    let mut slowed = parked(&layer, "me", &uri);
    pass(MS * 100).await;
    let mut newest = parked(&layer, "me", "/events/b?wait=9");
    pass(WITHIN).await;
    assert_eq!(assert_ready!(slowed.poll(), "the older ends").status, 204);
    assert_pending!(newest.poll(), "the newest wins");
    drop(newest);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_no_channels_is_refused_every_time() {
    let hub = Hub::new();
    for layer in [layer(&hub), damping(&hub)] {
        for _ in 0..3 {
            let answer = poll(&layer, "me", "/events").await;
            assert_eq!(answer.status, 400);
            assert!(answer.text.contains(r#""field":"channel""#), "{}", answer.text);
        }
    }
    assert_eq!(hub.stats().parked, 0);
}
