//! The feature `tracing`: a span for each poll, which says how it ended and nothing of what is in it.
#![cfg(all(feature = "tracing", not(loom)))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "tracing/log.rs"]
mod log;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use common::*;
use log::Log;
use tokio_test::{assert_pending, assert_ready, task};
use tower_longpoll::{Channel, Event, Hub, Since};
use tracing::{
    Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

/// The fields of the only span that there was, which is closed.
#[track_caller]
fn only(log: &Log) -> String {
    let spans = log.take_spans();
    let [span] = &spans[..] else { panic!("one span: {spans:?}") };
    assert_eq!((span.name, span.level, span.target), ("longpoll", tracing::Level::INFO, TARGET));
    assert!(span.is_closed && span.entered == 0, "{span:?}");
    span.fields.clone()
}

const TARGET: &str = "tower_longpoll";

#[tokio::test(start_paused = true)]
async fn the_span_of_a_poll_says_how_it_ended() {
    let (log, _installed) = Log::install();
    let (hub, c) = (Hub::new(), channels(3));
    publish(&hub, &c[0], "event");

    batch(ask(&hub, &c, Since::Oldest));
    assert_eq!(only(&log), "channels=3 hold_seconds=0 outcome=events events=1");
    timed_out(hub.wait(&c).hold(2 * SECOND).await);
    assert_eq!(only(&log), "channels=3 hold_seconds=2 outcome=timed_out parked_seconds=2");

    type Ends = (&'static str, fn(&Hub, &Channel));
    let ends: [Ends; 4] = [
        ("events events=1", |hub, c| publish(hub, c, "event")),
        ("deleted", |hub, c| _ = hub.delete(c)),
        ("touched", |hub, c| _ = hub.touch(c)),
        ("drained", |hub, _| hub.drain(Duration::ZERO)),
    ];
    for (outcome, end) in ends {
        let mut wait = park(&hub, &c[..1], Since::Now);
        pass(250 * MS).await;
        end(&hub, &c[0]);
        assert_ready!(wait.poll());
        let fields = format!("channels=1 hold_seconds=25 outcome={outcome} parked_seconds=0.25");
        assert_eq!(only(&log), fields, "closed, though the future is still there");
    }
    ask(&hub, &c, Since::Now);
    assert_eq!(only(&log), "channels=3 hold_seconds=0 outcome=refused reason=draining");
    ask(&hub, &[], Since::Now);
    assert_eq!(only(&log), "hold_seconds=0 outcome=refused reason=no_channels");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_closes_its_span() {
    let (log, _installed) = Log::install();
    let (hub, c) = (Hub::new(), channels(2));
    drop(hub.wait(&c));
    assert!(log.take_spans().is_empty(), "nothing happens before it is polled");
    let wait = park(&hub, &c, Since::Now);
    pass(SECOND).await;
    drop(wait);
    assert_eq!(only(&log), "channels=2 hold_seconds=25 outcome=dropped parked_seconds=1");
    let mut gone = park(&hub, &c, Since::Now);
    drop(hub);
    pass(25 * SECOND).await;
    timed_out(assert_ready!(gone.poll()));
    assert_eq!(only(&log), "channels=2 hold_seconds=25 outcome=timed_out parked_seconds=25");
}

#[tokio::test(start_paused = true)]
async fn the_span_is_entered_while_the_poll_is_looked_at_and_never_between() {
    let (log, _installed) = Log::install();
    let (hub, c) = (Hub::new(), channels(1));
    let request = tracing::info_span!("request");
    let mut wait = request.in_scope(|| park(&hub, &c, Since::Now));
    let entered = || log.spans().pop().map(|span| (span.entered, span.entries, span.is_closed));
    assert_eq!(entered(), Some((0, 1, false)));
    assert!(wait.poll().is_pending());
    assert_eq!(entered(), Some((0, 2, false)));
    publish(&hub, &c[0], "event");
    assert_eq!(entered(), Some((0, 2, false)), "a publish is not part of it");
    assert_ready!(wait.poll());
    assert_eq!(entered(), Some((0, 3, true)));
    drop((wait, request));
    let spans = log.take_spans();
    let names: Vec<_> = spans.iter().map(|span| (span.name, span.parent)).collect();
    assert_eq!(names, [("request", None), ("longpoll", Some("request"))]);
    assert!(spans.iter().all(|span| span.is_closed && span.entered == 0), "{spans:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_a_span_for_each_of_its_waits() {
    let (log, _installed) = Log::install();
    let (hub, c) = (Hub::new(), channels(1));
    let mut events = tokio_test::task::spawn(hub.events(&c, Since::Now));
    assert!(events.poll_next().is_pending());
    pass(25 * SECOND).await;
    assert!(events.poll_next().is_pending());
    publish(&hub, &c[0], "event");
    assert!(events.poll_next().is_ready());
    let outcomes = log.take_spans().into_iter().map(|span| (span.is_closed, span.fields));
    let outcomes: Vec<_> = outcomes.collect();
    assert_eq!(
        outcomes,
        [
            "channels=1 hold_seconds=25 outcome=timed_out parked_seconds=25",
            "channels=1 hold_seconds=25 outcome=events events=1 parked_seconds=0",
        ]
        .map(|fields| (true, fields.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_rare_is_told_at_debug() {
    let (log, _installed) = Log::install();
    let hub = Hub::builder().max_waits(0).max_payload_bytes(1).build().unwrap();
    let c = channels(1);
    assert!(hub.publish(&c[0], "too long").is_err());
    assert_ready!(tokio_test::task::spawn(hub.wait(&c)).poll());
    hub.drain(2 * SECOND);
    hub.close();
    let events = log.take_events();
    assert!(
        events.iter().all(|event| (event.level, event.target) == (tracing::Level::DEBUG, TARGET))
    );
    let events: Vec<_> = events.iter().map(|event| (event.within, &*event.fields)).collect();
    let told = [
        (None, "message=publish refused reason=payload"),
        (Some("longpoll"), "message=poll refused reason=waits"),
        (None, "message=hub drains over_seconds=2"),
        (None, "message=hub closed"),
    ];
    assert_eq!(events, told);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_clients_send_is_told() {
    const SECRET: &str = "bob's inbox";
    let (log, _installed) = Log::install();
    let hub = Hub::builder().max_payload_bytes(100).build().unwrap();
    let secret = channel(SECRET);
    let mut wait = park(&hub, std::slice::from_ref(&secret), Since::Now);
    let mut keyed = tokio_test::task::spawn(hub.wait([&secret]).supersede_by(SECRET));
    assert!(keyed.poll().is_pending());
    hub.publish(&secret, Event::typed(SECRET, format!("text/plain; a={SECRET}")).unwrap()).unwrap();
    assert!(hub.publish(&secret, SECRET.repeat(100)).is_err());
    assert_ready!(wait.poll());
    assert_ready!(keyed.poll());
    hub.delete(&secret);
    hub.close();
    ask(&hub, std::slice::from_ref(&secret), Since::Cursor(hub.cursor()));
    let all = format!("{:?} {:?}", log.take_spans(), log.take_events());
    assert!(all.contains("outcome=events") && all.contains("refused"), "{all}");
    for secret in [SECRET, "bob", &hub.cursor().to_string()] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_over_http_has_one_span_and_pauses_have_none() {
    use axum::{Router, body::Body, http::Request};
    use tower::ServiceExt;
    use tower_longpoll::{LongPollLayer, PathRoute};

    let (log, _installed) = Log::install();
    let hub = Hub::new();
    publish(&hub, &channel("c"), "event");
    let layer = LongPollLayer::new(hub.clone(), PathRoute::new("/{channel}").unwrap()).jitter(0);
    let app = Router::new().layer(layer.damp_by(SECOND, |_| Some("same".to_owned())));
    for _ in 0..2 {
        let poll = Request::get("/c?cursor=oldest&wait=5").body(Body::empty()).unwrap();
        let (took, _) = timed(tokio::spawn(app.clone().oneshot(poll))).await;
        assert!(took == Duration::ZERO || took >= SECOND, "the second one pauses: {took:?}");
    }
    let fields: Vec<_> = log.take_spans().into_iter().map(|span| span.fields).collect();
    let told = |hold| format!("channels=1 hold_seconds={hold} outcome=events events=1");
    assert_eq!(fields, [told(5), told(4)]);
}

/// A subscriber that panics at the next exit from a span once it is told to.
struct Fragile(Arc<AtomicBool>);

impl Subscriber for Fragile {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {
        assert!(!self.0.swap(false, SeqCst), "a subscriber panics");
    }
}

#[test]
fn a_subscriber_that_panics_leaves_no_wait_behind_and_ends_nobody_elses() {
    let panics = Arc::new(AtomicBool::new(false));
    let _installed = tracing::subscriber::set_default(Fragile(panics.clone()));
    let (hub, c) = (Hub::builder().shards(1).build().unwrap(), channels(2));
    let caught = |work: &mut dyn FnMut()| {
        panics.store(true, SeqCst);
        catch_unwind(AssertUnwindSafe(work)).expect_err("the span was left");
    };
    for row in ["parks", "is answered", "is dropped"] {
        let mut wait = task::spawn(hub.wait(&c[..1]));
        if row == "parks" {
            caught(&mut || _ = wait.poll());
        } else {
            assert_pending!(wait.poll());
        }
        if row == "is answered" {
            publish(&hub, &c[0], "event");
            caught(&mut || _ = wait.poll());
            assert_pending!(wait.poll(), "it has returned its outcome, if to nobody");
        }
        // It may have the record that was freed.
        let mut other = task::spawn(hub.wait(&c[1..]));
        assert_pending!(other.poll());
        let mut wait = Some(wait);
        if row == "is dropped" {
            caught(&mut || drop(wait.take()));
        }
        drop(wait);
        assert_eq!(hub.stats().parked, 1, "{row}");
        publish(&hub, &c[1], "event");
        assert!(other.is_woken(), "{row}");
        assert_ready!(other.poll());
        assert_eq!(hub.stats().parked, 0, "{row}");
    }
}
