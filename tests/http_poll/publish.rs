//! Publishing by POST.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::{StreamExt, stream};
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio_test::assert_ready_ok;
use tower::Service;

use super::*;

fn service(hub: &Hub) -> PublishService {
    let route = PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap();
    PublishService::new(hub.clone(), route)
}

async fn send<B: Body>(hub: &Hub, request: Request<B>) -> Answer {
    read(service(hub).oneshot(request).await.unwrap()).await
}

fn post(uri: &str) -> http::request::Builder {
    Request::post(uri)
}

/// What a poll from the beginning is told.
async fn told(hub: &Hub) -> Answer {
    ask_at(&layer(hub), get("/events/c?cursor=oldest&wait=0")).await
}

#[tokio::test(start_paused = true)]
async fn a_publish_says_whom_it_woke_and_where_it_stands() {
    let (hub, c) = (Hub::new(), channel("c"));
    let answer = send(&hub, post("/events/c").body("one".to_owned()).unwrap()).await;
    let one = hub.cursor();
    assert_eq!(answer.shape(), format!(r#"202 application/json {{"cursor":"{one}","woken":0}}"#));
    assert!(answer.extra().is_empty(), "{:?}", answer.headers);

    let mut polls: Vec<_> = (0..3)
        .map(|_| task::spawn(layer(&hub).layer(service_fn(inner)).oneshot(get("/events/c"))))
        .collect();
    polls.iter_mut().for_each(|poll| assert_pending!(poll.poll()));
    let answer = send(&hub, post("/events/c").body("two".to_owned()).unwrap()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["woken"], 3);
    for poll in polls {
        let told = read(poll.await.unwrap()).await;
        assert_eq!((told.text(), told.cursor()), ("two", hub.cursor()));
    }

    let query = format!("/events/c?cursor={one}");
    assert_eq!(ask_at(&layer(&hub), get(&query)).await.text(), "two", "after the first");
    let last = answer.json()["cursor"].as_str().unwrap().to_owned();
    let query = format!("/events/c?wait=0&cursor={last}");
    assert_eq!(ask_at(&layer(&hub), get(&query)).await.shape(), "204 - ", "after the second");
    assert_eq!(hub.channel_stats(&c).unwrap().history_events, 2);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_is_what_a_poll_is_told() {
    let long = format!("text/{}", "x".repeat(250));
    let rows: [(&str, Option<&str>, &[u8], &str); 8] = [
        ("untyped", None, b"x", "application/octet-stream"),
        ("empty", None, b"", "application/octet-stream"),
        ("text", Some("text/plain"), b"{", "text/plain"),
        ("parameters", Some("text/a; b=\"c;d\""), b"x", "text/a; b=\"c;d\""),
        ("JSON", Some("application/json"), b" [1] ", "application/json"),
        ("a suffix", Some("a/b+json"), b"{\"a\":1e308}", "a/b+json"),
        ("binary", Some("image/png"), b"\0\xff\r\n", "image/png"),
        ("a long type", Some(&long), b"x", &long),
    ];
    for (name, kind, payload, told_kind) in rows {
        let hub = Hub::new();
        let mut request = post("/events/c");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let body = http_body_util::Full::new(Bytes::copy_from_slice(payload));
        let answer = send(&hub, request.body(body).unwrap()).await;
        assert_eq!(answer.status, 202, "{name}");
        let told = told(&hub).await;
        assert_eq!((told.status, &*told.body), (200, payload), "{name}");
        assert_eq!(told.header("content-type"), Some(told_kind), "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_what_its_type_says_is_refused_and_changes_nothing() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let long = format!("text/{}", "x".repeat(252));
    let (json, both) = ("application/json", "a/b\u{1}c/d");
    let rows: [(&str, &str, &[u8], &str); 20] = [
        ("no JSON", json, b"{", "body"),
        ("nothing", json, b"", "body"),
        ("more than JSON", json, b"{} {}", "body"),
        ("a byte order mark", json, b"\xef\xbb\xbf{}", "body"),
        ("a lone surrogate", json, b"\"\\ud800\"", "body"),
        ("a lone surrogate in a key", json, b"{\"\\udc00\":1}", "body"),
        ("surrogates the wrong way round", json, b"\"\\ude00\\ud83d\"", "body"),
        ("too large a number", json, b"1e400", "body"),
        ("not a number", json, b"NaN", "body"),
        ("not UTF-8", json, b"\"\xff\"", "body"),
        ("a raw control", json, b"\"\0\"", "body"),
        ("too deep", json, deep.as_bytes(), "body"),
        ("a suffix", "a/b+json; c=d", b"{", "body"),
        ("upper case", "APPLICATION/JSON", b"{", "body"),
        ("no type", "", b"{}", "content-type"),
        ("half a type", "text", b"x", "content-type"),
        ("a list", "text/plain, text/html", b"x", "content-type"),
        ("not ASCII", "text/\u{e9}", b"x", "content-type"),
        ("too long", &long, b"x", "content-type"),
        ("twice", both, b"x", "content-type"),
    ];
    for (name, kinds, payload, field) in rows {
        let hub = Hub::new();
        let mut request = post("/events/c");
        for kind in kinds.split('\u{1}') {
            request = request.header("content-type", kind.as_bytes());
        }
        let body = http_body_util::Full::new(Bytes::copy_from_slice(payload));
        let answer = send(&hub, request.body(body).unwrap()).await;
        assert_eq!(answer.shape(), format!("400 problem {field}"), "{name}");
        assert_eq!((hub.stats().published, hub.stats().channels), (0, 0), "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

/// A body of these chunks that must not be read beyond.
#[tokio::test(start_paused = true)]
async fn an_event_has_no_content_coding() {
    let hub = Hub::new();
    for (codings, status) in [
        (&["identity"][..], 202),
        (&["Identity"], 202),
        (&["gzip"], 415),
        (&["identity", "br"], 415),
        (&["identity, br"], 415),
    ] {
        let request = codings
            .iter()
            .fold(post("/events/c"), |request, coding| request.header("content-encoding", *coding));
        let answer = send(&hub, request.body("x".to_owned()).unwrap()).await;
        assert_eq!(answer.status, status, "{codings:?}");
        assert_eq!(answer.header("accept-encoding"), (status == 415).then_some("identity"));
    }
    assert_eq!(hub.stats().published, 2);
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn an_event_that_no_history_can_hold_is_too_large_and_not_for_later() {
    let most = Event::OVERHEAD_BYTES + Event::MAX_CONTENT_TYPE_BYTES + 1_000;
    let hub = Hub::builder().max_payload_bytes(1_000).total_history_bytes(most).build().unwrap();
    // As base64 it takes a third more, beside itself.
    for (bytes, status) in [(1_000, 413), (540, 413), (500, 202)] {
        let body = http_body_util::Full::new(Bytes::from(vec![0xff; bytes]));
        let answer = send(&hub, post("/events/c").body(body).unwrap()).await;
        assert_eq!(answer.status, status, "{bytes}");
        assert_eq!(answer.headers.get("retry-after"), None);
    }
}

fn strict(chunks: Vec<Bytes>) -> impl Body<Data = Bytes, Error = std::io::Error> {
    let read_on = stream::poll_fn(|_| panic!("the body is read on"));
    StreamBody::new(
        stream::iter(chunks.into_iter().map(|data| Ok(Frame::data(data)))).chain(read_on),
    )
}

fn chunks(sizes: &[usize]) -> Vec<Bytes> {
    sizes.iter().map(|&size| Bytes::from(vec![b'x'; size])).collect()
}

#[tokio::test(start_paused = true)]
async fn a_payload_may_be_as_large_as_the_limit_and_no_larger() {
    let hub = Hub::builder().max_payload_bytes(10).history_events(1).build().unwrap();
    let rows: [(&str, Option<&str>, &[usize], u16); 9] = [
        ("the limit", None, &[10], 202),
        ("the limit in pieces", None, &[4, 0, 4, 2], 202),
        ("the limit announced", Some("10"), &[10], 202),
        ("more than was announced", Some("1"), &[10], 202),
        ("one more, announced", Some("11"), &[], 413),
        ("far more, announced", Some("99999999999999999999"), &[], 413),
        ("one more", None, &[11], 413),
        ("one more in pieces", None, &[4, 4, 3], 413),
        ("one more than was announced", Some("10"), &[10, 1], 413),
    ];
    for (name, length, sizes, status) in rows {
        let mut request = post("/events/c");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let before = hub.stats();
        let answer = if status == 413 {
            send(&hub, request.body(strict(chunks(sizes))).unwrap()).await
        } else {
            let data = chunks(sizes).into_iter().map(|data| Ok::<_, Own>(Frame::data(data)));
            send(&hub, request.body(StreamBody::new(stream::iter(data))).unwrap()).await
        };
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if status == 413 {
            assert_eq!(answer.shape(), "413 problem -", "{name}");
            assert!(answer.text().contains("10"), "{name}: the limit is named");
            assert_eq!(hub.stats(), before, "{name}");
        } else {
            assert_eq!(hub.stats().published, before.published + 1, "{name}");
            assert_eq!(told(&hub).await.body.len(), 10, "{name}");
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

#[derive(Debug)]
struct Own;

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_let_go_with_the_answer() {
    let hub = Hub::builder().max_payload_bytes(10).build().unwrap();
    let token = Arc::new(());
    let kept = token.clone();
    let data = stream::repeat_with(move || {
        let _ = &kept;
        Ok::<_, Own>(Frame::data(Bytes::from_static(b"1234")))
    });
    let body = StreamBody::new(data);
    let mut future = task::spawn(service(&hub).call(post("/events/c").body(body).unwrap()));
    assert_eq!(assert_ready_ok!(future.poll()).status(), 413);
    assert_eq!(Arc::strong_count(&token), 1, "an endless body is dropped, not drained");
    assert_pending!(future.poll());
    assert_eq!((hub.stats().published, hub.stats().parked), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_publishes_nothing() {
    let hub = Hub::new();
    let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(Own)];
    let body = StreamBody::new(stream::iter(frames));
    let answer = send(&hub, post("/events/c").body(body).unwrap()).await;
    assert_eq!(answer.shape(), "400 problem body");

    let polled = AtomicUsize::new(0);
    let first = stream::iter([Ok::<_, Own>(Frame::data(Bytes::from_static(b"half")))]);
    let silence = stream::poll_fn(|_| {
        polled.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    });
    let body = StreamBody::new(first.chain(silence));
    let mut future = Box::pin(service(&hub).call(post("/events/c").body(body).unwrap()));
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    assert_eq!(polled.load(Ordering::Relaxed), 1, "it waits for the rest");
    drop(future);
    assert_eq!((hub.stats().published, hub.stats().channels), (0, 0));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn trailers_say_nothing_about_an_event() {
    let hub = Hub::new();
    let data = |text: &'static str| Ok::<_, Own>(Frame::data(Bytes::from(text)));
    let trailers = HeaderMap::from_iter([(http::header::EXPIRES, "x".parse().unwrap())]);
    let frames = [data("a"), data(""), data("b"), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(stream::iter(frames));
    assert_eq!(send(&hub, post("/events/c").body(body).unwrap()).await.status, 202);
    assert_eq!(told(&hub).await.text(), "ab");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_a_post_to_one_channel_of_the_route() {
    let many = format!("/events/{}", "x".repeat(257));
    let rows = [
        ("path", "POST", "/events/a", 202, "-", None),
        ("encoded", "POST", "/events/%C3%A4%2Fb", 202, "-", None),
        ("query", "POST", "/events?channel=a+b", 202, "-", None),
        ("the query has no cursor or wait", "POST", "/events/a?cursor=x&wait=x", 202, "-", None),
        ("two channels", "POST", "/events?channel=a&channel=b", 400, "channel", None),
        ("no channel", "POST", "/events", 400, "channel", None),
        ("an empty channel", "POST", "/events?channel=", 400, "channel", None),
        ("not UTF-8", "POST", "/events/%FF", 400, "channel", None),
        ("NUL", "POST", "/events/%00", 400, "channel", None),
        ("too long", "POST", many.as_str(), 400, "channel", None),
        ("another path", "POST", "/else", 404, "", None),
        ("no parameter", "POST", "/events/", 404, "", None),
        ("too deep", "POST", "/events/a/b", 404, "", None),
        ("another path and method", "GET", "/else", 404, "", None),
        ("get", "GET", "/events/a", 405, "", Some("POST")),
        ("head", "HEAD", "/events/a", 405, "", Some("POST")),
        ("put", "PUT", "/events?channel=a", 405, "", Some("POST")),
        ("delete", "DELETE", "/events/%00", 405, "", Some("POST")),
    ];
    for (name, method, uri, status, field, allow) in rows {
        let hub = Hub::new();
        let mut request = post(uri).body("x".to_owned()).unwrap();
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = send(&hub, request).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if status == 400 {
            assert_eq!(answer.shape(), format!("400 problem {field}"), "{name}");
        }
        assert_eq!(answer.header("allow"), allow, "{name}");
        assert_eq!(answer.extra().len(), usize::from(allow.is_some()), "{name}");
        assert_eq!(hub.stats().published, u64::from(status == 202), "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_405_names_what_others_answer_on_the_same_paths() {
    let route = PathRoute::new("/events/{channel}").unwrap();
    let publish = PublishService::new(Hub::new(), route);
    for (publish, allow) in [
        (publish.clone(), "POST"),
        (publish.clone().also_allow(Method::GET), "POST, GET"),
        (publish.also_allow(Method::GET).also_allow(Method::DELETE), "POST, GET, DELETE"),
    ] {
        let put = http::Request::put("/events/a").body("x".to_owned()).unwrap();
        let answer = publish.oneshot(put).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["allow"]),
            (405, &allow.parse().unwrap())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_cannot_take_an_event_says_when_to_come_back() {
    let closed = Hub::new();
    closed.close();
    let draining = Hub::new();
    draining.drain(Duration::ZERO);
    let full = Hub::builder().max_payload_bytes(10).total_history_bytes(1_000);
    let rows = [
        ("closed", closed, 503),
        ("channels", Hub::builder().max_channels(0).build().unwrap(), 503),
        ("bytes", full.build().unwrap(), 503),
        ("draining still publishes", draining, 202),
    ];
    for (name, hub, status) in rows {
        if name == "bytes" {
            while hub.publish(&channel("c"), "0123456789").is_ok() {}
        }
        let answer = send(&hub, post("/events/d").body("0123456789".to_owned()).unwrap()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let seconds = answer.header("retry-after").map(|text| text.parse::<u64>().unwrap());
        assert_eq!(seconds.is_some_and(|seconds| seconds > 0), status == 503, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}
