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

use std::{convert::Infallible, env, error::Error, fmt::Display, process, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
    routing::{any_service, get},
};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tower_longpoll::{
    Batch, Channel, Cursor, Hub, LongPollLayer, PathRoute, PublishService, Since, Waited,
    http::{Invalid, Poll},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new();
    let events = PathRoute::new("/events/{channel}")?;
    let publish = PublishService::new(hub.clone(), events.clone()).also_allow(Method::GET);
    let app = Router::new()
        .route("/events/{channel}", any_service(publish))
        .route("/stream/{channel}", get(stream_of))
        .layer(LongPollLayer::new(hub.clone(), events))
        .with_state(hub.clone());

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3004".into());
    let listener = TcpListener::bind(address).await?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        hub.drain(Duration::ZERO);
        // What is on its way arrives; a client that stalls does not keep the server.
        tokio::spawn(async {
            sleep(Duration::from_secs(10)).await;
            process::exit(0);
        });
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(shutdown).await?)
}

async fn stream_of(
    State(hub): State<Hub>,
    Path(name): Path<String>,
    headers: HeaderMap,
    poll: Poll,
) -> Result<Response, Invalid> {
    let invalid = |field, error: &dyn Display| Invalid::new(field, error.to_string());
    let channel = Channel::new(name).map_err(|error| invalid("channel", &error))?;
    let since = match headers.get("last-event-id").map(|value| value.to_str()) {
        None => poll.since(),
        Some(Ok(id)) => {
            let cursor = id.parse::<Cursor>().map_err(|error| invalid("last-event-id", &error))?;
            Since::Cursor(cursor)
        }
        Some(Err(error)) => return Err(invalid("last-event-id", &error)),
    };
    // A client that has no position yet gets one first: what comes after it is not missed.
    let start = (since == Since::Now).then(|| hub.cursor());
    let mut answers = hub.events([channel], start.map_or(since, Since::Cursor));
    // A stream that cannot be is told before it begins.
    let first = answers.next().now_or_never().flatten();
    if let Some(Waited::Refused { reason, .. }) = first {
        return match reason.is_temporary() {
            true => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            false => Err(invalid("channel", &reason)),
        };
    }
    let start = start.map(|cursor| sse::Event::default().id(cursor.to_string()));
    let answers = stream::iter(first).chain(answers).flat_map(|waited| {
        stream::iter(match waited {
            Waited::Events(batch) => items(&batch),
            // It will not go on: the channel was deleted, or the server ends. Browsers would come
            // back, unless their script closes the stream at this event.
            last => {
                let end = sse::Event::default().event("end").data("no more");
                vec![end.id(last.cursor().to_string())]
            }
        })
    });
    let answers = stream::iter(start).chain(answers);
    let answers = answers.map(Ok::<_, Infallible>);
    // A stream that says nothing is taken for dead by some proxies.
    Ok(Sse::new(answers).keep_alive(KeepAlive::default()).into_response())
}

/// A gap is an event of its own: whoever keeps state reads it anew. An empty payload is nothing but
/// a position: browsers do not report it.
fn items(batch: &Batch) -> Vec<sse::Event> {
    let gap = batch.gap().then(|| {
        let gap = sse::Event::default().event("gap").data("events are gone");
        // What follows has positions of its own.
        if batch.is_empty() { gap.id(batch.cursor().to_string()) } else { gap }
    });
    let events = batch.iter().map(|entry| {
        let text = String::from_utf8_lossy(entry.payload());
        // A carriage return cannot be sent in this format: it ends a line, too.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        sse::Event::default().id(entry.cursor().to_string()).data(text)
    });
    gap.into_iter().chain(events).collect()
}
