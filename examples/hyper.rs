//! Long polling on plain hyper, without a framework.
//!
//! ```text
//! cargo run --release --example hyper -- 127.0.0.1:3003
//!
//! curl -i http://127.0.0.1:3003/events/demo             # waits
//! curl -i -d hello http://127.0.0.1:3003/events/demo    # in another terminal
//! ```
//!
//! Ctrl-C or SIGTERM: it answers every parked poll and exits.

use std::{env, error::Error, time::Duration};

use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower::{Layer, Service, service_fn};
use tower_longpoll::{Hub, LongPollLayer, PathRoute, PublishService};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new();
    let channels = PathRoute::new("/events/{channel}")?;
    let publish = PublishService::new(hub.clone(), channels.clone());
    // The polls are answered by the layer; whatever is none goes on to the service inside it.
    let service = LongPollLayer::new(hub.clone(), channels).layer(service_fn(
        move |request: Request<Incoming>| {
            let mut publish = publish.clone();
            async move { publish.call(request).await }
        },
    ));

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3003".into());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let http = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // An error ends this one connection: the client left, or does not speak HTTP.
            let _ = connection.await;
        });
    }
    // First the polls, which would be waited for, then the connections.
    hub.drain(Duration::ZERO);
    connections.shutdown().await;
    Ok(())
}
