//! What ends a stream, and what is left of it.

use std::{
    future::Ready,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, limit::GlobalConcurrencyLimitLayer};
use tower_longpoll::{
    Hub, LongPollService, PathRoute,
    client::{Backoff, Failure},
};

use super::{script::*, *};

/// The error of an answer, and that nothing comes after it.
async fn last(subscription: Subscription, act: Act) -> ClientError {
    let script = Script::new([act, raw("more", "more")]);
    let mut stream = subscription.over(script.service());
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(stream.next().await.is_none() && stream.next().await.is_none());
    assert_eq!(script.left(), 1, "nothing is asked after the end");
    error
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_stream_and_says_why() {
    let problem = "application/problem+json; charset=utf-8";
    let long = format!("{}é{}", "a".repeat(1023), "b".repeat(1000));
    let rows = [
        (400, problem, r#"{"detail":"malformed cursor"}"#, "malformed cursor"),
        (400, problem, "{", ""),
        (401, "text/plain", " who are you?\n", "who are you?"),
        (403, "text/html", "<html>", ""),
        (404, "text/plain", &long, &long[..1023]),
        (405, "", "", ""),
        (418, problem, r#"{"detail":5}"#, ""),
        (451, problem, r#"{"title":"no"}"#, ""),
    ];
    for (status, content_type, body, expected) in rows {
        let act = Act::Answer(answer(status, &[("content-type", content_type)], body));
        match last(subscription("/e").since("0"), act).await {
            ClientError::Refused { status: told, detail, .. } => {
                assert_eq!((told.as_u16(), detail.as_str()), (status, expected));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut endless = answer(400, &[("content-type", "text/plain")], "no");
    endless.body_mut().0.extend((0..10_000).map(|_| data("no no no no no")));
    let error = last(subscription("/e"), Act::Answer(endless)).await;
    assert!(error.to_string().len() < 2_000, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_channel_ends_the_stream() {
    let gone = Act::Answer(answer(410, &[("longpoll-cursor", "c")], "{}"));
    match last(subscription("/e"), gone).await {
        ClientError::Deleted { cursor, .. } => assert_eq!(cursor.as_deref(), Some("c")),
        other => panic!("{other:?}"),
    }
    match last(subscription("/e").since("0"), status(410)).await {
        ClientError::Deleted { cursor, .. } => assert_eq!(cursor.as_deref(), Some("0")),
        other => panic!("{other:?}"),
    }
    let rows = [
        (vec![], None, "the channel was deleted"),
        (vec![("longpoll-channel", "b%20%C3%BC")], Some("b ü"), "the channel \"b ü\" was deleted"),
        (vec![("longpoll-channel", "%ff")], None, "the channel was deleted"),
        (vec![("longpoll-channel", "")], None, "the channel was deleted"),
    ];
    for (fields, expected, told) in rows {
        let error = last(subscription("/e"), Act::Answer(answer(410, &fields, ""))).await;
        assert_eq!(error.to_string(), told);
        let ClientError::Deleted { channel, cursor: None } = error else { panic!("{error:?}") };
        assert_eq!(channel.as_deref(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    for code in [301, 302, 304, 307, 308] {
        let moved = Act::Answer(answer(code, &[("location", "/there")], ""));
        match last(subscription("/e"), moved).await {
            ClientError::Redirected { status, location, .. } => {
                assert_eq!((status.as_u16(), location.as_deref()), (code, Some("/there")));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_ends_the_stream() {
    let small = || subscription("/e").since("0").max_body_bytes(10);
    let script = Script::new([raw("1", "0123456789")]);
    event(small().over(script.service()).next().await);
    let error = last(small(), raw("1", "0123456789a")).await;
    assert!(matches!(error, ClientError::TooLarge { max_bytes: 10, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_when_it_is_told_to() {
    let plain = Backoff::default().jitter(0);
    for (most, calls) in [(0, 1), (1, 1), (3, 3)] {
        let script = Script::new((0..9).map(|_| Act::Fail));
        let asked = subscription("/e").since("0").backoff(plain).give_up_after(most);
        let mut stream = asked.over(script.service());
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ClientError::GaveUp { last: Failure::Unreachable, .. }), "{error}");
        assert_eq!(script.times().len(), calls);
        assert!(stream.next().await.is_none());
    }
    let script = Script::new([Act::Fail, Act::Fail, raw("1", "x"), Act::Fail, raw("2", "y")]);
    let asked = subscription("/e").since("0").give_up_after(3);
    let mut stream = asked.over(script.service());
    assert_eq!(text(&event(stream.next().await)), "x");
    assert_eq!(text(&event(stream.next().await)), "y", "only failures in a row count");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_none_of_a_request_ends_the_stream() {
    let mut stream = subscription("host:80").over(Script::new([]).service());
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Address), "{error}");
    assert!(stream.next().await.is_none());
}

struct Gone;

impl Service<Request<()>> for Gone {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("gone"))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        panic!("called without being ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_gone_ends_the_stream() {
    let mut stream = subscription("/e").over(Gone);
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::ServiceGone), "{error}");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_service_is_not_called_before_it_is_ready() {
    let script = Script::new([raw("1", "x")]);
    let slot = Arc::new(Semaphore::new(1));
    let taken = Arc::clone(&slot).try_acquire_owned().unwrap();
    let one = GlobalConcurrencyLimitLayer::with_semaphore(slot).layer(script.service());
    let mut stream = task::spawn(subscription("/e").since("0").over(one));
    assert_pending!(stream.poll_next());
    // However long that takes: it is no fault of the server's.
    pass(1_000 * SECOND).await;
    assert_pending!(stream.poll_next());
    assert!(script.times().is_empty());
    drop(taken);
    assert!(stream.is_woken());
    event(stream.next().await);
    assert_eq!(script.times(), [1_000_000]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_drops_its_request() {
    let hub = Hub::new();
    let service = LongPollService::new(hub.clone(), PathRoute::new("/{channel}").unwrap());
    let mut stream = task::spawn(subscription("/c").since(hub.cursor()).over::<_, (), _>(service));
    assert_pending!(stream.poll_next());
    assert_eq!(hub.stats().parked, 1);
    drop(stream);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_stream_is_polled() {
    let script = Script::new([]);
    drop(subscription("/e").over(script.service()));
    assert!(script.times().is_empty());
}
