//! A handler's response, held until there is something better to say.
#![cfg(all(not(loom), feature = "axum", feature = "json"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::IntoResponse, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode, header::ETAG, header::SET_COOKIE};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_longpoll::{
    Channel, Event, Hub, LongPollLayer, PathRoute, Reply,
    http::{self as longpoll, CURSOR, Hold},
};

const HOLD: Duration = Duration::from_secs(20);

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn layer(hub: &Hub) -> LongPollLayer<PathRoute> {
    let route = PathRoute::new("/events/{channel}").unwrap();
    LongPollLayer::new(hub.clone(), route).hold(HOLD).jitter(0)
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// A handler's own answer, which wants to be held.
fn own(hold: Hold) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::ACCEPTED)
        .header(SET_COOKIE, "seen=1")
        .header(ETAG, "\"7\"")
        .header("content-type", "text/html")
        .header("cache-control", "private")
        .header("content-digest", "sha-256=:of the own body:")
        .header("content-disposition", "attachment")
        .extension(hold)
        .extension("for who is outside")
        .body(Full::from("own"))
        .unwrap()
}

async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

type Answer = Result<Response<tower_longpoll::http::ResponseBody<Full<Bytes>>>, Infallible>;

/// Starts a request whose handler wants its answer held on `a` since now.
fn held(hub: &Hub) -> task::Spawn<impl Future<Output = Answer> + use<>> {
    let hold = Hold::new([channel("a")]).since(hub.cursor());
    let handler = service_fn(move |_: Request<Body>| {
        let hold = hold.clone();
        async move { Ok::<_, Infallible>(own(hold)) }
    });
    task::spawn(layer(hub).layer(handler).oneshot(request("/inbox")))
}

#[tokio::test(start_paused = true)]
async fn the_handlers_own_answer_goes_out_when_the_hold_runs_out() {
    let (hub, start) = (Hub::new(), Instant::now());
    let response = held(&hub).await.unwrap();
    assert_eq!(start.elapsed(), HOLD);
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let headers = response.headers();
    for (name, value) in [
        ("set-cookie", "seen=1"),
        ("etag", "\"7\""),
        ("content-type", "text/html"),
        ("cache-control", "private"),
        ("vary", "longpoll-cursor, prefer"),
    ] {
        assert_eq!(headers[name], value, "as it is");
    }
    assert_eq!(headers[CURSOR].to_str().unwrap(), hub.cursor().to_string());
    assert!(response.extensions().get::<Hold>().is_none());
    assert_eq!(text(response).await, "own");
    assert_eq!((hub.stats().parked, hub.stats().timed_out), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn no_cache_hands_a_cursor_to_somebody_else() {
    const ADDED: &str = "longpoll-cursor, prefer";
    let (age, origin) = (("cache-control", "max-age=60"), ("vary", "origin"));
    // The response's own fields, and what they are in the end.
    for (fields, cache_control, vary) in [
        (&[][..], "no-store", &[][..]),
        (&[origin], "no-store", &["origin"]),
        (&[age], "max-age=60", &[ADDED]),
        (&[age, origin], "max-age=60", &["origin", ADDED]),
    ] {
        for drains in [false, true] {
            let hub = Hub::new();
            let handler = service_fn(|_: Request<Body>| async {
                let response = fields
                    .iter()
                    .fold(Response::builder(), |own, (name, value)| own.header(*name, *value));
                let hold = Hold::new([channel("a")]);
                Ok::<_, Infallible>(response.extension(hold).body(Full::from("own")).unwrap())
            });
            let mut poll = task::spawn(layer(&hub).layer(handler).oneshot(request("/inbox")));
            assert_pending!(poll.poll());
            if drains {
                hub.drain(Duration::ZERO);
            }
            let response = poll.await.unwrap();
            assert!(response.headers().contains_key(CURSOR));
            assert_eq!(response.headers()["cache-control"], cache_control, "{fields:?}");
            let told: Vec<_> = response.headers().get_all("vary").iter().collect();
            assert_eq!(told, vary, "{fields:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_takes_the_answers_place_and_keeps_what_is_not_about_its_body() {
    let hub = Hub::new();
    let mut poll = held(&hub);
    assert_pending!(poll.poll());
    assert_eq!(hub.stats().parked, 1);
    let sent = hub.publish(&channel("a"), Event::text("news")).unwrap();
    let response = assert_ready!(poll.poll()).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["set-cookie"], "seen=1");
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers[CURSOR].to_str().unwrap(), sent.cursor.to_string());
    for name in ["etag", "content-digest", "content-disposition"] {
        assert!(headers.get(name).is_none(), "{name} of the body that was not sent");
    }
    assert!(response.extensions().is_empty());
    assert_eq!(text(response).await, "news");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_between_the_look_and_the_hold_is_answered_at_once() {
    // The right order takes the cursor first. With the wrong one, the event is missed.
    for (cursor_first, expected) in [(true, "news"), (false, "own")] {
        let (hub, start) = (Hub::new(), Instant::now());
        let publisher = hub.clone();
        let handler = service_fn(move |_: Request<Body>| {
            let hub = publisher.clone();
            async move {
                let before = hub.cursor();
                // Here the handler reads its state, and at once that changes.
                hub.publish(&channel("a"), "news").unwrap();
                let cursor = if cursor_first { before } else { hub.cursor() };
                Ok::<_, Infallible>(own(Hold::new([channel("a")]).since(cursor)))
            }
        });
        let response = layer(&hub).layer(handler).oneshot(request("/inbox")).await.unwrap();
        assert_eq!(text(response).await, expected);
        assert_eq!(start.elapsed(), if cursor_first { Duration::ZERO } else { HOLD });
        assert_eq!(hub.stats().parked, 0);
    }
}

/// A handler's future that keeps what it has until it is dropped, also once it has answered.
struct Keeps(Option<Response<Full<Bytes>>>, Arc<AtomicUsize>);

impl Future for Keeps {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.take().map_or(Poll::Pending, |own| Poll::Ready(Ok(own)))
    }
}

impl Drop for Keeps {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_handler_is_alive_while_its_answer_is_held() {
    let (hub, alive) = (Hub::new(), Arc::new(AtomicUsize::new(0)));
    let counted = alive.clone();
    let handler = service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Keeps(Some(own(Hold::new([channel("a")]))), counted.clone())
    });
    let mut service = layer(&hub).layer(handler);
    let mut poll = task::spawn(service.call(request("/inbox")));
    assert_eq!((alive.load(Ordering::Relaxed), hub.stats().parked), (1, 0), "the handler runs");
    assert_pending!(poll.poll());
    assert_eq!((alive.load(Ordering::Relaxed), hub.stats().parked), (0, 1), "its answer is held");
    drop(poll);
    assert_eq!((hub.stats().parked, hub.stats().dropped), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn every_other_outcome_is_answered_too() {
    type End = fn(&Hub);
    let rows: [(&str, End, StatusCode, bool, bool); 3] = [
        ("deleted", |hub| assert!(hub.delete(&channel("a"))), StatusCode::GONE, false, false),
        ("drained", |hub| hub.drain(Duration::ZERO), StatusCode::ACCEPTED, true, true),
        ("closed", Hub::close, StatusCode::ACCEPTED, true, true),
    ];
    for (row, end, status, is_own, closes) in rows {
        let hub = Hub::new();
        let mut poll = held(&hub);
        assert_pending!(poll.poll());
        end(&hub);
        let response = assert_ready!(poll.poll()).unwrap();
        assert_eq!(response.status(), status, "{row}");
        assert_eq!(response.headers()["set-cookie"], "seen=1", "{row}");
        assert!(response.headers().contains_key(CURSOR), "{row}");
        assert_eq!(response.headers().contains_key("connection"), closes, "{row}");
        assert_eq!(text(response).await == "own", is_own, "{row}");
        assert_eq!(hub.stats().parked, 0, "{row}");
    }
    let hub = Hub::new();
    hub.drain(Duration::ZERO);
    let refused = held(&hub).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["set-cookie"], "seen=1");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_large_or_unknown_is_not_held() {
    let limit = usize::try_from(Hold::MAX_BODY_BYTES).unwrap();
    for (size, is_held) in [(Some(limit), true), (Some(limit + 1), false), (None, false)] {
        let hub = Hub::new();
        let handler = service_fn(move |_: Request<Body>| async move {
            let body = match size {
                Some(size) => Body::from(vec![0; size]),
                None => {
                    Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>())
                }
            };
            let mut response = Response::new(body);
            response.extensions_mut().insert(Hold::new([channel("a")]));
            Ok::<_, Infallible>(response)
        });
        let mut poll = task::spawn(layer(&hub).layer(handler).oneshot(request("/inbox")));
        assert_eq!(poll.poll().is_pending(), is_held, "{size:?}");
        assert_eq!(hub.stats().parked, usize::from(is_held), "{size:?}");
        drop(poll);
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_compressed_body_of_unknown_length_is_held_if_it_is_there_at_once() {
    let limit = usize::try_from(Hold::MAX_BODY_BYTES).unwrap();
    // As a layer that compresses makes them: how many pieces, of how many bytes, and whether it ends.
    for (pieces, bytes, ends, is_held) in [
        (0, 0, true, true),
        (2, 10, true, true),
        (2, limit / 2, true, true),
        (2, limit / 2 + 1, true, false),
        (2, 10, false, false),
    ] {
        let hub = Hub::new();
        let handler = service_fn(move |_: Request<Body>| async move {
            let piece = Ok::<_, Infallible>(Bytes::from("x".repeat(bytes)));
            let pieces = stream::iter(vec![piece; pieces]);
            let rest = if ends { stream::empty().boxed() } else { stream::pending().boxed() };
            let mut response = Response::new(Body::from_stream(pieces.chain(rest)));
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            response.extensions_mut().insert(Hold::new([channel("a")]));
            Ok::<_, Infallible>(response)
        });
        let mut poll = task::spawn(layer(&hub).layer(handler).oneshot(request("/inbox")));
        let row = (pieces, bytes, ends);
        if is_held {
            assert_pending!(poll.poll(), "{row:?}");
        }
        assert_eq!(hub.stats().parked, usize::from(is_held), "{row:?}");
        // Nothing of it is lost, whether it was held or not.
        let mut body = poll.await.unwrap().into_body();
        let mut read = 0;
        while read < pieces * bytes {
            read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        assert_eq!(read, pieces * bytes, "{row:?}");
        assert_eq!(body.is_end_stream(), ends && is_held, "{row:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_has_its_own_length_and_reply_within_the_layers_limits() {
    let second = Duration::from_secs(1);
    for (asked, granted) in [(3 * second, 3 * second), (600 * second, 60 * second)] {
        let (hub, start) = (Hub::new(), Instant::now());
        let hold = Hold::new([channel("a"), channel("b")]).hold(asked).reply(Reply::Json);
        let handler = service_fn(move |_: Request<Body>| {
            let hold = hold.clone();
            async move { Ok::<_, Infallible>(own(hold)) }
        });
        let mut service = layer(&hub).layer(handler);
        drop(service.call(request("/inbox")).await.unwrap());
        assert_eq!(start.elapsed(), granted);
        let mut poll = task::spawn(service.call(request("/inbox")));
        assert_pending!(poll.poll());
        for name in ["b", "a"] {
            hub.publish(&channel(name), name.to_owned()).unwrap();
        }
        let json = text(assert_ready!(poll.poll()).unwrap()).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["events"][0]["data"], &json["events"][1]["data"]),
            (&"b".into(), &"a".into())
        );
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_client_asks_for_goes_before_what_the_handler_says() {
    let (hub, second) = (Hub::new(), Duration::from_secs(1));
    let old = hub.cursor();
    hub.publish(&channel("a"), "news").unwrap();
    let own_hold = move |hub: &Hub| Hold::new([channel("a")]).since(hub.cursor()).hold(9 * second);
    for (query, prefer, took, applied) in [
        ("", None, 9 * second, None),
        ("?wait=3", None, 3 * second, None),
        ("", Some("wait=4"), 4 * second, Some("wait=4")),
        ("", Some("wait=99"), 60 * second, Some("wait=60")),
        (&format!("?cursor={old}"), None, Duration::ZERO, None),
        (&format!("?cursor={old}"), Some("wait=4"), Duration::ZERO, Some("wait=4")),
    ] {
        let (asked, start) = (hub.clone(), Instant::now());
        let handler = service_fn(move |request: Request<Body>| {
            let poll = longpoll::Poll::read(&request.into_parts().0).unwrap();
            let hold = own_hold(&asked).poll(&poll);
            async move { Ok::<_, Infallible>(own(hold)) }
        });
        let mut request = request(&format!("/inbox{query}"));
        if let Some(prefer) = prefer {
            request.headers_mut().insert("prefer", prefer.parse().unwrap());
        }
        let response = layer(&hub).layer(handler).oneshot(request).await.unwrap();
        assert_eq!(start.elapsed(), took, "{query} {prefer:?}");
        let acknowledged = response.headers().get("preference-applied");
        assert_eq!(acknowledged.map(|value| value.to_str().unwrap()), applied, "{query}");
        assert_eq!(text(response).await == "news", took.is_zero(), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_wait_is_not_held() {
    for (method, version, length, status) in [
        ("GET", http::Version::HTTP_11, None, None),
        ("HEAD", http::Version::HTTP_11, None, Some(StatusCode::ACCEPTED)),
        ("GET", http::Version::HTTP_11, Some("0"), None),
        ("GET", http::Version::HTTP_11, Some("10"), Some(StatusCode::BAD_REQUEST)),
        ("GET", http::Version::HTTP_2, Some("10"), Some(StatusCode::BAD_REQUEST)),
        ("POST", http::Version::HTTP_11, Some("10"), None),
    ] {
        let hub = Hub::new();
        let handler = service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(own(Hold::new([channel("a")])))
        });
        let mut request = request("/inbox");
        *request.method_mut() = method.parse().unwrap();
        *request.version_mut() = version;
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let mut poll = task::spawn(layer(&hub).layer(handler).oneshot(request));
        let Some(status) = status else {
            assert_pending!(poll.poll(), "{method} {length:?}");
            continue;
        };
        let response = assert_ready!(poll.poll(), "{method} {length:?}").unwrap();
        assert_eq!(response.status(), status, "{method} {length:?}");
        assert_eq!(response.headers()["set-cookie"], "seen=1", "what the handler says is kept");
        let is_refused = status == StatusCode::BAD_REQUEST;
        assert_eq!(response.headers().contains_key(CURSOR), is_refused, "where it is");
        assert_eq!(hub.stats().parked, 0);
        let text = text(response).await;
        assert!(status != StatusCode::BAD_REQUEST || text.contains(r#""field":"body""#), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_axum_handler_decides_in_three_lines() {
    async fn inbox(
        State(_): State<Hub>,
        poll: longpoll::Poll,
        request: Request<Body>,
    ) -> impl IntoResponse {
        if !request.headers().contains_key("authorization") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        (Hold::new([&channel("a")]).poll(&poll), "nothing yet").into_response()
    }
    let hub = Hub::new();
    let app = Router::new()
        .route("/inbox", get(inbox))
        .route("/quiet", get(|| async { Hold::new([channel("a")]) }))
        .layer(layer(&hub))
        .with_state(hub.clone());
    let known = |path: &str| {
        let request = Request::get(path).header("authorization", "Bearer me");
        request.body(Body::empty()).unwrap()
    };

    let refused = app.clone().oneshot(request("/inbox")).await.unwrap();
    assert_eq!((refused.status(), hub.stats().parked), (StatusCode::UNAUTHORIZED, 0));

    let malformed = app.clone().oneshot(known("/inbox?cursor=nonsense")).await.unwrap();
    assert_eq!(malformed.status(), StatusCode::BAD_REQUEST);
    assert_eq!(malformed.headers()["content-type"], "application/problem+json");

    let start = Instant::now();
    let quiet = app.clone().oneshot(known("/inbox?wait=7")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    assert_eq!(text(quiet).await, "nothing yet");

    hub.publish(&channel("a"), "news").unwrap();
    let news = app.clone().oneshot(known("/inbox?cursor=oldest")).await.unwrap();
    assert_eq!(text(news).await, "news");

    let bare = app.oneshot(request("/quiet")).await.unwrap();
    assert_eq!(bare.status(), StatusCode::NO_CONTENT);
    assert_eq!(hub.stats().parked, 0);
}
