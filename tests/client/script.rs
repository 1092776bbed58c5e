//! A server that answers by a script, and writes down what it was asked.

use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;

use super::*;

/// What comes of a request.
pub(super) enum Act {
    Answer(Response<Chunks>),
    /// After so long.
    Late(Duration, Response<Chunks>),
    Fail,
    Hang,
}

/// A body in pieces: of bytes, an error, or nothing for ever.
#[derive(Default)]
pub(super) struct Chunks(pub(super) VecDeque<Chunk>);

pub(super) enum Chunk {
    Data(Bytes),
    Error,
    /// Time that goes by.
    Pause(Pin<Box<Sleep>>),
    Silence,
}

#[derive(Debug)]
pub(super) struct Broken;

impl Body for Chunks {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(Chunk::Pause(sleep)) = self.0.front_mut() {
            ready!(sleep.as_mut().poll(cx));
            self.0.pop_front();
        }
        match self.0.front() {
            Some(Chunk::Silence) => return Poll::Pending,
            Some(Chunk::Error) => return Poll::Ready(Some(Err(Broken))),
            _ => {}
        }
        match self.0.pop_front() {
            Some(Chunk::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            _ => Poll::Ready(None),
        }
    }
}

/// A request as it came.
pub(super) struct Asked {
    pub(super) at: Duration,
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
}

#[derive(Clone)]
pub(super) struct Script {
    acts: Arc<Mutex<VecDeque<Act>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    start: Instant,
}

impl Script {
    /// Hangs at its end.
    pub(super) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        let acts = Arc::new(Mutex::new(acts.into_iter().collect()));
        Self { acts, asked: Arc::default(), start: Instant::now() }
    }

    pub(super) fn service(&self) -> Self {
        self.clone()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// When the requests came, in milliseconds, and what they asked.
    pub(super) fn times(&self) -> Vec<u128> {
        self.asked().iter().map(|asked| asked.at.as_millis()).collect()
    }

    pub(super) fn left(&self) -> usize {
        self.acts.lock().unwrap().len()
    }
}

impl Service<Request<String>> for Script {
    type Response = Response<Chunks>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Chunks>, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let (at, uri) = (self.start.elapsed(), request.uri().to_string());
        let headers = request.headers().clone();
        self.asked.lock().unwrap().push(Asked { at, uri, headers });
        let act = self.acts.lock().unwrap().pop_front();
        Box::pin(async {
            match act {
                Some(Act::Answer(answer)) => Ok(answer),
                Some(Act::Late(after, answer)) => {
                    sleep(after).await;
                    Ok(answer)
                }
                Some(Act::Fail) => Err(Broken),
                Some(Act::Hang) | None => pending().await,
            }
        })
    }
}

pub(super) fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Response<Chunks> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let chunks = if body.is_empty() { vec![] } else { vec![data(body)] };
    response.body(Chunks(chunks.into())).unwrap()
}

/// Of the paused clock's time, from when the script is written.
pub(super) fn pause(until: Duration) -> Chunk {
    Chunk::Pause(Box::pin(sleep(until)))
}

pub(super) fn data(text: &str) -> Chunk {
    Chunk::Data(Bytes::copy_from_slice(text.as_bytes()))
}

/// A raw answer without events.
pub(super) fn quiet(cursor: &str) -> Act {
    Act::Late(25 * SECOND, answer(204, &[("longpoll-cursor", cursor)], ""))
}

/// A raw answer with an event.
pub(super) fn raw(cursor: &str, text: &str) -> Act {
    let fields = [("longpoll-cursor", cursor), ("longpoll-channel", "c")];
    Act::Answer(answer(200, &fields, text))
}

/// A JSON answer.
pub(super) fn json(body: &str) -> Act {
    Act::Answer(answer(200, &[("content-type", "application/json")], body))
}

pub(super) fn status(status: u16) -> Act {
    Act::Answer(answer(status, &[], ""))
}
