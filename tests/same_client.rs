//! Clients that poll again while they are being served, or again and again without going on.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "same_client/damped.rs"]
mod damped;
#[path = "same_client/superseded.rs"]
mod superseded;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use common::*;
use futures_util::future::BoxFuture;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};
#[cfg(feature = "json")]
use tower_longpoll::Reply;
use tower_longpoll::{Cursor, Hub, LongPollLayer, PathRoute};

const HOLD: Duration = Duration::from_secs(20);

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn cursor(&self) -> Cursor {
        self.headers["longpoll-cursor"].to_str().unwrap().parse().unwrap()
    }
}

type Poll = task::Spawn<BoxFuture<'static, Answer>>;

fn layer(hub: &Hub) -> LongPollLayer<PathRoute> {
    let route = PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap();
    LongPollLayer::new(hub.clone(), route).hold(HOLD).jitter(0)
}

/// The key of a client: its header field `x-client`.
fn client(parts: &Parts) -> Option<String> {
    Some(parts.headers.get("x-client")?.to_str().unwrap().to_owned())
}

/// A poll by a client; one without a name has no key.
fn poll(layer: &LongPollLayer<PathRoute>, client: &str, uri: &str) -> Poll {
    let mut request = Request::get(uri);
    if !client.is_empty() {
        request = request.header("x-client", client);
    }
    let request = request.body(String::new()).unwrap();
    let inner = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let answer = layer.layer(inner).oneshot(request);
    task::spawn(Box::pin(async move {
        let (parts, body) = answer.await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }))
}

/// The answer to a poll that is answered at once.
#[track_caller]
fn now(layer: &LongPollLayer<PathRoute>, client: &str, uri: &str) -> Answer {
    assert_ready!(poll(layer, client, uri).poll(), "answered at once")
}

/// A poll that is parked.
#[track_caller]
fn parked(layer: &LongPollLayer<PathRoute>, client: &str, uri: &str) -> Poll {
    let mut poll = poll(layer, client, uri);
    assert_pending!(poll.poll(), "there is nothing to answer yet");
    poll
}
