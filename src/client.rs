//! A client: the events of a server as a stream, over any HTTP client that is a
//! [`tower::Service`](https://docs.rs/tower), or over a router in a unit test.
//!
//! ```
//! # use axum::Router;
//! # use futures_util::StreamExt;
//! # use tower_longpoll::{Channel, Event, Hub, LongPollLayer, PathRoute};
//! use tower_longpoll::client::{Received, Subscription};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let hub = Hub::new();
//! # hub.publish(&Channel::new("news")?, Event::text("it works"))?;
//! # let app = Router::new().layer(LongPollLayer::new(hub, PathRoute::new("/events/{channel}")?));
//! let subscription = Subscription::new("/events/news".parse()?).since("oldest");
//! let mut events = subscription.over::<_, String, _>(app);
//! while let Some(received) = events.next().await {
//!     match received? {
//!         Received::Event(event) => println!("{}: {:?}", event.channel(), event.payload()),
//!         _ => println!("events are gone: read the state anew, and go on"),
//!     }
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! - It has one request under way, and sends the next when all events of the last answer were
//!   handed out and more are asked for. Both replies are understood, the raw and the JSON one.
//! - Every answer's cursor is kept and sent with the next request. So whatever happens to a request
//!   (it is not sent, its answer is lost, the body is cut off) no event is lost, and none comes
//!   twice. [`EventStream::cursor`] and [`ReceivedEvent::cursor`] are positions to store.
//! - Events that are gone are an item, [`Received::Gap`], before the events that are left.
//! - Without a cursor to begin with, it first asks for one, without a hold. From that answer on
//!   nothing is missed.
//! - An empty answer is no item: it polls again at once. A second one in a row that comes within
//!   100 ms, where a hold was asked for, and all after it, are followed by the pauses of the
//!   [`Backoff`].
//!
//! | answer | what follows |
//! |---|---|
//! | 503, 429 | a pause of `retry-after` (in seconds, at most [`Subscription::max_retry_after`]), or one of the [`Backoff`] |
//! | an error of the service, no answer in time, a body that is cut off, an answer that is none of this protocol, 408, 425, other 5xx | a pause of the [`Backoff`] |
//! | 410, another 4xx, any 3xx, more than [`Subscription::max_body_bytes`] | the [`ClientError`] that ends the stream |
//!
//! After a 410 a new subscription goes on: [`ClientError::Deleted`] says which channel is gone, and
//! since where to ask for the others.
//!
//! Pauses grow until there is an answer again. [`Subscription::on_failure`] is told of each.
//!
//! # Over hyper-util's client
//!
//! ```no_run
//! use bytes::Bytes;
//! use futures_util::StreamExt;
//! use http_body_util::Empty;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_longpoll::client::{Received, Subscription};
//!
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
//! let uri = "http://127.0.0.1:3000/events".parse()?;
//! let mut events = Subscription::new(uri).channel_in_path("game:42").over(client);
//! while let Some(received) = events.next().await {
//!     if let Received::Event(event) = received? {
//!         let chess_move: serde_json::Value = event.json()?;
//!         println!("{chess_move}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Over reqwest
//!
//! reqwest's `Client` is a service of its own kinds of requests and responses, to and from which
//! those of the `http` crate convert. With tower's `ServiceExt`:
//!
//! ```text
//! let client = reqwest::Client::new()
//!     .map_request(|request: http::Request<reqwest::Body>| request.try_into().expect("a URL"))
//!     .map_response(http::Response::from);
//! let mut events = subscription.over(client);
//! ```
//!
//! reqwest follows redirects by itself, and must not have a total timeout that is shorter than the
//! hold.

mod answer;
mod backoff;
mod body;
mod error;
mod members;
mod progress;
mod received;
mod stream;
mod subscription;
mod timer;

pub use self::{
    backoff::Backoff,
    error::{ClientError, Failure},
    received::{JsonError, Received, ReceivedEvent},
    stream::EventStream,
    subscription::Subscription,
};
