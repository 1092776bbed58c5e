//! A gRPC method that answers when there is news, and a client that calls it again and again.
//!
//! ```text
//! cargo run --release --example tonic
//! ```
//!
//! The messages are written by hand, so that no `protoc` is needed:
//!
//! ```proto
//! message Note { string text = 1; }
//! service Notes { rpc Next(Note) returns (Note); }   // the request names the channel
//! ```

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel as Connection, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::Service;
use tower_longpoll::{Channel, Event, Hub, LongPollLayer, http::Hold};

#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
}

/// `Notes.Next`: its own answer is an empty note, held until there is a better one.
#[derive(Clone)]
struct Notes {
    hub: Hub,
}

impl UnaryService<Note> for Notes {
    type Response = Note;
    type Future = Ready<Result<Response<Note>, Status>>;

    fn call(&mut self, request: Request<Note>) -> Self::Future {
        let answer = || {
            // The client's position if it has one, else the position before the method looks.
            let malformed = |what: &str| Status::invalid_argument(format!("malformed {what}"));
            let since = match request.metadata().get("longpoll-cursor") {
                None => self.hub.cursor(),
                Some(text) => {
                    let cursor = text.to_str().ok().and_then(|text| text.parse().ok());
                    cursor.ok_or_else(|| malformed("cursor"))?
                }
            };
            let channel = Channel::new(&request.get_ref().text);
            let channel = channel.map_err(|_| malformed("channel"))?;
            let mut response = Response::new(Note::default());
            response.extensions_mut().insert(Hold::new([channel]).since(since));
            Ok(response)
        };
        ready(answer())
    }
}

impl NamedService for Notes {
    const NAME: &'static str = "Notes";
}

impl Service<http::Request<Body>> for Notes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let notes = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/Notes/Next" {
                return Ok(Status::unimplemented("only Next").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(notes, request).await)
        })
    }
}

async fn serve(hub: Hub, listener: TcpListener) -> Result<(), tonic::transport::Error> {
    Server::builder()
        // A connection may park as many calls; tonic's default is 200.
        .max_concurrent_streams(100_000)
        .layer(LongPollLayer::new(hub.clone(), ()))
        .add_service(Notes { hub })
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
}

/// Calls `Next` once: the note, and the cursor to call with again.
async fn next(
    client: &mut tonic::client::Grpc<Connection>,
    channel: &str,
    cursor: Option<&str>,
) -> Result<(Note, String), Status> {
    let mut request = Request::new(Note { text: channel.into() });
    // The hold ends half a second before this, so that the call is answered and not cut off.
    request.set_timeout(Duration::from_secs(2));
    if let Some(cursor) = cursor.and_then(|cursor| cursor.parse().ok()) {
        request.metadata_mut().insert("longpoll-cursor", cursor);
    }
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/Notes/Next");
    let codec = ProstCodec::<Note, Note>::default();
    let (metadata, note, _) = client.unary(request, path, codec).await?.into_parts();
    let cursor = metadata.get("longpoll-cursor").and_then(|cursor| cursor.to_str().ok());
    Ok((note, cursor.unwrap_or_default().to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (hub, listener) = (Hub::new(), TcpListener::bind("127.0.0.1:0").await?);
    let server = Connection::from_shared(format!("http://{}", listener.local_addr()?))?;
    println!("listening on {}", server.uri());
    tokio::spawn(serve(hub.clone(), listener));

    let mut client = tonic::client::Grpc::new(server.connect().await?);
    let (quiet, mut cursor) = next(&mut client, "demo", None).await?;
    println!("nothing yet: {:?}", quiet.text);
    // Nobody calls while these come, and the connection breaks; the cursor is older than that.
    for text in ["first", "second"] {
        let note = Note { text: text.into() };
        hub.publish(&Channel::new("demo")?, Event::new(note.encode_to_vec()))?;
    }
    client = tonic::client::Grpc::new(server.connect().await?);
    for _ in 0..2 {
        let (note, after) = next(&mut client, "demo", Some(&cursor)).await?;
        println!("news: {:?}", note.text);
        cursor = after;
    }
    Ok(())
}
