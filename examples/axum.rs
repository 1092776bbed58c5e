//! The ways to long-poll side by side, in one axum application.
//!
//! ```text
//! cargo run --release --features axum,etag --example axum -- --listen 127.0.0.1:3001
//!
//! # Events: the layer answers.
//! curl -i http://127.0.0.1:3001/events/demo
//! curl -i -d hello http://127.0.0.1:3001/events/demo
//! # An inbox: the handler looks who asks, then has its own answer held.
//! curl -i -H 'authorization: Bearer ann' http://127.0.0.1:3001/inbox/ann
//! curl -i -d 'a letter' http://127.0.0.1:3001/inbox/ann
//! # A job: the handler knows nothing of it. Ask once for the etag, then wait for another state.
//! curl -i -X PUT -d running http://127.0.0.1:3001/jobs/7
//! curl -i http://127.0.0.1:3001/jobs/7
//! curl -i -H 'if-none-match: "…"' -H 'prefer: wait=20' http://127.0.0.1:3001/jobs/7
//! curl -i -X PUT -d done http://127.0.0.1:3001/jobs/7
//! curl http://127.0.0.1:3001/stats
//! ```
//!
//! SIGTERM or Ctrl-C: it answers every parked poll and exits. Whoever reaches the port may publish.

use std::{
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post_service},
};
use clap::Parser;
use serde_json::{Value, json};
use tokio::{
    net::TcpSocket,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tower_longpoll::{
    Channel, ChannelError, Hub, LongPollLayer, PathRoute, PublishService, Since, WatchLayer,
    http::{Hold, Invalid, Poll, Route, Routed},
};

#[derive(Parser)]
struct Options {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
    listen: SocketAddr,
}

#[derive(Clone)]
struct App {
    hub: Hub,
    jobs: Arc<Mutex<HashMap<String, String>>>,
    started: Instant,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (Options { listen }, hub) = (Options::parse(), Hub::new());
    let app = App { hub: hub.clone(), jobs: Arc::default(), started: Instant::now() };

    // The prefixes keep their channels apart in one hub.
    let events = PathRoute::new("/events/{channel}")?;
    let inboxes = PathRoute::new("/inbox/{user}")?.prefix("inbox:");
    let jobs = PathRoute::new("/jobs/{id}")?.prefix("job:");
    let publish = |route: &PathRoute| PublishService::new(hub.clone(), route.clone());
    let router = Router::new()
        .route("/events/{channel}", post_service(publish(&events)))
        .route("/inbox/{user}", get(inbox).post_service(publish(&inboxes)))
        .route("/jobs/{id}", get(job).put(set_job))
        .route("/stats", get(stats))
        .layer(WatchLayer::new(hub.clone(), jobs).hash_bodies(64 * 1024))
        .layer(LongPollLayer::new(hub.clone(), move |parts: &Parts| public(&events, parts)))
        .with_state(app);

    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    let listener = socket.listen(4_096)?; // thousands may come at once
    println!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {} _ = tokio::signal::ctrl_c() => {} }
        hub.drain(Duration::ZERO);
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(shutdown).await?)
}

/// Inboxes are read where somebody looks who reads them.
fn public(events: &PathRoute, parts: &Parts) -> Routed {
    match events.route(parts) {
        Routed::Poll(channel) if channel.as_str().starts_with("inbox:") => {
            Routed::Invalid(Invalid::new("channel", "inboxes are at /inbox/{user}"))
        }
        routed => routed,
    }
}

async fn inbox(
    State(app): State<App>,
    Path(user): Path<String>,
    headers: HeaderMap,
    poll: Result<Poll, Invalid>,
) -> Result<Response, Invalid> {
    let bearer = format!("Bearer {user}");
    if headers.get(AUTHORIZATION).is_none_or(|value| value.as_bytes() != bearer.as_bytes()) {
        return Ok(StatusCode::UNAUTHORIZED.into_response()); // nothing is parked
    }
    let invalid = |error: ChannelError| Invalid::new("channel", error.to_string());
    let (poll, channel) = (poll?, Channel::new(format!("inbox:{user}")).map_err(invalid)?);
    // The position first, then the look: what comes in between is not missed.
    let since = match poll.since() {
        Since::Now => app.hub.cursor().into(),
        since => since,
    };
    let mut hold = Hold::new([channel]).since(since).supersede_by(user);
    if let Some(wait) = poll.wait() {
        hold = hold.hold(wait);
    }
    Ok(([("x-handler", "inbox")], hold, Json(json!({ "unread": 0 }))).into_response())
}

async fn job(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, StatusCode> {
    let jobs = app.jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let state = jobs.get(&id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "id": id, "state": state })))
}

async fn set_job(State(app): State<App>, Path(id): Path<String>, state: String) -> StatusCode {
    let Ok(channel) = Channel::new(format!("job:{id}")) else { return StatusCode::BAD_REQUEST };
    app.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id, state);
    app.hub.touch(&channel); // after the change
    StatusCode::NO_CONTENT
}

#[allow(clippy::indexing_slicing, reason = "of JSON, which makes room")]
async fn stats(State(app): State<App>) -> Json<Value> {
    let mut stats = json!(app.hub.stats());
    stats["uptime_seconds"] = app.started.elapsed().as_secs().into();
    stats["worker_threads"] = Handle::current().metrics().num_workers().into();
    stats["draining"] = (!app.hub.is_open()).into();
    Json(stats)
}
