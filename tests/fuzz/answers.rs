//! What every answer has to be, and the bodies and services that it takes to get one.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body::{Body, Frame, SizeHint};
use tokio::{runtime, task::yield_now, time::advance};
use tower_longpoll::Cursor;
use tower_service::Service;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// What [`Inner`] was asked, if it has answered.
    pub reached: Option<Parts>,
}

impl Answer {
    /// Reads an answer, and checks what every answer has to be.
    pub fn read<B: Body<Data = Bytes>>(response: Response<B>) -> Self {
        let (mut parts, body) = response.into_parts();
        let reached = parts.extensions.remove::<Reached>().map(|reached| reached.0);
        let (mut body, mut whole) = (pin!(body), Vec::new());
        let promised = body.size_hint().exact().expect("the length is known");
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context()) {
            let Ok(Ok(data)) = frame.map(Frame::into_data) else { panic!("nothing but data") };
            assert!(!data.is_empty(), "no empty frame");
            whole.extend_from_slice(&data);
            let left = body.size_hint().exact().expect("the length is known");
            assert_eq!(left + whole.len() as u64, promised, "the hint counts down");
        }
        assert!(body.is_end_stream());
        assert_eq!(whole.len() as u64, promised);
        Self { status: parts.status.as_u16(), headers: parts.headers, body: whole, reached }
    }

    /// The value of a field that is there at most once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} is there once");
        Some(value.to_str().expect("a header field is ASCII"))
    }

    pub fn cursor(&self) -> Option<Cursor> {
        self.field("longpoll-cursor").map(|text| text.parse().expect("it can be handed back"))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }

    /// Checks what all answers of the crate have, and an error's body.
    pub fn check(&self) {
        for (name, value) in &self.headers {
            let is_plain = value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte));
            assert!(is_plain, "{name}: {value:?}");
        }
        assert_eq!(self.field("cache-control"), Some("no-store"));
        assert_eq!(self.field("x-content-type-options"), Some("nosniff"));
        if self.field("content-type") == Some("application/json") && self.status < 400 {
            self.json();
        }
        if matches!(self.status, 204 | 404 | 405) {
            assert!(self.body.is_empty() && self.field("content-type").is_none());
        } else if self.status >= 400 {
            assert_eq!(self.field("content-type"), Some("application/problem+json"));
            let problem = self.json();
            assert_eq!(problem["type"], "about:blank");
            assert_eq!(problem["status"], self.status);
            assert!(problem["title"].is_string() && problem["detail"].is_string());
            assert_eq!(problem["field"].is_string(), self.status == 400, "{problem}");
        }
        assert_eq!(self.field("retry-after").is_some(), self.status == 503);
    }

    /// The field that a 400 names, else nothing.
    pub fn invalid(&self) -> Option<String> {
        (self.status == 400).then(|| self.json()["field"].as_str().unwrap_or("").to_owned())
    }
}

pub fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Calls a service, and polls its future once.
pub fn call<S, B, R>(service: &mut S, request: Request<B>) -> Result<Answer, Pin<Box<S::Future>>>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    assert!(matches!(service.poll_ready(&mut context()), Poll::Ready(Ok(()))));
    let mut future = Box::pin(service.call(request));
    poll(&mut future).ok_or(future)
}

pub fn poll<F, R>(future: &mut Pin<Box<F>>) -> Option<Answer>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Body<Data = Bytes>,
{
    match future.as_mut().poll(&mut context()) {
        Poll::Ready(Ok(response)) => Some(Answer::read(response)),
        Poll::Pending => None,
    }
}

/// Runs on a clock that stands still.
pub fn on_paused_clock(future: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future);
}

pub async fn pass(time: Duration) {
    advance(time).await;
    for _ in 0..6 {
        yield_now().await;
    }
}

/// A body of these steps, which counts how often it is read.
#[derive(Debug, Default)]
pub struct Chunks {
    pub steps: VecDeque<Step>,
    pub read: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub enum Step {
    Data(Bytes),
    Pending,
    Trailers,
    Error,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(match self.steps.pop_front() {
            None => return Poll::Ready(None),
            Some(Step::Pending) => return Poll::Pending,
            Some(Step::Data(data)) => Ok(Frame::data(data)),
            Some(Step::Trailers) => Ok(Frame::trailers(HeaderMap::new())),
            Some(Step::Error) => Err("gone"),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.steps.is_empty() { SizeHint::with_exact(0) } else { SizeHint::new() }
    }
}

/// What stands behind a layer: says that it was reached, and with what.
#[derive(Clone)]
pub struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Chunks>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(Chunks::default());
        *response.status_mut() = StatusCode::IM_USED;
        response.extensions_mut().insert(Reached(request.into_parts().0));
        ready(Ok(response))
    }
}

/// The request as it came through.
#[derive(Clone)]
struct Reached(Parts);
