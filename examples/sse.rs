//! One hub for clients that can take a stream and for clients that cannot.
//!
//! ```text
//! cargo run --release --features axum --example sse -- 127.0.0.1:3004
//!
//! curl -N http://127.0.0.1:3004/stream/demo             # server-sent events, as they come
//! curl -i http://127.0.0.1:3004/events/demo             # a long poll, for proxies that buffer
//! curl -i -d hello http://127.0.0.1:3004/events/demo    # both have it
//! ```
//!
//! The `id` of each server-sent event is a cursor: a browser that connects again sends it as
//! `last-event-id`, and a client that falls back to long polls hands it over. Ctrl-C or SIGTERM:
//! it ends the streams, answers every parked poll and exits.

use std::{convert::Infallible, env, error::Error, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
    routing::{get, post_service},
};
use futures_util::{StreamExt, stream};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower_longpoll::{
    Batch, Channel, Cursor, Hub, LongPollLayer, PathRoute, PublishService, Since, Waited,
    http::{Invalid, Poll},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new();
    let events = PathRoute::new("/events/{channel}")?;
    let publish = PublishService::new(hub.clone(), events.clone());
    let app = Router::new()
        .route("/events/{channel}", post_service(publish))
        .route("/stream/{channel}", get(stream_of))
        .layer(LongPollLayer::new(hub.clone(), events))
        .with_state(hub.clone());

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3004".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        hub.drain(Duration::ZERO);
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(shutdown).await?)
}

async fn stream_of(
    State(hub): State<Hub>,
    Path(name): Path<String>,
    headers: HeaderMap,
    poll: Poll,
) -> Result<Response, Invalid> {
    let invalid = |field, error: &dyn Error| Invalid::new(field, error.to_string());
    let channel = Channel::new(name).map_err(|error| invalid("channel", &error))?;
    let since = match headers.get("last-event-id").map(|value| value.to_str()) {
        None => poll.since(),
        Some(Ok(id)) => {
            let cursor = id.parse::<Cursor>().map_err(|error| invalid("last-event-id", &error))?;
            Since::Cursor(cursor)
        }
        Some(Err(error)) => return Err(invalid("last-event-id", &error)),
    };
    if !hub.is_open() {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let answers = hub.events([channel], since).flat_map(|waited| {
        stream::iter(match waited {
            Waited::Events(batch) => items(&batch),
            // The last word of the stream: browsers would come back at once without it.
            last => vec![sse::Event::default().event("end").id(last.cursor().to_string())],
        })
    });
    let answers = answers.map(Ok::<_, Infallible>);
    // A stream that says nothing is taken for dead by some proxies.
    Ok(Sse::new(answers).keep_alive(KeepAlive::default()).into_response())
}

/// A gap is an event of its own: whoever keeps state reads it anew.
fn items(batch: &Batch) -> Vec<sse::Event> {
    let gap = batch.gap().then(|| sse::Event::default().event("gap").data("events are gone"));
    let events = batch.iter().map(|entry| {
        let text = String::from_utf8_lossy(entry.payload());
        // A carriage return cannot be sent in this format.
        sse::Event::default().id(entry.cursor().to_string()).data(text.replace('\r', "\n"))
    });
    gap.into_iter().chain(events).collect()
}
