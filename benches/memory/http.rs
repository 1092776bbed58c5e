//! Polls that come as requests: to the layer, and to a handler that is written by hand.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tower::{Layer, Service, service_fn};
use tower_longpoll::{Hub, LongPollLayer, PathRoute};

use super::work::{
    rooms::{Room, Rooms},
    subject::{HOLD, Subject},
};

pub type Ask = Request<Empty<Bytes>>;
pub type Answer = Result<Response<Full<Bytes>>, Infallible>;
/// As axum keeps the future of a handler.
pub type Boxed = Pin<Box<dyn Future<Output = Answer> + Send>>;

pub fn request(name: &str) -> Ask {
    Request::get(format!("/events/{name}")).body(Empty::new()).unwrap()
}

/// The layer in front of a service.
pub fn ours(hub: Hub) -> impl Service<Ask> + Clone {
    let route = PathRoute::new("/events/{channel}").unwrap();
    let layer = LongPollLayer::new(hub, route).hold(HOLD).max_hold(HOLD);
    // Of a framework that boxes, or the future had the size of its handlers'.
    let pass = |_| -> Boxed { Box::pin(ready(Ok(Response::default()))) };
    layer.layer(service_fn(pass))
}

/// The handler as a service.
pub fn by_hand<R: Room>(
    rooms: Rooms<R>,
) -> impl Service<Ask, Error = Infallible, Future = Boxed, Response = Response<Full<Bytes>>> + Clone
{
    service_fn(move |request| -> Boxed { Box::pin(handler(rooms.clone(), request)) })
}

async fn handler<R: Room>(rooms: Rooms<R>, request: Ask) -> Answer {
    let Some(ask) = ask(&rooms, request) else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    let Ok(answer) = Rooms::<R>::wait(ask, HOLD).await else {
        let mut nothing = Response::new(Full::default());
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    };
    let mut response = Response::new(Full::from(answer.payload));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    headers.insert("cursor", HeaderValue::from(answer.number));
    Ok(response)
}

/// By value, so that the request has no place in the handler's future while the poll is parked.
fn ask<R: Room>(rooms: &Rooms<R>, request: Ask) -> Option<(Arc<R>, Option<u64>)> {
    let name = request.uri().path().strip_prefix("/events/").filter(|name| !name.is_empty())?;
    Some(rooms.ask(&name.to_owned(), None))
}
