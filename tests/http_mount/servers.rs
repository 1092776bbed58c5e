//! The layer at servers: hyper over HTTP/1 and HTTP/2, and tonic.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use http::{HeaderMap, Version};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use hyper::{body::Incoming, client::conn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex},
    task::{JoinHandle, JoinSet},
};
use tower::Service;

use super::*;

/// Lets tasks run until something has come true, for a bounded number of turns.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_true() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never: {what}");
}

/// What stands behind the layer at the servers below.
async fn inner(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("inner")))
}

/// Serves one connection, and returns the client's end of it.
fn serve(hub: &Hub) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(1 << 16);
    let service = ServiceBuilder::new().layer(layer(hub)).service(service_fn(inner));
    let connection = async move {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().max_concurrent_streams(1_000);
        let service = TowerToHyperService::new(service);
        // A client that leaves in the middle of a request is an error of the connection.
        drop(builder.serve_connection(TokioIo::new(server), service).await);
    };
    (client, tokio::spawn(connection))
}

async fn http1(client: DuplexStream) -> conn::http1::SendRequest<Body> {
    let (send, connection) = conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    send
}

async fn http2(client: DuplexStream) -> conn::http2::SendRequest<Body> {
    let io = TokioIo::new(client);
    let (send, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    send
}

/// The same conversation on one connection, whatever its protocol.
async fn converses<F>(version: Version, hub: &Hub, mut send: impl FnMut(Request<Body>) -> F)
where
    F: Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static,
{
    let mut at = |uri: &str| {
        let mut request = poll(&format!("http://localhost{uri}"));
        *request.version_mut() = version;
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        tokio::spawn(send(request))
    };
    let body = |response: Response<Incoming>| async {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec())
            .unwrap()
    };
    let quiet = at("/events/c?wait=0").await.unwrap().unwrap();
    assert_eq!((quiet.status().as_u16(), quiet.version()), (204, version));
    let (since, large) = (cursor(&quiet), "x".repeat(1 << 20));

    let first = at("/events/c");
    until("the poll is parked", || hub.stats().parked == 1).await;
    assert_eq!(hub.publish(&channel("c"), Event::text(large.clone())).unwrap().woken, 1);
    let first = first.await.unwrap().unwrap();
    assert_eq!(first.headers()["content-length"], "1048576");
    assert!(body(first).await == large, "a payload longer than every buffer");
    let again = at(&format!("/events/c?cursor={since}")).await.unwrap().unwrap();
    assert!(body(again).await == large, "and again by its cursor");
    assert_eq!(body(at("/else").await.unwrap().unwrap()).await, "inner");

    let last = at("/events/c");
    until("the poll is parked", || hub.stats().parked == 1).await;
    hub.drain(Duration::ZERO);
    let last = last.await.unwrap().unwrap();
    assert_eq!(last.status(), 204);
    let close = last.headers().get("connection").map(|value| value.to_str().unwrap());
    assert_eq!(close, (version == Version::HTTP_11).then_some("close"));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn hyper_parks_and_answers_over_http1_and_a_drain_ends_the_connection() {
    let hub = Hub::new();
    let (client, connection) = serve(&hub);
    let mut send = http1(client).await;
    converses(Version::HTTP_11, &hub, |request| send.send_request(request)).await;
    until("the server has closed the connection", || connection.is_finished()).await;
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn hyper_parks_and_answers_over_http2_and_a_drain_keeps_the_connection() {
    let hub = Hub::new();
    let (client, connection) = serve(&hub);
    let mut send = http2(client).await;
    converses(Version::HTTP_2, &hub, |request| send.send_request(request)).await;
    settle().await;
    assert!(!connection.is_finished());
    let refused = send.send_request(poll("http://localhost/events/c")).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn one_http2_connection_parks_300_polls() {
    let hub = Hub::new();
    let (client, connection) = serve(&hub);
    let send = http2(client).await;
    let mut polls = JoinSet::new();
    for _ in 0..300 {
        let mut send = send.clone();
        polls.spawn(async move {
            let response = send.send_request(poll("http://localhost/events/c")).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "x");
        });
    }
    until("all are parked", || hub.stats().parked == 300).await;
    assert_eq!(hub.publish(&channel("c"), "x").unwrap().woken, 300);
    polls.join_all().await;
    let stats = hub.stats();
    assert_eq!((stats.delivered, stats.parked), (300, 0));
    assert!(!connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_frees_its_polls() {
    let hub = Hub::new();
    let (mut client, connection) = serve(&hub);
    client.write_all(b"GET /events/c HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until("the poll is parked", || hub.stats().parked == 1).await;
    drop(client);
    until("the poll is gone", || hub.stats().parked == 0).await;
    until("so is the connection", || connection.is_finished()).await;

    // Between this client and the server is a cable that can be cut.
    let ((client, mut near), (mut far, connection)) = (duplex(1 << 16), serve(&hub));
    let cable = tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await.is_ok() });
    let send = http2(client).await;
    let polls: Vec<_> = (0..5)
        .map(|_| tokio::spawn(send.clone().send_request(poll("http://localhost/events/c"))))
        .collect();
    until("all are parked", || hub.stats().parked == 5).await;
    polls[2].abort();
    until("one stream is gone", || hub.stats().parked == 4).await;
    settle().await;
    assert_eq!((hub.stats().parked, connection.is_finished()), (4, false), "and only that one");
    cable.abort();
    until("the rest is gone", || hub.stats().parked == 0).await;
    assert_empty(&hub);
    assert_eq!((hub.stats().dropped, hub.stats().timed_out), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn on_the_wire_an_answer_has_the_framing_of_its_status() {
    let rows = [
        ("nothing", "GET /events/c?wait=0", "", "204 No Content", None),
        ("an event", "GET /events/c?cursor=oldest", "", "200 OK", Some("content-length: 2")),
        ("a body announced", "GET /events/c", "content-length: 9\r\n", "400 Bad", None),
        ("a body in chunks", "GET /events/c", "transfer-encoding: chunked\r\n", "400 Bad", None),
    ];
    for (name, line, fields, status, length) in rows {
        let hub = Hub::new();
        if length.is_some() {
            hub.publish(&channel("c"), "hi").unwrap();
        }
        let (mut client, _connection) = serve(&hub);
        // The body that was announced does not come: the answer must not wait for it.
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fields}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
        assert!(!answer.contains("transfer-encoding"), "{name}: {answer}");
        match length {
            Some(length) => assert!(answer.contains(length), "{name}: {answer}"),
            None if status.starts_with("204") => {
                assert!(!answer.contains("content-length"), "{name}: {answer}");
            }
            None => assert!(answer.contains("application/problem+json"), "{name}: {answer}"),
        }
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_shutdown_waits_for_a_drain_and_not_for_a_hold() {
    let hub = Hub::new();
    let (client, server) = duplex(1 << 16);
    let service = ServiceBuilder::new().layer(layer(&hub)).service(service_fn(inner));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection =
        builder.serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::spawn(graceful.watch(connection.into_owned()));
    let mut send = http1(client).await;
    let parked = tokio::spawn(send.send_request(poll("/events/c")));
    until("the poll is parked", || hub.stats().parked == 1).await;
    let mut shutdown = task::spawn(graceful.shutdown());
    assert_pending!(shutdown.poll(), "a poll is parked");
    settle().await;
    assert_pending!(shutdown.poll(), "a poll is parked");
    let (took, ()) = timed(async {
        hub.drain(Duration::ZERO);
        shutdown.await;
    })
    .await;
    assert_eq!(took, Duration::ZERO);
    assert_eq!(parked.await.unwrap().unwrap().status(), 204);
    assert_eq!(hub.stats().parked, 0);
}

/// A gRPC service of one method, written by hand: it gives back what it got.
#[derive(Clone)]
struct Echo;

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<tonic::body::Body>> for Echo {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let message = request.into_body().collect().await.unwrap().to_bytes();
            let status =
                HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let frames =
                [Ok::<_, tonic::Status>(Frame::data(message)), Ok(Frame::trailers(status))];
            let body = tonic::body::Body::new(StreamBody::new(stream::iter(frames)));
            Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_tonic_server_passes_calls_through_the_layer_and_parks_polls() {
    let hub = Hub::new();
    let (client, server) = duplex(1 << 16);
    let incoming = stream::iter([Ok::<_, std::io::Error>(server)]).chain(stream::pending());
    let mut builder = tonic::transport::Server::builder().layer(layer(&hub));
    tokio::spawn(builder.add_service(Echo).serve_with_incoming(incoming));
    let mut send = http2(client).await;
    let mut parked = tokio::spawn(send.send_request(poll("http://localhost/events/c")));
    until("the poll is parked", || hub.stats().parked == 1).await;

    let message: &[u8] = b"\0\0\0\0\x02hi";
    let call = |path| {
        let call = Request::post(format!("http://localhost{path}"));
        call.header("content-type", "application/grpc").body(Body::from(message)).unwrap()
    };
    let answer = send.send_request(call("/test.Echo/Say")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert!(!answer.headers().contains_key("longpoll-cursor"));
    let answer = answer.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0", "trailers pass");
    assert_eq!(answer.to_bytes(), message);
    let unknown = send.send_request(call("/test.Other/Say")).await.unwrap();
    assert_eq!(unknown.headers()["grpc-status"], "12", "unimplemented");

    assert!((&mut parked).now_or_never().is_none(), "the poll is parked meanwhile");
    hub.publish(&channel("c"), "x").unwrap();
    let told = parked.await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(told.to_bytes(), "x");
    assert_eq!(hub.stats().parked, 0);
}
