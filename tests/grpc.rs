//! gRPC methods that wait, and gRPC responses that are held, as a tonic client sees them.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "grpc/deadlines.rs"]
mod deadlines;
#[path = "grpc/holding.rs"]
mod holding;
#[path = "grpc/passing.rs"]
mod passing;
#[path = "grpc/refusing.rs"]
mod refusing;
#[path = "grpc/sockets.rs"]
mod sockets;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use common::*;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, uri::PathAndQuery};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use prost::Message;
use tokio_test::{assert_pending, assert_ready, task};
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tonic_prost::ProstCodec;
use tower::{Layer, Service};
use tower_longpoll::{Cursor, Event, Hub, LongPollLayer, Since, http::Hold};

const HOLD: Duration = Duration::from_secs(20);

#[derive(Clone, PartialEq, Message)]
struct Ask {
    /// Where the client goes on; empty if nowhere.
    #[prost(string, tag = "1")]
    since: String,
}

#[derive(Clone, PartialEq, Message)]
struct News {
    #[prost(string, tag = "1")]
    text: String,
}

type Answer = Result<tonic::Response<News>, Status>;

/// A gRPC service of one unary method, registered by hand.
#[derive(Clone)]
struct Api(Arc<dyn Fn(tonic::Request<Ask>) -> BoxFuture<'static, Answer> + Send + Sync>);

impl Api {
    fn new<F>(method: impl Fn(tonic::Request<Ask>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(method(request))))
    }

    /// Has "nothing" to tell, and wants that held on `a`, since the client's cursor or now.
    fn holding(hub: &Hub) -> Self {
        let hub = hub.clone();
        Self::new(move |request| {
            let now = hub.cursor();
            async move {
                let since = request.into_inner().since;
                let since = match since.as_str() {
                    "" => Since::Cursor(now),
                    "oldest" => Since::Oldest,
                    cursor => Since::Cursor(cursor.parse().unwrap()),
                };
                Ok(nothing(Hold::new([channel("a")]).since(since)))
            }
        })
    }
}

impl tonic::server::NamedService for Api {
    const NAME: &'static str = "test.Api";
}

impl tonic::server::UnaryService<Ask> for Api {
    type Response = News;
    type Future = BoxFuture<'static, Answer>;

    fn call(&mut self, request: tonic::Request<Ask>) -> Self::Future {
        (self.0)(request)
    }
}

impl Service<Request<Body>> for Api {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<News, Ask>::default());
            Ok(grpc.unary(method, request).await)
        })
    }
}

/// A handler's own answer, which wants to be held.
fn nothing(hold: Hold) -> tonic::Response<News> {
    let mut response = tonic::Response::new(News { text: "nothing".into() });
    response.metadata_mut().insert("x-handler", "news".parse().unwrap());
    response.extensions_mut().insert(hold);
    response
}

fn news(text: impl Into<String>) -> Event {
    Event::new(News { text: text.into() }.encode_to_vec())
}

fn layer(hub: &Hub) -> LongPollLayer<()> {
    LongPollLayer::new(hub.clone(), ()).hold(HOLD).jitter(0)
}

fn ask(since: impl ToString) -> tonic::Request<Ask> {
    tonic::Request::new(Ask { since: since.to_string() })
}

const METHOD: &str = "/test.Api/Next";

type Call = task::Spawn<BoxFuture<'static, Answer>>;

/// A tonic client's call of a service in the same process.
fn call(layer: &LongPollLayer<()>, api: &Api, request: tonic::Request<Ask>) -> Call {
    let mut client = tonic::client::Grpc::new(layer.layer(api.clone()));
    task::spawn(Box::pin(async move {
        client.ready().await.unwrap();
        client.unary(request, PathAndQuery::from_static(METHOD), ProstCodec::default()).await
    }))
}

/// A tonic client's call over a connection.
async fn ask_over(transport: tonic::transport::Channel, request: tonic::Request<Ask>) -> Answer {
    let mut client = tonic::client::Grpc::new(transport);
    client.ready().await.unwrap();
    client.unary(request, PathAndQuery::from_static(METHOD), ProstCodec::default()).await
}

/// A call that is parked.
#[track_caller]
fn parked(hub: &Hub) -> Call {
    let mut call = call(&layer(hub), &Api::holding(hub), ask(""));
    assert_pending!(call.poll(), "there is nothing to answer yet");
    assert_eq!(hub.stats().parked, 1);
    call
}

fn cursor(metadata: &MetadataMap) -> Cursor {
    metadata.get("longpoll-cursor").expect("a cursor").to_str().unwrap().parse().unwrap()
}

/// A call as bytes, with these header fields.
fn bare(fields: &[(&str, &str)]) -> Request<Body> {
    let message = Ask::default().encode_to_vec();
    let body = Full::from([&[0; 5], &message[..]].concat());
    let mut request = Request::post(METHOD).header("content-type", "application/grpc");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::new(body)).unwrap()
}

/// A response, read to its end.
#[derive(Debug)]
struct Read {
    headers: HeaderMap,
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// Reads a response, and checks what its body says of itself on the way.
async fn read<B>(response: http::Response<B>) -> Read
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    assert_eq!(response.status(), 200, "gRPC knows no other");
    let (parts, body) = response.into_parts();
    let mut body = Box::pin(body);
    let (mut data, mut trailers) = (Vec::new(), None);
    let promised = body.size_hint();
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(chunk) => data.extend_from_slice(&chunk),
            Err(frame) => {
                assert!(trailers.replace(frame.into_trailers().unwrap()).is_none());
            }
        }
    }
    assert!(body.frame().await.is_none(), "it stays at its end");
    let length = data.len() as u64;
    assert!(promised.lower() <= length && promised.upper().is_none_or(|upper| length <= upper));
    Read { headers: parts.headers, data, trailers }
}
