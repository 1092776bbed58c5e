//! Long polling as it is written by hand on axum: a channel is a `broadcast`, a handler awaits it
//! with a `timeout`. No history and no cursor: what comes between two polls is lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::broadcast, time::timeout};

type Channels = Arc<Mutex<HashMap<String, broadcast::Sender<Bytes>>>>;

pub(crate) fn serve() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap().block_on(async {
        let app = Router::new()
            .route("/events/{channel}", get(poll).post(publish))
            .with_state(Channels::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await }).await.unwrap().unwrap();
    });
}

fn channel(channels: &Channels, name: String) -> broadcast::Sender<Bytes> {
    let mut channels = channels.lock().unwrap();
    channels.entry(name).or_insert_with(|| broadcast::channel(16).0).clone()
}

async fn poll(
    State(channels): State<Channels>,
    Path(name): Path<String>,
    Query(options): Query<HashMap<String, u64>>,
) -> Response {
    let hold = Duration::from_secs(options.get("wait").copied().unwrap_or(25));
    let mut events = channel(&channels, name).subscribe();
    match timeout(hold, events.recv()).await {
        Ok(Ok(event)) => event.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn publish(
    State(channels): State<Channels>,
    Path(name): Path<String>,
    event: Bytes,
) -> StatusCode {
    match channel(&channels, name).send(event) {
        Ok(_) => StatusCode::CREATED,
        Err(_) => StatusCode::ACCEPTED,
    }
}
