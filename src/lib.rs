//! Long polling for every Tower server.
//!
//! A request that has nothing to answer yet is *parked*: it costs one small record in a registry,
//! and no thread, task or timer of its own. It ends once, by whichever comes first: an event is
//! published on a channel that it waits on, its hold time is over, its client leaves, or the
//! operator ends it. Then the client asks again, handing back the *cursor* of the last answer, so
//! that nothing published between two polls is lost.
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use tower::ServiceExt;
//! use tower_longpoll::{Channel, Event, Hub, LongPollLayer, PathRoute};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::new();
//! let app = Router::new()
//!     .route("/", get(|| async { "hello" }))
//!     .layer(LongPollLayer::new(hub.clone(), PathRoute::new("/events/{channel}")?));
//!
//! let poll = Request::get("/events/news?cursor=oldest").body(Body::empty())?;
//! let parked = tokio::spawn(app.oneshot(poll));
//! hub.publish(&Channel::new("news")?, Event::text("it works"))?; // from anywhere
//! assert_eq!(parked.await??.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("../docs/life-of-a-poll.svg")]
//!
//! The [`guide`] has a chapter on each part of this: [mounting](guide::mounting),
//! [cursors](guide::cursors), [proxies](guide::proxies), [shutdown](guide::shutdown),
//! [testing](guide::testing), and more.
//!
//! # Ways in
//!
//! - [`LongPollLayer`] answers the polls of some routes in front of any service, and passes
//!   everything else through. [`LongPollService`] does the same as a service of its own. What they
//!   understand and answer is told in [`http`].
//! - [`Hub::wait`] is a future for use inside a handler, a job, or a test; [`Hub::events`] is a
//!   stream of the same events for clients that can take one.
//! - [`http::Hold`] in the extensions of a response lets a handler decide: it has looked, has
//!   nothing new to tell, and the layer parks its response.
//!   The same for gRPC methods.
//! - [`WatchLayer`] makes a long poll of any `GET` resource that has an `etag`, or can be given one;
//!   [`Hub::touch`] has it looked at again.
//! - [`Hub::publish`] publishes from anywhere in the process, [`PublishService`] by `POST`.
//!
//! # What is promised
//!
//! 1. No lost wakeup: reading the history and registering the wait happen under the same lock.
//! 2. One outcome: every wait ends exactly once, as a [`Waited`] or by being dropped. An event that
//!    is ready wins a tie against the deadline.
//! 3. Nothing lost silently: a client that hands back each answer's cursor sees every event of its
//!    channels that is still held exactly once and in the order of publishing. If events that it
//!    has not seen are gone, the answer says so: [`Batch::gap`].
//! 4. A cursor on every answer, also on a timeout. Positions are numbers in a sequence, never times.
//! 5. Never early, hardly late: no wait times out before its deadline, which is rounded up to a
//!    quarter of a millisecond, and the driver looks at it within a millisecond after that, as
//!    exactly as tokio sleeps.
//! 6. Nothing left behind: dropping a wait at any moment frees all that it held.
//! 7. Bounded: everything that clients can make grow has a limit, see [`HubBuilder`]. At a limit
//!    there is a clear refusal.
//! 8. It ends when asked: [`Hub::drain`] releases every parked poll.
//! 9. Nothing per poll: one timer task for a hub and a runtime, asleep until the next deadline.
//! 10. Deterministic under test: time comes from `tokio::time`, so its paused clock works.
//! 11. Fits any Tower server: the inner service keeps its errors, and requests that are not polls
//!     pass through untouched.
//! 12. Safe: `#![forbid(unsafe_code)]`, and no input makes it panic, hang or grow.
//!
//! # Positions
//!
//! All events of a [`Hub`] are numbered in one sequence. A [`Cursor`] is such a number, together
//! with the identity of its hub: everything up to there has been seen. One cursor therefore serves
//! any set of channels. A timeout's cursor moves on too, so that a client of a quiet channel stays
//! up to date.
//!
//! A channel keeps its last events, bounded by number, bytes and age. A cursor below what was let
//! go is answered with a gap, together with all that is left; so is the cursor of another hub,
//! such as the same server before a restart. A client whose position is not older than the history's
//! age is told of a gap only if events of its own channels are gone.
//!
//! # Shutting down
//!
//! The graceful shutdown of a server waits for the responses that are under way, and a parked poll
//! is one. [`Hub::drain`] is the one call to make first:
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn serve(hub: tower_longpoll::Hub, app: axum::Router) -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let shutdown = async move {
//!     let _ = tokio::signal::ctrl_c().await;
//!     hub.drain(Duration::ZERO);
//! };
//! axum::serve(listener, app).with_graceful_shutdown(shutdown).await
//! # }
//! ```
//!
//! How to spread that over a time, and what comes before and after, is told in
//! [`guide::shutdown`].
//!
//! # Features
//!
//! - `json`, on by default since most clients want it: [`Event::json`], the JSON reply, and the
//!   check that an event of a JSON type is JSON.
//! - `client`: a stream of events over any HTTP client, in the module `client`.
//! - `nats`: [`backplane::nats`], hubs that follow a stream of NATS JetStream.
//! - `redis`: [`backplane::redis`], the same with a stream of Redis or Valkey.
//! - `metrics`: what hubs do, for any recorder of the `metrics` facade: see [`observability`].
//! - `tracing`: a span for each poll.
//! - `etag`: [`WatchLayer::hash_bodies`].
//! - `axum`: [`http::Poll`] is an extractor, and [`http::Hold`] a response or a part of one.
//!
//! # The house
//!
//! Imports point down only.
//!
//! ```text
//! client     subscription, stream, answer, backoff                  asks a server; knows http's header fields
//! backplane  driver, publisher, pump, memory                        several hubs that follow one log
//! http       route, layer, service, watch, hold, future, reply, …   the only folder that knows HTTP
//! handles    hub -- wait -- driver -- turns                         tokio lives here
//! locks      registry                                               shards behind mutexes; wakes after unlock
//! pure       shard                                                  channels + waiters + wheels under one &mut self
//! pure       wheel history ring waiters queue slab names wake       no clock, no lock, no waker call
//! values     channel   cursor   event   change   outcome   config   random   recent
//! base       sync   trace                                           std | loom; metrics and tracing, or nothing
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backplane;
mod change;
mod channel;
#[cfg(feature = "client")]
pub mod client;
mod config;
mod cursor;
mod driver;
mod event;
pub mod guide;
mod history;
pub mod http;
mod hub;
mod names;
mod outcome;
mod queue;
mod random;
mod recent;
mod registry;
mod ring;
mod shard;
mod slab;
mod sync;
mod trace;
mod turns;
mod wait;
mod waiters;
mod wake;
mod wheel;

pub use self::{
    channel::{Channel, ChannelError},
    config::ConfigError,
    cursor::{Cursor, CursorError, Since},
    event::{Entry, Event, EventError},
    http::{
        LongPollLayer, LongPollService, PathRoute, PublishService, Reply, RouteError, WatchLayer,
    },
    hub::{ChannelStats, Hub, HubBuilder, Stats},
    outcome::{Batch, Entries, PublishError, Published, Refused, Waited},
    wait::{Events, Wait},
};

#[doc = include_str!("../docs/observability.md")]
pub mod observability {}

#[doc = include_str!("../SECURITY.md")]
pub mod security {}

/// The code in the README, as tests.
#[cfg(all(doctest, feature = "axum", feature = "client", feature = "etag", feature = "nats"))]
#[doc = include_str!("../README.md")]
struct Readme;
