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

use http::{Method, Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tower::{Layer, Service, service_fn};
use tower_longpoll::{Hub, LongPollLayer, PathRoute, PublishService};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new();
    let channels = PathRoute::new("/events/{channel}")?;
    let publish = PublishService::new(hub.clone(), channels.clone()).also_allow(Method::GET);
    // The polls are answered by the layer; whatever is none goes on to the service inside it.
    let service = LongPollLayer::new(hub.clone(), channels).layer(service_fn(
        move |request: Request<Incoming>| {
            let mut publish = publish.clone();
            async move { publish.call(request).await }
        },
    ));

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3003".into());
    let listener = TcpListener::bind(address).await?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("listening on http://{}", listener.local_addr()?);
    let mut http = auto::Builder::new(TokioExecutor::new());
    // With a timer, a client that never ends its head is let go. Of HTTP/2 each parked poll is a
    // stream, and the default is 200 of them.
    http.http1().timer(TokioTimer::new());
    http.http2().max_concurrent_streams(100_000);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of open files, most likely: this takes until some client leaves.
            sleep(Duration::from_millis(50)).await;
            continue;
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
    drop(listener);
    hub.drain(Duration::ZERO);
    // A client that stalls does not keep the server.
    let _ = timeout(Duration::from_secs(10), connections.shutdown()).await;
    Ok(())
}
