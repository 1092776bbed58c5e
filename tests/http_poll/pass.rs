//! The inner service keeps what is its own; a poll keeps nothing of its request.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    marker::PhantomPinned,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::stream;
use http::{HeaderValue, Version};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use tokio_test::{assert_ready, assert_ready_ok};
use tower::Service;

use super::*;

/// An error that is nothing but itself.
#[derive(Debug, PartialEq)]
struct Own(&'static str);

/// A service that is ready when it is told so, and insists on being asked.
#[derive(Default)]
struct Mock {
    readiness: Vec<Poll<Result<(), Own>>>,
    asked: usize,
    called: usize,
}

impl Service<Request<String>> for &mut Mock {
    type Response = Response<String>;
    type Error = Own;
    type Future = Ready<Result<Response<String>, Own>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Own>> {
        self.asked += 1;
        self.readiness.pop().unwrap_or(Poll::Ready(Ok(())))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        self.called += 1;
        ready(match request.uri().path() {
            "/fails" => Err(Own("call")),
            _ => Ok(Response::new(request.into_body())),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_and_errors_are_those_of_the_inner_service() {
    let hub = Hub::new();
    let readiness = vec![Poll::Ready(Ok(())), Poll::Ready(Err(Own("ready"))), Poll::Pending];
    let mut mock = Mock { readiness, ..Mock::default() };
    let mut service = layer(&hub).layer(&mut mock);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Service::<Request<String>>::poll_ready(&mut service, &mut cx).is_pending());
    let failed = Service::<Request<String>>::poll_ready(&mut service, &mut cx);
    assert_eq!(failed, Poll::Ready(Err(Own("ready"))));
    assert_ready_ok!(Service::<Request<String>>::poll_ready(&mut service, &mut cx));
    let failed: Result<_, Own> = service.call(get("/fails")).await;
    assert_eq!(failed.unwrap_err(), Own("call"));
    let passed = service.call(Request::put("/").body("body".to_owned()).unwrap()).await;
    assert_eq!(read(passed.unwrap()).await.text(), "body");
    let polled = service.call(get("/events/c?wait=0")).await;
    assert_eq!(polled.unwrap().status(), 204);
    drop(service);
    assert_eq!((mock.asked, mock.called), (3, 2), "asked when asked, called for no poll");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_passes_is_untouched() {
    let hub = Hub::new();
    let inner = service_fn(|_: Request<String>| async {
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"a"))),
            Ok(Frame::data(Bytes::new())),
            Ok(Frame::trailers(trailers)),
            Err(Own("body")),
        ];
        let mut response = Response::builder()
            .status(502)
            .version(Version::HTTP_3)
            .header("set-cookie", "a")
            .header("set-cookie", "b")
            .extension(7_u8)
            .body(StreamBody::new(stream::iter(frames)))
            .unwrap();
        response.headers_mut().insert("cache-control", HeaderValue::from_static("public"));
        Ok::<_, Own>(response)
    });
    let response = layer(&hub).layer(inner).oneshot(get("/")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (502, Version::HTTP_3));
    assert_eq!(response.extensions().get::<u8>(), Some(&7));
    assert_eq!(response.headers().len(), 3, "{:?}", response.headers());
    let mut body = response.into_body();
    assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(frame.map(|frame| format!("{:?}", frame.into_data().map_err(|_| "trailers"))));
    }
    let expected = [r#"Ok(b"a")"#, r#"Ok(b"")"#, r#"Err("trailers")"#];
    assert_eq!(frames[..3].iter().flatten().collect::<Vec<_>>(), expected);
    assert_eq!(frames[3], Err(Own("body")), "the error of the body is kept");
    assert_eq!((frames.len(), hub.stats().parked), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_body_that_passes_is_kept() {
    let hub = Hub::new();
    let inner = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let body = layer(&hub).layer(inner).oneshot(get("/")).await.unwrap().into_body();
    assert!(body.is_end_stream());
    assert_eq!((body.size_hint().exact(), hub.stats().parked), (Some(0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_passes_is_untouched() {
    let hub = Hub::new();
    let inner = service_fn(|request: Request<String>| async move {
        let (parts, body) = request.into_parts();
        let seven = parts.extensions.get::<u8>().copied();
        let seen = (parts.version, parts.headers.get_all("x").iter().count(), seven, body);
        assert_eq!(seen, (Version::HTTP_3, 2, Some(7), "body".to_owned()));
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let request = Request::post("/events/c?cursor=x")
        .version(Version::HTTP_3)
        .header("x", "1")
        .header("x", "2")
        .extension(7_u8)
        .body("body".to_owned());
    let response = layer(&hub).layer(inner).oneshot(request.unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), hub.stats().parked), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_parked_poll_keeps_nothing_of_its_request() {
    struct Pinned(#[allow(dead_code)] Arc<()>, #[allow(dead_code)] PhantomPinned);
    let (hub, token) = (Hub::new(), Arc::new(()));
    let request = || {
        let request = Request::get("/events/c").extension(token.clone());
        request.body(Pinned(token.clone(), PhantomPinned)).unwrap()
    };
    let inner = service_fn(|_: Request<Pinned>| async {
        Err::<Response<String>, _>(Own("a poll does not come here"))
    });

    let mut at_layer = task::spawn(layer(&hub).layer(inner).call(request()));
    assert_eq!(Arc::strong_count(&token), 1, "gone before the first poll");
    let mut at_service = task::spawn(LongPollService::from(layer(&hub)).call(request()));
    assert_eq!(Arc::strong_count(&token), 1, "gone before the first poll");
    assert_pending!(at_layer.poll());
    assert_pending!(at_service.poll());
    assert_eq!(hub.stats().parked, 2);
    hub.publish(&channel("c"), "x").unwrap();
    assert!(at_layer.is_woken() && at_service.is_woken());
    assert_eq!(assert_ready!(at_layer.poll()).unwrap().status(), 200);
    assert_eq!(assert_ready!(at_service.poll()).unwrap().status(), 200);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poll_whose_future_is_dropped_leaves_nothing() {
    let hub = Hub::new();
    let mut poll = task::spawn(layer(&hub).layer(service_fn(super::inner)).call(get("/events/c")));
    assert_eq!(hub.stats().parked, 0, "parked when polled, not before");
    assert_pending!(poll.poll());
    assert_eq!(hub.stats().parked, 1);
    drop(poll);
    assert_empty(&hub);
    assert_eq!((hub.stats().dropped, hub.stats().parked), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_has_answered_is_pending_for_ever_and_does_not_panic() {
    let hub = Hub::new();
    for uri in ["/events/c?wait=0", "/events/c?wait=x"] {
        let mut poll = task::spawn(LongPollService::from(layer(&hub)).call(get(uri)));
        assert!(poll.poll().is_ready());
        assert_pending!(poll.poll());
        let mut poll = task::spawn(layer(&hub).layer(service_fn(super::inner)).call(get(uri)));
        assert!(poll.poll().is_ready());
        assert_pending!(poll.poll());
    }
    assert_eq!(hub.stats().parked, 0);
}
