//! The feature `metrics`: what is reported is what the hubs say about themselves, under the names
//! that the documentation tells, and without any trust in the recorder.
#![cfg(all(feature = "metrics", not(loom)))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "metrics/agreement.rs"]
mod agreement;
mod common;
#[path = "metrics/foreign.rs"]
mod foreign;
#[path = "metrics/meters.rs"]
mod meters;
#[path = "metrics/names.rs"]
mod names;

use std::time::Duration;

use common::*;
use meters::Meters;
use metrics::set_default_local_recorder as install;
use metrics_util::debugging::DebuggingRecorder;
use tokio_test::assert_ready;
use tower_longpoll::{Hub, Since};

const PARKED: &str = "longpoll_parked_seconds";
const ANSWERED: &str = "longpoll_publish_to_answer_seconds";

#[tokio::test(start_paused = true)]
async fn the_time_parked_is_that_of_every_poll_that_was_parked() {
    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    let (hub, c) = (Hub::new(), channels(2));

    // Answered at once, refused, never polled: not parked.
    publish(&hub, &c[0], "event");
    batch(ask(&hub, &c, Since::Oldest));
    timed_out(ask(&hub, &c, Since::Now));
    drop(hub.wait(&c));
    assert!(meters.values(PARKED).is_empty());

    let mut woken = park(&hub, &c, Since::Now);
    let left = park(&hub, &c[..1], Since::Now);
    let expired = tokio::spawn(hub.wait(&c[1..]).hold(5 * SECOND).into_future());
    pass(2 * SECOND).await;
    drop(left);
    assert_eq!(meters.values(PARKED), [2.0]);
    publish(&hub, &c[0], "event");
    pass(SECOND).await;
    batch(assert_ready!(woken.poll()));
    assert_eq!(meters.values(PARKED), [3.0], "until it is collected");
    drop(woken);
    pass(2 * SECOND).await;
    timed_out(expired.await.unwrap());
    assert_eq!(meters.values(PARKED), [5.0]);
}

#[tokio::test(start_paused = true)]
async fn publish_to_answer_is_from_the_first_event_that_came_while_it_was_parked() {
    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    let (hub, c) = (Hub::new(), channels(2));

    publish(&hub, &c[0], "before");
    pass(SECOND).await;
    // This one was not parked for it.
    batch(ask(&hub, &c, Since::Oldest));

    let mut one = park(&hub, &c[..1], Since::Now);
    let mut two = park(&hub, &c, Since::Now);
    pass(SECOND).await;
    publish(&hub, &c[0], "first");
    pass(3 * MS).await;
    publish(&hub, &c[0], "second");
    pass(Duration::from_micros(250)).await;
    assert_eq!(batch(assert_ready!(one.poll())).len(), 2);
    assert_eq!(batch(assert_ready!(two.poll())).len(), 2);
    assert_eq!(meters.values(ANSWERED), [0.003_25; 2]);

    // Other outcomes are no answers, and a gap without events has no first one.
    let mut gone = park(&hub, &c, Since::Now);
    publish(&hub, &c[0], "gone");
    hub.delete(&c[0]);
    assert!(batch(assert_ready!(gone.poll())).is_empty());
    let mut touched = park(&hub, &c, Since::Now);
    hub.touch(&c[1]);
    assert_ready!(touched.poll());
    assert!(meters.values(ANSWERED).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_in_no_histogram() {
    use axum::{Router, body::Body, http::Request};
    use tower::ServiceExt;
    use tower_longpoll::{LongPollLayer, PathRoute};

    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    let hub = Hub::new();
    let layer = LongPollLayer::new(hub.clone(), PathRoute::new("/{channel}").unwrap()).jitter(0);
    let app = Router::new().layer(layer.damp_by(SECOND, |_| Some("same".to_owned())));
    publish(&hub, &channel("c"), "event");
    // From tasks of the runtime, on the thread of the recorder.
    for _ in 0..30 {
        let poll = Request::get("/c?cursor=oldest&wait=5").body(Body::empty()).unwrap();
        tokio::spawn(app.clone().oneshot(poll)).await.unwrap().unwrap();
    }
    assert_eq!(meters.values(PARKED), [0.0; 0], "answered at once, if late");
    meters.assert_agree(&[&hub]);
    assert_eq!(meters.read("longpoll_waits_total", "events"), 30.0);
    let quiet = Request::get("/quiet?wait=5").body(Body::empty()).unwrap();
    tokio::spawn(app.oneshot(quiet)).await.unwrap().unwrap();
    let [held] = meters.values(PARKED)[..] else { panic!("one poll was parked") };
    assert!((4.9..=5.0).contains(&held), "{held}");
}
