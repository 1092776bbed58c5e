//! Watching: any resource as a long poll, its handler run again when something was touched.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "watch/asking.rs"]
mod asking;
#[path = "watch/crowd.rs"]
mod crowd;
#[path = "watch/ending.rs"]
mod ending;
#[cfg(feature = "etag")]
#[path = "watch/hashing.rs"]
mod hashing;
#[path = "watch/inner.rs"]
mod inner;
#[path = "watch/servers.rs"]
mod servers;
#[path = "watch/tags.rs"]
mod tags;
#[path = "watch/updates.rs"]
mod updates;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use common::*;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, Request, Response, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service};
use tower_longpoll::{
    Hub, PathRoute, WatchLayer,
    http::{ResponseBody, Route, WatchFuture},
};

const HOLD: Duration = Duration::from_secs(20);
const FLOOR: Duration = Duration::from_millis(50);

/// The one error of everything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failed(&'static str);

/// Counts how many of a kind are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Lets handlers through, or has them wait.
struct Gate(tokio::sync::watch::Sender<bool>);

impl Gate {
    fn open(&self) {
        self.0.send_replace(true);
    }

    fn close(&self) {
        self.0.send_replace(false);
    }

    async fn pass(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// A body of frames that says of itself what it is told to.
struct Content {
    frames: VecDeque<Result<Frame<Bytes>, Failed>>,
    /// How many bytes it says it has left.
    claims: Option<u64>,
    /// Its end comes once this is true.
    ends: Arc<AtomicBool>,
    alive: Option<Alive>,
}

fn ended() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

impl Content {
    fn new(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let claims = Some(text.len() as u64);
        let frames = (!text.is_empty()).then(|| Ok(Frame::data(text))).into_iter().collect();
        Self { frames, claims, ends: ended(), alive: None }
    }

    fn of(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Failed>>) -> Self {
        let frames = frames.into_iter().collect();
        Self { frames, claims: None, ends: ended(), alive: None }
    }

    fn claiming(mut self, bytes: u64) -> Self {
        self.claims = Some(bytes);
        self
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let Some(frame) = self.frames.pop_front() else {
            return if self.ends.load(SeqCst) { Poll::Ready(None) } else { Poll::Pending };
        };
        let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        self.claims = self.claims.map(|claims| claims.saturating_sub(bytes));
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.ends.load(SeqCst)
    }

    fn size_hint(&self) -> SizeHint {
        self.claims.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[derive(Clone, Copy)]
enum Readiness {
    Yes,
    NotYet,
    Fails,
}

type Replies = dyn Fn(&Parts, u64) -> Result<Response<Content>, Failed> + Send + Sync;

/// A resource whose state is a number and whose entity tag says which; and what is counted of its
/// handlers.
#[derive(Clone)]
struct Resource(Arc<Inner>);

struct Inner {
    state: AtomicU64,
    reply: Box<Replies>,
    /// Before a handler looks at the state.
    before: Gate,
    /// After it has looked.
    after: Gate,
    readiness: Mutex<Readiness>,
    unready: Mutex<Vec<Waker>>,
    /// The head and the body of each request.
    seen: Mutex<Vec<(Parts, String)>>,
    most_at_work: AtomicUsize,
    handlers: Arc<AtomicUsize>,
    futures: Arc<AtomicUsize>,
    bodies: Arc<AtomicUsize>,
}

fn tagged(state: u64) -> Response<Content> {
    let response = Response::builder().header("etag", format!("\"{state}\""));
    response.body(Content::new(format!("state {state}"))).unwrap()
}

impl Resource {
    fn new() -> Self {
        Self::replying(|_, state| Ok(tagged(state)))
    }

    fn replying<F>(reply: F) -> Self
    where
        F: Fn(&Parts, u64) -> Result<Response<Content>, Failed> + Send + Sync + 'static,
    {
        let gate = || Gate(tokio::sync::watch::Sender::new(true));
        Self(Arc::new(Inner {
            state: AtomicU64::new(0),
            reply: Box::new(reply),
            before: gate(),
            after: gate(),
            readiness: Mutex::new(Readiness::Yes),
            unready: Mutex::default(),
            seen: Mutex::default(),
            most_at_work: AtomicUsize::new(0),
            handlers: Arc::default(),
            futures: Arc::default(),
            bodies: Arc::default(),
        }))
    }

    fn handler(&self) -> Handler {
        Handler { resource: self.clone(), is_ready: false, _alive: Alive::new(&self.0.handlers) }
    }

    /// Changes it, and says so.
    fn change(&self, hub: &Hub) {
        self.0.state.fetch_add(1, SeqCst);
        hub.touch(&channel("a"));
    }

    fn runs(&self) -> usize {
        self.0.seen.lock().unwrap().len()
    }

    /// Handlers' futures that are alive.
    fn at_work(&self) -> usize {
        self.0.futures.load(SeqCst)
    }

    fn is_ready(&self, readiness: Readiness) {
        *self.0.readiness.lock().unwrap() = readiness;
        self.0.unready.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    /// Services, futures and bodies that are alive.
    fn alive(&self) -> (usize, usize, usize) {
        let count = |count: &AtomicUsize| count.load(SeqCst);
        (count(&self.0.handlers), self.at_work(), count(&self.0.bodies))
    }
}

/// A service that must be ready when it is called; each clone by itself.
struct Handler {
    resource: Resource,
    is_ready: bool,
    _alive: Alive,
}

impl Clone for Handler {
    fn clone(&self) -> Self {
        self.resource.handler()
    }
}

/// A handler at work; counted until it is dropped, and not to be polled once it has answered.
struct Work(BoxFuture<'static, Result<Response<Content>, Failed>>, #[allow(dead_code)] Alive);

impl Future for Work {
    type Output = Result<Response<Content>, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx)
    }
}

impl Service<Request<String>> for Handler {
    type Response = Response<Content>;
    type Error = Failed;
    type Future = Work;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let readiness = *self.resource.0.readiness.lock().unwrap();
        match readiness {
            Readiness::Yes => self.is_ready = true,
            Readiness::NotYet => {
                self.resource.0.unready.lock().unwrap().push(cx.waker().clone());
                return Poll::Pending;
            }
            Readiness::Fails => return Poll::Ready(Err(Failed("not ready"))),
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Work {
        assert!(std::mem::take(&mut self.is_ready), "called though it was not ready");
        let resource = Arc::clone(&self.resource.0);
        let (parts, body) = request.into_parts();
        resource.seen.lock().unwrap().push((parts.clone(), body));
        let alive = Alive::new(&resource.futures);
        resource.most_at_work.fetch_max(resource.futures.load(SeqCst), SeqCst);
        let work = async move {
            resource.before.pass().await;
            let state = resource.state.load(SeqCst);
            resource.after.pass().await;
            let mut response = (resource.reply)(&parts, state)?;
            response.body_mut().alive = Some(Alive::new(&resource.bodies));
            Ok(response)
        };
        Work(Box::pin(work), alive)
    }
}

/// A layer on `/r/{channel}` and `/any` whose holds are exact, and that runs again at once.
fn layer(hub: &Hub) -> WatchLayer<PathRoute> {
    let route = PathRoute::new("/r/{channel}").unwrap().or("/any").unwrap();
    WatchLayer::new(hub.clone(), route).jitter(0).floor(Duration::ZERO)
}

/// A request of a client that knows state 0, and waits as long as `HOLD` for another.
fn request() -> Request<String> {
    get("/r/a?wait=20", &[("if-none-match", "\"0\"")])
}

fn get(uri: &str, fields: &[(&str, &str)]) -> Request<String> {
    let mut request = Request::get(uri).body(String::new()).unwrap();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

type Watching = task::Spawn<WatchFuture<Handler, String, Content>>;
type Answered = Poll<Result<Response<ResponseBody<Content>>, Failed>>;

/// Starts a request; nothing of it has been polled.
fn start<R: Route>(
    layer: &WatchLayer<R>,
    resource: &Resource,
    request: Request<String>,
) -> Watching {
    let mut service = layer.layer(resource.handler());
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert_ready!(ready).unwrap();
    task::spawn(service.call(request))
}

/// Starts a request that is parked.
#[track_caller]
fn park(layer: &WatchLayer<PathRoute>, resource: &Resource) -> Watching {
    let mut watching = start(layer, resource, request());
    assert_pending!(watching.poll());
    assert_eq!(resource.at_work(), 0, "its handler has answered");
    watching
}

/// The status and the body of an answer.
#[track_caller]
fn told(answered: Answered) -> (u16, String) {
    let (head, body) = assert_ready!(answered).unwrap().into_parts();
    (head.status.as_u16(), text(body))
}

#[track_caller]
fn text<B: Body<Data = Bytes, Error: std::fmt::Debug>>(body: B) -> String {
    let body = body.collect().now_or_never().expect("all of the body is there").unwrap();
    String::from_utf8(body.to_bytes().into()).unwrap()
}

#[track_caller]
fn head(answered: Answered) -> (u16, HeaderMap) {
    let (head, _) = assert_ready!(answered).unwrap().into_parts();
    (head.status.as_u16(), head.headers)
}

fn changed(state: u64) -> (u16, String) {
    (200, format!("state {state}"))
}

fn unchanged() -> (u16, String) {
    (304, String::new())
}
