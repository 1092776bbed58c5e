//! Over what the crate serves: routers, restarts, gaps, deletions and drains.

use axum::Router;
use tokio_test::{assert_pending, task};
use tower::ServiceExt;
use tower_longpoll::{
    Event, Hub, LongPollLayer, PathRoute, Reply,
    client::{Backoff, Failure},
};

use super::*;

pub(super) fn router(hub: &Hub, reply: Reply) -> Router {
    let route = PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap();
    Router::new().layer(LongPollLayer::new(hub.clone(), route).reply(reply).jitter(0))
}

#[tokio::test(start_paused = true)]
async fn every_payload_comes_as_it_was_published() {
    let events = [
        ("text/plain; charset=utf-8", "\"quoted\"\\ \u{0} é".as_bytes()),
        ("text/plain", b"\xff\x00\xfe"),
        ("application/json", br#"{"a":["\u00e9\n",1e2]}"#),
        ("application/json", b"\"text\""),
        ("image/png", b""),
        ("application/octet-stream", b"AAAA"),
    ];
    for reply in [Reply::Raw, Reply::Json] {
        let hub = Hub::new();
        for (kind, payload) in events {
            publish(&hub, &channel("ä/b c%"), Event::typed(payload, kind).unwrap());
        }
        let stored: Vec<_> =
            match hub.wait([channel("ä/b c%")]).since(tower_longpoll::Since::Oldest).await {
                tower_longpoll::Waited::Events(batch) => {
                    batch.iter().map(tower_longpoll::Entry::cursor).collect()
                }
                other => panic!("{other:?}"),
            };
        let asked = subscription("/events").channel_in_path("ä/b c%").since("oldest");
        let mut stream = asked.over::<_, String, _>(router(&hub, reply));
        for ((kind, payload), cursor) in events.into_iter().zip(stored) {
            let event = event(stream.next().await);
            assert_eq!(event.payload(), payload, "{reply:?}");
            assert_eq!((event.content_type(), event.channel()), (Some(kind), "ä/b c%"));
            assert_eq!(event.cursor(), cursor.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn holds_that_run_out_are_not_seen() {
    for reply in [Reply::Raw, Reply::Json] {
        let hub = Hub::new();
        let asked = subscription("/events").channel("c");
        let mut stream = task::spawn(asked.over::<_, String, _>(router(&hub, reply)));
        assert_pending!(stream.poll_next());
        let mut cursor = stream.cursor().unwrap().to_owned();
        for _ in 0..5 {
            publish(&hub, &channel("other"), "noise");
            pass(25 * SECOND).await;
            assert!(stream.is_woken());
            assert_pending!(stream.poll_next());
            assert_ne!(stream.cursor(), Some(cursor.as_str()), "a quiet stream goes on, too");
            cursor = stream.cursor().unwrap().to_owned();
            assert_eq!(hub.stats().parked, 1);
        }
        publish(&hub, &channel("c"), "it");
        assert_eq!(text(&event(stream.next().await)), "it");
        drop(stream);
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_are_gone_are_told_before_those_that_are_left() {
    for reply in [Reply::Raw, Reply::Json] {
        let hub = Hub::builder().history_events(2).build().unwrap();
        let start = hub.cursor();
        for number in 0..5 {
            publish(&hub, &channel("c"), number.to_string());
        }
        let asked = || subscription("/events/c").since(start);
        let mut stream = asked().over::<_, String, _>(router(&hub, reply));
        let told = gap(stream.next().await);
        assert_eq!(told, start.to_string());
        assert_eq!(text(&event(stream.next().await)), "3");
        let stored = stream.cursor().unwrap().to_owned();
        assert_eq!(text(&event(stream.next().await)), "4");

        let mut resumed = asked().since(stored).over::<_, String, _>(router(&hub, reply));
        assert_eq!(text(&event(resumed.next().await)), "4", "{reply:?}: no second gap");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restarted_is_a_gap() {
    for reply in [Reply::Raw, Reply::Json] {
        let (before, after) = (Hub::new(), Hub::new());
        publish(&after, &channel("c"), "new");
        let asked = subscription("/events/c").since(before.cursor());
        let mut stream = asked.over::<_, String, _>(router(&after, reply));
        gap(stream.next().await);
        assert_eq!(text(&event(stream.next().await)), "new");
        publish(&after, &channel("c"), "newer");
        assert_eq!(text(&event(stream.next().await)), "newer");

        let quiet = Hub::new();
        let asked = subscription("/events/c").since(before.cursor());
        let mut stream = task::spawn(asked.over::<_, String, _>(router(&quiet, reply)));
        assert_eq!(gap(stream.next().await), quiet.cursor().to_string());
        assert_pending!(stream.poll_next());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_channel_ends_the_stream_where_it_was() {
    let hub = Hub::new();
    publish(&hub, &channel("c"), "one");
    let asked = subscription("/events/c").since("oldest");
    let mut stream = task::spawn(asked.over::<_, String, _>(router(&hub, Reply::Json)));
    event(stream.next().await);
    assert_pending!(stream.poll_next());
    hub.delete(&channel("c"));
    match stream.next().await {
        Some(Err(ClientError::Deleted { channel, cursor })) => {
            assert_eq!(channel.as_deref(), Some("c"));
            assert_eq!(cursor, Some(hub.cursor().to_string()));
        }
        other => panic!("{other:?}"),
    }
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn after_a_deletion_the_other_channels_go_on_without_loss() {
    for reply in [Reply::Raw, Reply::Json] {
        let hub = Hub::new();
        let mut names = vec!["b c/%", "other"];
        let asked =
            |names: &[&str]| names.iter().fold(subscription("/events"), Subscription::channel);
        let start = asked(&names).since(hub.cursor());
        let mut stream = task::spawn(start.over::<_, String, _>(router(&hub, reply)));
        assert_pending!(stream.poll_next());
        hub.delete(&channel("b c/%"));
        publish(&hub, &channel("other"), "after");
        let error = stream.next().await.unwrap().unwrap_err();
        let ClientError::Deleted { channel: Some(gone), cursor: Some(cursor) } = error else {
            panic!("{error:?}")
        };
        names.retain(|&name| name != gone);
        assert_eq!(names, ["other"]);
        let rest = asked(&names).since(cursor);
        let mut stream = rest.over::<_, String, _>(router(&hub, reply));
        assert_eq!(text(&event(stream.next().await)), "after");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_the_server_cannot_understand_ends_the_stream() {
    let asked = subscription("/events/c").since("no cursor");
    let mut stream = asked.over::<_, String, _>(router(&Hub::new(), Reply::Raw));
    match stream.next().await {
        Some(Err(ClientError::Refused { status, detail })) => {
            assert_eq!((status.as_u16(), detail.as_str()), (400, "malformed cursor"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_and_the_next_server_are_survived_without_loss() {
    let (hub, next) = (Hub::new(), Hub::new());
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&told);
    let current = std::sync::Arc::new(std::sync::Mutex::new(router(&hub, Reply::Json)));
    let place = std::sync::Arc::clone(&current);
    let service = tower::service_fn(move |request: http::Request<String>| {
        let server = place.lock().unwrap().clone();
        server.oneshot(request)
    });
    let asked = subscription("/events/c")
        .since(hub.cursor())
        .backoff(Backoff::default().jitter(0))
        .on_failure(move |failure, pause| log.lock().unwrap().push((failure, pause)));
    let mut stream = task::spawn(Box::pin(asked.over(service)));
    assert_pending!(stream.poll_next());
    hub.drain(Duration::ZERO);
    settle().await;
    assert!(stream.is_woken());
    assert_pending!(stream.poll_next());
    assert_eq!(hub.stats().parked, 0);
    let (failure, pause) = told.lock().unwrap()[0];
    assert_eq!(failure, Failure::Status(http::StatusCode::SERVICE_UNAVAILABLE));
    assert!((2 * SECOND..=4 * SECOND).contains(&pause), "{pause:?}: what the server said");

    // What is published while it drains is kept, and would be found by who asks in time.
    *current.lock().unwrap() = router(&next, Reply::Json);
    publish(&next, &channel("c"), "from the next");
    gap(stream.next().await);
    assert_eq!(text(&event(stream.next().await)), "from the next");
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_wherever_its_service_can() {
    fn movable<T: Send + Unpin>(_: &T) {}
    let hub = Hub::new();
    let stream = subscription("/events/c").over::<_, String, _>(router(&hub, Reply::Raw));
    movable(&stream);
    assert!(format!("{stream:?}").contains("idle"));
    // A body that cannot leave its thread is none of the stream's own.
    let sent = subscription("/events/c");
    let sent = sent.over::<_, std::rc::Rc<()>, String>(tower::service_fn(
        |_: http::Request<std::rc::Rc<()>>| async {
            Ok::<_, ()>(http::Response::new(String::new()))
        },
    ));
    fn send<T: Send>(_: &T) {}
    send(&sent);
}
