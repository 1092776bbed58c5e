//! A server of long polls by the real layer, behind something that spoils some of them.

use std::{
    convert::Infallible,
    future::{pending, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Request, Response, StatusCode},
    response::{Html, IntoResponse},
    routing::get,
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify, time::sleep};
use tower::{Layer, ServiceExt};
use tower_longpoll::{Channel, Event, Hub, HubBuilder, LongPollLayer, PathRoute, Reply};
use tower_longpoll_browser::wait_until;

/// What happens to a poll instead of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The connection breaks before the poll is looked at.
    Cut,
    /// It is answered, and the connection breaks in the middle of that.
    Lost,
    /// This status, and seconds in `retry-after` unless they are zero.
    Status(u16, u64),
    /// It is not held.
    Hasty,
    /// An answer that is no JSON.
    Garbage,
    /// An answer that is JSON of something else.
    Foreign,
    /// No answer.
    Hang,
    /// The answer is kept back until [`Server::let_go`].
    Late,
    /// The answer comes in parts: all in time, but taken together very late.
    Slow,
    /// Half of the answer comes, and no more.
    Stalled,
    /// As from a cache: the first answer that had this fault, again and again.
    Cached,
    /// An answer, but for an event that is none.
    Crooked(&'static str),
}

/// Decides by the number of a poll, counted since the faults were set, and its query.
type Faults = Box<dyn FnMut(usize, &str) -> Option<Fault> + Send>;

pub struct Server {
    address: String,
    shared: Arc<Shared>,
}

/// Decides by the query of a poll which node of a cluster answers it.
type Nodes = Box<dyn FnMut(&str) -> Hub + Send>;

struct Shared {
    hub: Mutex<Hub>,
    nodes: Mutex<Option<Nodes>>,
    cached: Mutex<Option<Bytes>>,
    prefix: &'static str,
    faults: Mutex<(usize, Faults)>,
    polls: Mutex<Vec<(Instant, String)>>,
    late: Notify,
    is_late: AtomicBool,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Hub::builder()).await
    }

    pub async fn with(hub: HubBuilder) -> Self {
        Self::with_prefix(hub, "").await
    }

    /// A server that puts this before the names of channels.
    pub async fn with_prefix(hub: HubBuilder, prefix: &'static str) -> Self {
        let shared = Arc::new(Shared {
            hub: Mutex::new(hub.build().unwrap()),
            nodes: Mutex::new(None),
            cached: Mutex::new(None),
            prefix,
            faults: Mutex::new((0, Box::new(|_, _| None))),
            polls: Mutex::default(),
            late: Notify::new(),
            is_late: AtomicBool::new(false),
        });
        let module =
            |text: &'static str| get(async move || ([("content-type", "text/javascript")], text));
        let poll = include_str!("../../../examples/chess/client/longpoll.js");
        let shared_poll = include_str!("../../../examples/chess/client/shared.js");
        let app = Router::new()
            .route("/", get(async || Html(include_str!("page.html"))))
            .route("/longpoll.js", module(poll))
            .route("/shared.js", module(shared_poll))
            .route("/events", get(events))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { address, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Has polls answered by other hubs than the server's own.
    pub fn nodes(&self, nodes: impl FnMut(&str) -> Hub + Send + 'static) {
        *self.shared.nodes.lock().unwrap() = Some(Box::new(nodes));
    }

    pub fn hub(&self) -> Hub {
        self.shared.hub.lock().unwrap().clone()
    }

    /// Takes a new hub, as a server does that starts again.
    pub fn restart(&self) {
        let old = std::mem::take(&mut *self.shared.hub.lock().unwrap());
        old.drain(Duration::ZERO);
    }

    /// Publishes numbers, on one channel.
    pub fn publish(&self, channel: &str, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let event = Event::json(&number).unwrap();
            self.hub().publish(&Channel::new(channel).unwrap(), event).unwrap();
        }
    }

    pub fn cursor(&self) -> String {
        self.hub().cursor().to_string()
    }

    pub fn faults(&self, faults: impl FnMut(usize, &str) -> Option<Fault> + Send + 'static) {
        *self.shared.faults.lock().unwrap() = (0, Box::new(faults));
    }

    pub fn no_faults(&self) {
        self.faults(|_, _| None);
    }

    /// Sends the answers that are late.
    pub fn let_go(&self) {
        self.shared.late.notify_waiters();
    }

    /// Waits until an answer is kept back.
    pub async fn keeps_back(&self) {
        wait_until("a late answer", async || {
            self.shared.is_late.load(Ordering::Relaxed).then_some(())
        })
        .await;
    }

    /// When polls came, and their queries.
    pub fn polls(&self) -> Vec<(Instant, String)> {
        self.shared.polls.lock().unwrap().clone()
    }

    /// Waits until so many polls are parked.
    pub async fn parks(&self, count: usize) {
        let what = format!("{count} parked polls");
        wait_until(&what, async || (self.hub().stats().parked == count).then_some(())).await;
    }

    /// Waits until one poll is parked, and it is of these channels.
    pub async fn parks_one_of(&self, channels: &[&str]) {
        let wanted: Vec<_> = channels.iter().map(|name| format!("channel={name}")).collect();
        wait_until(&format!("one poll of {channels:?}"), async || {
            let last = self.polls().pop()?.1;
            let mut asked: Vec<_> =
                last.split('&').filter(|part| part.starts_with("channel=")).collect();
            asked.sort_unstable();
            (self.hub().stats().parked == 1 && asked == wanted).then_some(())
        })
        .await;
    }
}

async fn events(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    shared.polls.lock().unwrap().push((Instant::now(), query.clone()));
    let fault = {
        let (count, faults) = &mut *shared.faults.lock().unwrap();
        *count += 1;
        faults(*count, &query)
    };
    let broken = || Err(io::Error::other("the connection breaks"));
    match fault {
        None => forward(&shared, request).await,
        Some(Fault::Cut) => {
            Response::new(Body::from_stream(stream::iter([Ok(Bytes::from_static(b"{")), broken()])))
        }
        Some(Fault::Lost) => {
            let body = body_of(forward(&shared, request).await).await;
            let half = body.slice(..body.len() / 2);
            Response::new(Body::from_stream(stream::iter([Ok(half), broken()])))
        }
        Some(Fault::Status(status, seconds)) => {
            let status = StatusCode::from_u16(status).unwrap();
            let detail = json!({ "detail": "as the test wants it" }).to_string();
            match seconds {
                0 => (status, detail).into_response(),
                _ => (status, [("retry-after", seconds.to_string())], detail).into_response(),
            }
        }
        Some(Fault::Hasty) => {
            let parts = query.split('&').filter(|part| !part.starts_with("wait="));
            let query = parts.chain(["wait=0"]).collect::<Vec<_>>().join("&");
            let request = Request::get(format!("/events?{query}")).body(Body::empty()).unwrap();
            forward(&shared, request).await
        }
        Some(Fault::Garbage) => "<html>sign in</html>".into_response(),
        Some(Fault::Foreign) => "[]".into_response(),
        Some(Fault::Hang) => pending().await,
        Some(Fault::Late) => {
            let late = shared.late.notified();
            let answer = forward(&shared, request).await;
            shared.is_late.store(true, Ordering::Relaxed);
            late.await;
            shared.is_late.store(false, Ordering::Relaxed);
            answer
        }
        Some(Fault::Slow) => {
            let body = body_of(forward(&shared, request).await).await;
            let parts: Vec<_> =
                body.chunks(body.len().div_ceil(6)).map(Bytes::copy_from_slice).collect();
            Response::new(Body::from_stream(stream::iter(parts).then(async |part| {
                sleep(Duration::from_millis(3_500)).await;
                Ok::<_, Infallible>(part)
            })))
        }
        Some(Fault::Stalled) => {
            let body = body_of(forward(&shared, request).await).await;
            let half = stream::iter([Ok::<_, Infallible>(body.slice(..body.len() / 2))]);
            Response::new(Body::from_stream(half.chain(stream::pending())))
        }
        Some(Fault::Cached) => {
            let cached = shared.cached.lock().unwrap().clone();
            let body = match cached {
                Some(body) => body,
                None => body_of(forward(&shared, request).await).await,
            };
            *shared.cached.lock().unwrap() = Some(body.clone());
            Response::new(Body::from(body))
        }
        Some(Fault::Crooked(event)) => {
            let body = body_of(forward(&shared, request).await).await;
            let mut answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
            answer["events"] = json!([serde_json::from_str::<serde_json::Value>(event).unwrap()]);
            Response::new(Body::from(answer.to_string()))
        }
    }
}

async fn body_of(answer: Response<Body>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn forward(shared: &Shared, request: Request<Body>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let node = shared.nodes.lock().unwrap().as_mut().map(|nodes| nodes(query));
    let hub = node.unwrap_or_else(|| shared.hub.lock().unwrap().clone());
    let route = PathRoute::new("/events").unwrap().prefix(shared.prefix);
    let layer = LongPollLayer::new(hub, route).reply(Reply::Json);
    let nothing = tower::service_fn(|_: Request<Body>| {
        ready(Ok::<_, Infallible>(Response::new(Body::from("not a poll"))))
    });
    layer.layer(nothing).oneshot(request).await.unwrap().map(Body::new)
}
