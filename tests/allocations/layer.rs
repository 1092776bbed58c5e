//! What the layer adds, with requests as a server makes them.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_longpoll::{Event, Hub, LongPollLayer, PathRoute, Reply};

use super::{COUNTED, WARM, allocations, run};
use crate::common::*;

type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// Answers without an allocation.
fn inner(_: Request<()>) -> Answer {
    ready(Ok(Response::new(Full::new(Bytes::from_static(b"inner")))))
}

fn layer(hub: &Hub) -> LongPollLayer<PathRoute> {
    LongPollLayer::new(hub.clone(), PathRoute::new("/events/{channel}").unwrap())
}

fn request(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

/// How often a request and its response allocate, the service's own work included.
fn passing<S>(service: S, request: Request<()>) -> u64
where
    S: Service<Request<()>, Error = Infallible>,
{
    let mut future = pin!(service.oneshot(request));
    let mut cx = Context::from_waker(Waker::noop());
    allocations(|| assert!(future.as_mut().poll(&mut cx).is_ready())).0
}

#[test]
fn a_request_that_passes_allocates_no_more_for_the_layer() {
    run(async {
        let hub = Hub::new();
        let layered = layer(&hub).layer(service_fn(inner));
        for uri in ["/", "/events/", "/other/path?wait=20"] {
            let without = passing(service_fn(inner), request(uri));
            let with = passing(layered.clone(), request(uri));
            assert_eq!(with, without, "{uri}");
        }
    });
}

/// The most allocations of each step.
#[derive(Clone, Copy, Default)]
struct Polled {
    park: u64,
    /// The answer of an event's first receiver, which also makes what is made once for the event
    /// and shared by all who receive it.
    first: u64,
    /// The answer of each other receiver.
    other: u64,
    /// Reading an answer.
    body: u64,
}

/// Polls `uri`, in which `@` stands for the cursor, two at a time.
fn poll(reply: Reply, uri: &str, event: fn() -> Event) -> Polled {
    run(async {
        let hub = Hub::builder().history_events(4).build().unwrap();
        let service = layer(&hub).reply(reply).layer(service_fn(inner));
        let channel = channel("news");
        let mut cx = Context::from_waker(Waker::noop());
        let mut most = Polled::default();
        for round in 0..WARM + COUNTED {
            let mut polled = [Polled::default(); 2];
            let mut parked = [(); 2].map(|()| {
                let request = request(&uri.replace('@', &hub.cursor().to_string()));
                Box::pin(service.clone().oneshot(request))
            });
            for (poll, counts) in parked.iter_mut().zip(&mut polled) {
                let (park, is_pending) = allocations(|| poll.as_mut().poll(&mut cx).is_pending());
                assert!(is_pending);
                counts.park = park;
            }
            publish(&hub, &channel, event());
            for (poll, counts) in parked.iter_mut().zip(&mut polled) {
                let (answer, response) = allocations(|| poll.as_mut().poll(&mut cx));
                let Poll::Ready(Ok(response)) = response else { panic!("it was woken") };
                counts.first = answer;
                let mut body = pin!(response.into_body());
                let mut read =
                    || while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut cx) {};
                counts.body = allocations(&mut read).0;
            }
            let [one, two] = polled;
            if round >= WARM {
                most.park = most.park.max(one.park).max(two.park);
                most.first = most.first.max(one.first);
                most.other = most.other.max(two.first);
                most.body = most.body.max(one.body).max(two.body);
            }
        }
        assert_eq!(hub.stats().parked, 0, "nothing is left behind");
        most
    })
}

const PARKED: u64 = 3;
/// With the body, except where that is put together for it.
const ANSWERED: u64 = 3;

/// `once` is how many are made for the event and not for its receiver, whoever comes first.
#[track_caller]
fn assert_few(what: &str, once: u64, polled: Polled) {
    let Polled { park, first, other, body } = polled;
    println!("{what}: parking {park}, answering the first {first}, others {other}, a body {body}");
    assert!(park <= PARKED, "{what}: parking allocates {park} times");
    assert!(other <= ANSWERED, "{what}: answering allocates {other} times");
    assert!(first <= ANSWERED + once, "{what}: answering the first allocates {first} times");
}

/// The reference count of a payload: `Bytes` makes it for the first who shares what had one owner.
const SHARED: u64 = 1;

/// What stands around the payload in JSON: a record, and the text before the payload.
#[cfg(feature = "json")]
const ENCODED: u64 = 2;

#[test]
fn a_raw_poll_allocates_three_times_to_park_and_three_to_be_answered() {
    let polled = poll(Reply::Raw, "/events/news", || Event::text("event"));
    assert_few("raw", SHARED, polled);
    assert_eq!(polled.body, 0, "the payload is shared");
}

#[test]
fn a_payload_that_is_shared_already_allocates_no_more_for_the_first() {
    let polled = poll(Reply::Raw, "/events/news", || Event::new("event"));
    assert_few("a static payload", 0, polled);
}

#[test]
fn a_content_type_allocates_no_more() {
    let event = || Event::typed("event", String::from("text/markdown; charset=utf-8")).unwrap();
    assert_few("typed", 0, poll(Reply::Raw, "/events/news", event));
}

#[test]
fn a_cursor_and_a_hold_allocate_no_more() {
    let uri = "/events/news?cursor=@&wait=20";
    assert_few("with a query", SHARED, poll(Reply::Raw, uri, || Event::text("event")));
}

#[test]
fn a_large_payload_allocates_no_more() {
    let polled = poll(Reply::Raw, "/events/news", || Event::new(vec![0; 64 << 10]));
    assert_few("64 KiB", SHARED, polled);
    assert_eq!(polled.body, 0, "the payload is shared");
}

#[cfg(feature = "json")]
#[test]
fn a_json_poll_allocates_three_times_to_park_and_three_to_be_answered() {
    let event = || Event::json(&"event").unwrap();
    let polled = poll(Reply::Json, "/events/news", event);
    assert_few("json", ENCODED, polled);
    assert_eq!(polled.body, 1, "a short answer is one piece");
}

#[cfg(feature = "json")]
#[test]
fn a_text_in_json_is_encoded_for_the_first() {
    let plain = poll(Reply::Json, "/events/news", || Event::text("event"));
    assert_few("text in json", ENCODED, plain);
    // One that needs escapes has a form of its own in JSON.
    let escaped = poll(Reply::Json, "/events/news", || Event::text("an\n\"event\""));
    assert_few("text with escapes in json", ENCODED + 1, escaped);
    assert_eq!(escaped.body, 1, "a short answer is one piece");
}
