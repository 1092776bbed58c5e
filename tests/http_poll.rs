//! What a poll and a publish over HTTP are answered, in process and on the paused clock.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "http_poll/answers.rs"]
mod answers;
#[path = "http_poll/json.rs"]
mod json;
#[path = "http_poll/pass.rs"]
mod pass;
#[path = "http_poll/publish.rs"]
mod publish;
#[path = "http_poll/reading.rs"]
mod reading;
#[path = "http_poll/routes.rs"]
mod routes;

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use common::*;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_longpoll::{
    Cursor, Event, Hub, LongPollLayer, LongPollService, PathRoute, PublishService, Reply,
    http::Route,
};

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    chunks: usize,
}

/// Reads an answer, and checks what its body says of itself on the way.
async fn read<B>(response: Response<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    let (parts, mut body) = response.into_parts();
    let promised = body.size_hint().exact().expect("the length is known");
    let (mut whole, mut chunks) = (Vec::new(), 0);
    while !body.is_end_stream() {
        let chunk = body.frame().await.expect("not at the end").unwrap().into_data().unwrap();
        assert!(!chunk.is_empty(), "no empty frame");
        whole.extend_from_slice(&chunk);
        chunks += 1;
        let left = body.size_hint().exact().unwrap();
        assert_eq!(left + whole.len() as u64, promised, "the hint counts down");
    }
    assert!(body.frame().await.is_none() && body.frame().await.is_none(), "it stays at its end");
    assert_eq!(whole.len() as u64, promised);
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: whole.into(), chunks }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} is there once");
        Some(value.to_str().unwrap())
    }

    fn cursor(&self) -> Cursor {
        self.header("longpoll-cursor").expect("a cursor on every answer").parse().unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `STATUS TYPE BODY`, with `$` for the cursor; a problem is `STATUS problem FIELD`.
    fn shape(&self) -> String {
        let (status, kind) = (self.status, self.header("content-type").unwrap_or("-"));
        if kind != "application/problem+json" {
            let cursor = self.header("longpoll-cursor").unwrap_or("no cursor");
            return format!("{status} {kind} {}", self.text().replace(cursor, "$"));
        }
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status);
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert!(!problem["title"].as_str().unwrap().is_empty());
        format!("{status} problem {}", problem.get("field").map_or("-", |f| f.as_str().unwrap()))
    }

    /// The names of its header fields, sorted, but for those that every answer has.
    fn extra(&self) -> Vec<&str> {
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let common = ["cache-control", "content-type", "longpoll-cursor", "x-content-type-options"];
        let names = self.headers.keys().map(HeaderName::as_str);
        let mut extra: Vec<_> = names.filter(|name| !common.contains(name)).collect();
        extra.sort_unstable();
        extra
    }
}

fn get(uri: &str) -> Request<String> {
    Request::get(uri).body(String::new()).unwrap()
}

/// A layer on `/events/{channel}` and `/events` whose holds are exact.
fn layer(hub: &Hub) -> LongPollLayer<PathRoute> {
    let route = PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap();
    LongPollLayer::new(hub.clone(), route).jitter(0)
}

/// What stands behind the layer: says that it was reached, and how.
async fn inner(request: Request<String>) -> Result<Response<String>, Infallible> {
    let body = format!("{} {}", request.method(), request.uri());
    Ok(Response::builder().status(299).body(body).unwrap())
}

async fn ask_at<R: Route>(layer: &LongPollLayer<R>, request: Request<String>) -> Answer {
    read(layer.layer(service_fn(inner)).oneshot(request).await.unwrap()).await
}

/// The answer to a poll that is parked when `act` is called.
async fn parked<R: Route>(
    layer: &LongPollLayer<R>,
    request: Request<String>,
    act: impl FnOnce(),
) -> Answer {
    let mut poll = task::spawn(layer.layer(service_fn(inner)).oneshot(request));
    assert_pending!(poll.poll(), "there is nothing to answer yet");
    act();
    read(poll.await.unwrap()).await
}

/// The cursor of a hub that nobody knows.
fn foreign() -> Cursor {
    Hub::new().cursor()
}
