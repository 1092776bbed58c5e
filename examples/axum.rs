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
//! curl -i -H 'if-none-match: "THE ETAG"' -H 'prefer: wait=20' http://127.0.0.1:3001/jobs/7
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
    http::{HeaderMap, HeaderValue, Method, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{any_service, get},
};
use clap::Parser;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::{net::TcpSocket, runtime::Handle, time::sleep};
use tower_longpoll::{
    Channel, ChannelError, Hub, LongPollLayer, PathRoute, PublishService, WatchLayer,
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

    // The prefixes keep their channels apart in one hub. `/events` has none, and would reach all.
    let events = PathRoute::new("/events/{channel}")?;
    let inboxes = PathRoute::new("/inbox/{user}")?.prefix("inbox:");
    let jobs = PathRoute::new("/jobs/{id}")?.prefix("job:");
    let publish =
        |route: &PathRoute| PublishService::new(hub.clone(), route.clone()).also_allow(Method::GET);
    let router = Router::new()
        .route("/events/{channel}", any_service(publish(&events)))
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
    let mut terminate = signal(SignalKind::terminate())?;
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {} _ = tokio::signal::ctrl_c() => {} }
        hub.drain(Duration::ZERO);
        // What is on its way arrives; a client that stalls does not keep the server.
        tokio::spawn(async {
            sleep(Duration::from_secs(10)).await;
            std::process::exit(0);
        });
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(shutdown).await?)
}

/// Inboxes are read where somebody looks who reads them, and not as `/events/inbox:ann`.
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
    let given = headers.get("authorization").map(HeaderValue::as_bytes);
    if given.and_then(|value| value.strip_prefix(b"Bearer ")) != Some(user.as_bytes()) {
        return Ok((StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response());
    }
    let invalid = |error: ChannelError| Invalid::new("channel", error.to_string());
    let (poll, channel) = (poll?, Channel::new(format!("inbox:{user}")).map_err(invalid)?);
    let cursor = app.hub.cursor(); // the position first, then the look: nothing in between is missed
    let unread = Json(json!({ "unread": 0 }));
    // One poll a user, who has one client here. Where there may be two, such as tabs, a key has to tell
    // them apart: else they end each other's polls without pause.
    let hold = Hold::new([channel]).since(cursor).poll(&poll).supersede_by(user);
    Ok(([("x-handler", "inbox")], hold, unread).into_response())
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
async fn stats(State(app): State<App>) -> impl IntoResponse {
    let mut stats = json!(app.hub.stats());
    stats["uptime_seconds"] = app.started.elapsed().as_secs().into();
    stats["worker_threads"] = Handle::current().metrics().num_workers().into();
    stats["draining"] = (!app.hub.is_open()).into();
    ([("cache-control", "no-store")], Json(stats))
}
