//! Polls that come as requests: to the layer, and to a handler that is written by hand.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tokio::time::Instant;
use tower::{Layer, Service, service_fn};
use tower_longpoll::{Channel, LongPollLayer, PathRoute};

use super::{
    cell::HOLD,
    hand::{Ours, Registry},
};

pub type Ask = Request<Empty<Bytes>>;
pub type Answer = Result<Response<Full<Bytes>>, Infallible>;
/// As axum keeps the future of a handler.
pub type Boxed = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a registry by hand answers with.
pub trait Payload {
    fn payload(self) -> Option<Bytes>;
}

impl Payload for Option<Bytes> {
    fn payload(self) -> Option<Bytes> {
        self
    }
}

impl Payload for Option<(u64, Bytes)> {
    fn payload(self) -> Option<Bytes> {
        self.map(|(_, payload)| payload)
    }
}

pub fn request(name: &str) -> Ask {
    Request::get(format!("/events/{name}")).body(Empty::new()).unwrap()
}

/// The layer in front of a service.
pub fn ours() -> impl Service<Ask> + Clone {
    let hub = Ours::new().0;
    let route = PathRoute::new("/events/{channel}").unwrap();
    let layer = LongPollLayer::new(hub, route).hold(HOLD).max_hold(HOLD);
    // Of a framework that boxes, or the future had the size of its handlers'.
    let pass = |_| -> Boxed { Box::pin(ready(Ok(Response::default()))) };
    layer.layer(service_fn(pass))
}

/// The handler as a service.
pub fn by_hand<R: Registry<Output: Payload>>()
-> impl Service<Ask, Error = Infallible, Future = Boxed, Response = Response<Full<Bytes>>> + Clone {
    let registry = R::new();
    service_fn(move |request| -> Boxed { Box::pin(handler(registry.clone(), request)) })
}

async fn handler<R: Registry<Output: Payload>>(registry: R, request: Ask) -> Answer {
    let name = request.uri().path().strip_prefix("/events/").unwrap_or_default();
    let Ok(channel) = Channel::new(name) else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    // A poll that is parked needs nothing more of it.
    drop(request);
    let payload = registry.wait(channel, Instant::now() + HOLD).await.payload();
    let mut response = Response::new(Full::from(payload.unwrap_or_default()));
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert("content-type", text);
    Ok(response)
}
