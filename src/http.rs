//! Long polling over HTTP: the layer, the services, and what they understand and answer.
//!
//! # Polls
//!
//! A [`Route`] decides which requests are polls, and on what: a [`PathRoute`], or a closure over
//! `&http::request::Parts`. A poll says with
//!
//! - `?cursor=` or the header field `longpoll-cursor` where it goes on: the cursor of an earlier
//!   answer, or `oldest` for all that is held. Without one it waits for what comes from now on.
//!   Conditional header fields are not used for this: proxies, compression and browsers change
//!   them.
//! - `?wait=` or `Prefer: wait=` (RFC 7240; answered with `preference-applied`) how many seconds it
//!   may be held, up to the server's maximum; zero to be answered at once. The query goes before
//!   the header field.
//!
//! A poll has no body; one that announces a body is refused, because a server that has unread bytes
//! does not notice when the client leaves. Nothing of the request is kept while it is parked.
//!
//! # Answers
//!
//! | outcome | raw reply | JSON reply |
//! |---|---|---|
//! | events | 200, one payload as published | 200 `{"cursor","gap":false,"events":[…]}` |
//! | timed out | 204 | 200 without events |
//! | gap | as events, or 204, and `longpoll-gap: true` | the same, and `"gap":true` |
//! | channel deleted | 410, naming it in `longpoll-channel` | the same |
//! | superseded by a newer poll, or its channel touched | as timed out | the same |
//! | drained while parked | as timed out; `connection: close` on HTTP/1 | the same |
//! | refused: draining, or a limit that may have room later | 503, `retry-after` | the same |
//! | malformed cursor, wait, channel, body; too many channels, too long a name | 400, naming the field | the same |
//!
//! Every answer has `longpoll-cursor`, `cache-control: no-store` and
//! `x-content-type-options: nosniff`. One only has no cursor: the 400 for a malformed cursor, since
//! any position given there would have the client skip events. Errors are
//! `application/problem+json` (RFC 9457). [`LongPollLayer`] can replace each answer.
//!
//! Why a timeout is no 408: browsers repeat a request that is answered with it by themselves. The
//! empty answer is that of RFC 6202, section 5.4.
//!
//! # The same client twice
//!
//! A client that polls again while its old poll is parked (a phone, a proxy that repeats, a second
//! tab) is served twice. [`LongPollLayer::supersede_by`] lets the newest win;
//! [`LongPollLayer::damp_by`] slows clients down that ask the same again and again.
//!
//! # Resources that are watched
//!
//! [`WatchLayer`] makes a long poll of any `GET` resource: its handler runs again when something
//! was touched ([`Hub::touch`](crate::Hub::touch)), and the answer goes out when its `etag` is
//! another than the client's.
//!
//! # Responses that are held
//!
//! A handler behind the layer can look first (at who asks, at what there is) and then have its
//! response parked, by putting a [`Hold`] into the response's extensions. Whatever else it answers,
//! such as a 401, goes out at once, and nothing is parked.
//!
//! If the response is gRPC (`content-type: application/grpc`), so is what takes its place: a payload
//! becomes a message with status 0 in the trailers; a deleted channel is `NOT_FOUND`, a drain
//! `UNAVAILABLE`, a limit `RESOURCE_EXHAUSTED` (both with `grpc-retry-pushback-ms`), and a poll that can
//! never be held `INVALID_ARGUMENT`, all without a body. `longpoll-cursor`, `longpoll-channel` and
//! `longpoll-gap` are metadata. A hold ends some time before the call's `grpc-timeout` does
//! ([`LongPollLayer::grpc_margin`]), so that no timer turns the answer into an error. Timeouts
//! that a server or a client sets without that header field (tonic's `Server::timeout`) are not known
//! here, and have to be longer than the hold. Servers limit
//! the streams of a connection (tonic and hyper: 200), and so the calls that it can park; raise that.
//!
//! The guide shows all of this by example: [mounting](crate::guide::mounting), and for the other side
//! [cursors](crate::guide::cursors).
//!
//! # Where the layer stands
//!
//! Inside authentication and tracing, which then see every poll; outside `ConcurrencyLimit`,
//! `Timeout`, `Buffer` and compression of the polled routes: a parked poll would hold their permit
//! or run into their deadline. The guide has a chapter on [layers](crate::guide::layers).
//!
//! ```
//! use std::time::Duration;
//! use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer};
//! use tower_longpoll::{Hub, LongPollLayer, PathRoute};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let polls = LongPollLayer::new(Hub::new(), PathRoute::new("/events/{channel}")?)
//!     .hold(Duration::from_secs(20))
//!     .on_timeout(|_cursor| http::Response::new("{\"quiet\":true}".into()));
//! let layers = ServiceBuilder::new()
//!     // .layer(authentication)
//!     .layer(polls)
//!     .layer(ConcurrencyLimitLayer::new(100));
//! # let _ = layers.service(tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! # }));
//! # Ok(())
//! # }
//! ```

mod ahead;
#[cfg(feature = "axum")]
mod axum;
mod body;
mod damping;
mod endpoint;
mod future;
mod grpc;
mod hold;
#[cfg(feature = "json")]
mod json;
mod layer;
mod poll;
mod publish;
mod query;
mod reply;
mod route;
mod service;
mod text;
mod watch;

pub use self::{
    body::{ReplyBody, ResponseBody},
    future::ResponseFuture,
    hold::Hold,
    layer::{LongPoll, LongPollLayer},
    poll::Poll,
    publish::{PublishFuture, PublishService},
    reply::{CHANNEL, CURSOR, GAP, Reply},
    route::{Invalid, PathRoute, Route, RouteError, Routed},
    service::{LongPollService, PollFuture},
    watch::{Watch, WatchFuture, WatchLayer},
};
