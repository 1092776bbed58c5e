//! What the public types of the HTTP side are, and what they ask of others: checked at compile time.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::{
    cell::Cell,
    convert::Infallible,
    fmt::Debug,
    future::Future,
    marker::PhantomPinned,
    pin::Pin,
    rc::Rc,
    sync::Mutex,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use common::channel;
use http::{HeaderName, Request, Response, request::Parts};
use http_body::{Body, Frame};
use tokio_test::{assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_longpoll::{
    Hub, LongPollLayer, LongPollService, PathRoute, PublishService, Reply, RouteError,
    http::{
        CHANNEL, CURSOR, GAP, Hold, Invalid, LongPoll, PollFuture, PublishFuture, ReplyBody,
        ResponseBody, ResponseFuture, Route, Routed,
    },
};

/// Can be moved anywhere at any time.
fn free<T: Send + Sync + Unpin + 'static>() {}
fn debug<T: Debug>() {}
fn cloned<T: Clone>() {}
fn value<T: Copy + Eq + Debug>() {}
fn error<T: std::error::Error + Clone + Eq + Send + Sync + 'static>() {}
fn future<T: Future + Send>(_: &T) {}

/// Neither `Send`, `Sync`, `Unpin`, `Clone` nor `Debug`, nor `'static`: all that a foreign type may
/// lack.
struct Poor<'a>(#[allow(dead_code)] Rc<Cell<&'a str>>, #[allow(dead_code)] PhantomPinned);

impl Poor<'_> {
    fn new(text: &str) -> Poor<'_> {
        Poor(Rc::new(Cell::new(text)), PhantomPinned)
    }
}

impl<'a> Body for Poor<'a> {
    type Data = Bytes;
    type Error = Poor<'a>;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Poor<'a>>>> {
        match self.0.replace("") {
            "" => Poll::Ready(None),
            text => Poll::Ready(Some(Ok(Frame::data(Bytes::from(text.to_owned()))))),
        }
    }
}

/// A route that cannot be cloned.
struct Locked(Mutex<u32>);

impl Route for Locked {
    fn route(&self, parts: &Parts) -> Routed {
        *self.0.lock().unwrap() += 1;
        if parts.uri.path() == "/poll" { Routed::Poll(channel("c")) } else { Routed::Pass }
    }
}

type Ready = std::future::Ready<Result<Response<String>, Infallible>>;

#[test]
fn every_type_can_be_moved_and_shared_as_its_parts_can() {
    free::<LongPollLayer<PathRoute>>();
    free::<LongPoll<u8, PathRoute>>();
    free::<LongPollService<PathRoute>>();
    free::<PublishService>();
    free::<PathRoute>();
    free::<RouteError>();
    free::<Routed>();
    free::<Invalid>();
    free::<Hold>();
    free::<tower_longpoll::http::Poll>();
    free::<Reply>();
    free::<ReplyBody>();
    free::<ResponseBody<ReplyBody>>();
    free::<ResponseFuture<Ready, String>>();
    free::<PollFuture>();
    free::<PublishFuture<String>>();
    free::<HeaderName>();
    let _ = (CHANNEL, CURSOR, GAP);
}

#[test]
fn every_type_can_be_printed_and_handles_and_values_can_be_cloned() {
    debug::<ResponseBody<ReplyBody>>();
    debug::<ReplyBody>();
    debug::<ResponseFuture<Poor<'static>, Poor<'static>>>();
    debug::<PollFuture>();
    debug::<PublishFuture<Poor<'static>>>();
    debug::<LongPollLayer<Poor<'static>>>();
    debug::<LongPollService<Poor<'static>>>();
    debug::<LongPoll<u8, PathRoute>>();
    debug::<(PublishService, PathRoute, Routed)>();

    cloned::<LongPollLayer<Poor<'static>>>();
    cloned::<LongPollService<Poor<'static>>>();
    cloned::<LongPoll<u8, PathRoute>>();
    cloned::<(PublishService, PathRoute)>();

    value::<Reply>();
    error::<RouteError>();
    error::<Invalid>();
}

/// Says whether a type has a trait, without failing to compile if it has not.
macro_rules! has {
    ($type:ty: $bound:path) => {{
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        trait Not {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Not for Probe<T> {}
        #[allow(dead_code)]
        impl<T: ?Sized + $bound> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}

#[test]
fn the_probe_tells_yes_from_no() {
    assert!(has!(String: Clone) && has!(Locked: Send));
    assert!(!has!(Locked: Clone) && !has!(Poor<'static>: Send) && !has!(Poor<'static>: Unpin));
}

#[test]
fn the_middleware_is_cloned_and_printed_whatever_its_route_is() {
    assert!(has!(LongPoll<u8, Locked>: Clone), "a router clones what it serves");
    assert!(has!(LongPoll<u8, Locked>: Debug), "a closure cannot be printed");
    assert!(!has!(LongPoll<Locked, Locked>: Clone), "but not more often than what it wraps");
}

#[test]
fn a_future_is_no_more_bound_to_its_thread_than_what_is_in_it() {
    type Body = ResponseBody<Poor<'static>>;
    assert!(
        has!(ResponseFuture<Ready, String>: Send) && has!(ResponseFuture<Ready, String>: Unpin)
    );
    assert!(!has!(ResponseFuture<Poor<'static>, Poor<'static>>: Send) && !has!(Body: Send));
    assert!(!has!(ResponseFuture<Poor<'static>, Poor<'static>>: Unpin) && !has!(Body: Unpin));
    assert!(!has!(PublishFuture<Poor<'static>>: Send));

    // A poll's own future, even if the request and the response could not leave their thread.
    let hub = Hub::new();
    let layer = LongPollLayer::new(hub.clone(), Locked(Mutex::new(0)));
    let inner = service_fn(|_: Request<Poor<'static>>| {
        std::future::ready(Ok::<_, Poor<'static>>(Response::new(Poor::new(""))))
    });
    let mut service = layer.clone().into_service();
    future(&service.call(Request::get("/poll").body(Poor::new("")).unwrap()));
    drop(layer.layer(inner));
    assert_eq!(hub.stats().parked, 0);
}

/// A service that is no more than a service, with a future that must stay where it is.
struct Least<'a>(&'a str);

struct Answering<'a>(&'a str, #[allow(dead_code)] PhantomPinned);

impl<'a> Future for Answering<'a> {
    type Output = Result<Response<Poor<'a>>, Poor<'a>>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0 {
            "" => Poll::Ready(Err(Poor::new("failed"))),
            text => Poll::Ready(Ok(Response::new(Poor::new(text)))),
        }
    }
}

impl<'a> Service<Request<Poor<'a>>> for Least<'a> {
    type Response = Response<Poor<'a>>;
    type Error = Poor<'a>;
    type Future = Answering<'a>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Poor<'a>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Poor<'a>>) -> Answering<'a> {
        Answering(self.0, PhantomPinned)
    }
}

/// Reads a body that must stay where it is.
async fn text<B: Body<Data = Bytes>>(response: Response<B>) -> String {
    let (mut body, mut whole) = (Box::pin(response.into_body()), Vec::new());
    std::future::poll_fn(|cx| {
        while let Some(Ok(frame)) = ready!(body.as_mut().poll_frame(cx)) {
            whole.extend(frame.into_data().unwrap_or_default());
        }
        Poll::Ready(())
    })
    .await;
    String::from_utf8(whole).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_bodies_errors_futures_and_services() {
    let (hub, words, none) = (Hub::new(), String::from("inner"), String::new());
    let layer = LongPollLayer::new(hub.clone(), Locked(Mutex::new(0)));
    let request = |path: &str| Request::get(path).body(Poor::new(&words)).unwrap();

    let passed = layer.layer(Least(&words)).oneshot(request("/")).await;
    assert_eq!(text(passed.ok().unwrap()).await, "inner");
    let failed = layer.layer(Least(&none)).oneshot(request("/")).await;
    assert_eq!(failed.err().unwrap().0.get(), "failed", "the error is the inner service's");

    let mut poll = task::spawn(Box::pin(layer.layer(Least(&words)).oneshot(request("/poll"))));
    assert!(poll.poll().is_pending());
    let publish = PublishService::new(hub.clone(), PathRoute::new("/{channel}").unwrap());
    let post = Request::post("/c").body(Poor::new(&words)).unwrap();
    assert_eq!(publish.oneshot(post).await.unwrap().status(), 201);
    let answer = assert_ready!(poll.poll()).ok().unwrap();
    assert_eq!(text(answer).await, "inner", "what was published");
    assert_eq!(hub.stats().parked, 0);
}
