//! Any resource as a long poll: the handler runs again when something was touched.

mod etag;
mod evaluation;
mod future;

use std::{
    fmt,
    num::NonZero,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header::IF_NONE_MATCH, request::Parts};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use self::evaluation::Evaluation;
pub use self::future::WatchFuture;
use super::{
    body::{ReplyBody, ResponseBody},
    endpoint::{Settings, has_body, unread_body},
    poll,
    route::{Invalid, Route, Routed},
};
use crate::{channel::Channel, hub::Hub, turns::Turns};

/// Makes a long poll of any `GET` resource whose handler knows nothing of it.
///
/// A client that has the resource asks with `if-none-match`, and says with `?wait=` or
/// `Prefer: wait=` that it is willing to wait. If the handler's answer has not changed (it is a 304,
/// or a 200 whose `etag` the client has), the request is parked until one of its channels is
/// touched ([`Hub::touch`]), published on or deleted; then the handler runs again. The answer that
/// has changed goes out as it is; if none has until the hold runs out, a 304 does.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_longpoll::{Channel, Hub, PathRoute, WatchLayer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// let app: Router = Router::new()
///     .route("/jobs/{id}", get(async || ([("etag", "\"1\"")], "state")))
///     .layer(WatchLayer::new(hub.clone(), PathRoute::new("/jobs/{id}")?));
/// // wherever a job changes, afterwards:
/// hub.touch(&Channel::new("7")?);
/// # Ok(())
/// # }
/// ```
///
/// No change is missed: a request is registered on its channels *before* its handler runs, so a
/// touch while that is at work has it run once more. Touch after the change, not before. What
/// happens between two requests needs no cursor: the `etag` says what the client has seen.
///
/// - Requests that are not willing to wait, have no `if-none-match`, or are no `GET` of a resource
///   that the [`Route`] names, pass untouched, and the route is not even asked: what it refuses is
///   refused to those who wait only. So does every other answer pass, such as a 404.
/// - While a request is parked, its head and that of the last answer are kept, no body and no
///   future of the handler. The handler runs with the same head (extensions included) and an empty
///   body, [`Default`] of the body type; a clone of the inner service is asked whether it is ready
///   each time. A request that announces a body is refused with 400.
/// - A resource that changes all the time does not make a loop of it: [`WatchLayer::floor`]. After
///   a touch that many wait for, [`WatchLayer::max_runs`] handlers work at once. Both delay, and
///   lose nothing: what a hold's end overtakes, the next request sees at once. Runs are not shared
///   among requests, though they may look alike: what a handler answers may depend on any header
///   field, or on what authentication has left in the extensions.
/// - A request that cannot be parked (a limit, a drain) is answered with its handler's answer if
///   that has changed, else with 503, as a poll.
/// - A handler that has begun may finish: neither the end of the hold nor a drain cuts it short.
///   `if-none-match: *` is whatever has one: such a request only waits for the resource to go.
///
/// Like [`LongPollLayer`](super::LongPollLayer), it belongs inside authentication, and outside of
/// concurrency limits and timeouts.
pub struct WatchLayer<R> {
    route: Arc<R>,
    rules: Arc<Rules>,
}

/// When a handler runs again.
#[derive(Clone)]
struct Rules {
    settings: Settings,
    floor: Duration,
    turns: Turns,
    /// The largest body to be hashed, if any is.
    hash: Option<u64>,
}

impl<R> WatchLayer<R> {
    /// A layer that watches the resources that `route` names, on its channels.
    pub fn new(hub: Hub, route: R) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Turns::new(cores.saturating_mul(16));
        let (settings, floor) = (Settings::new(hub), Duration::from_millis(50));
        let rules = Rules { settings, floor, turns, hash: None };
        Self { route: Arc::new(route), rules: Arc::new(rules) }
    }

    /// The longest hold that a client can ask for; more counts as this. Default: 60 seconds. The
    /// hub's own `max_hold` holds, too.
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.rules().settings.max_hold = max_hold;
        self
    }

    /// By how much a hold is shortened at most, at random, so that requests that began together do
    /// not end together. Default: 10 percent. More than 100 counts as 100.
    #[must_use]
    pub fn jitter(mut self, percent: u8) -> Self {
        self.rules().settings.jitter_percent = percent;
        self
    }

    /// When clients that are refused for now should come back: `retry-after` is a random number
    /// from this to twice this, in whole seconds. Default: 2 seconds; at least one.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.rules().settings.replies.retry_after = delay.as_secs().max(1);
        self
    }

    /// The shortest time between the end of a handler's run and its next for the same request.
    /// Default: 50 milliseconds. Zero: it runs again as soon as other tasks have had their turn.
    ///
    /// A touch that comes earlier is looked at when this time has passed, or when the hold ends.
    #[must_use]
    pub fn floor(mut self, floor: Duration) -> Self {
        self.rules().floor = floor;
        self
    }

    /// How many handlers run again at once; the first run of a request does not count. Default: 16
    /// for each core; zero counts as one. The others wait for their turn, first come, first served,
    /// at most until their holds end.
    #[must_use]
    pub fn max_runs(mut self, max: usize) -> Self {
        self.rules().turns = Turns::new(max);
        self
    }

    /// Gives answers that have no `etag` a strong one, by hashing their bodies. Default: off.
    ///
    /// Only of a 200 whose body says that it has at most `max_bytes`, and has them in at most 1,024
    /// pieces: larger ones, and streams that do not know how long they are, pass untouched and are
    /// never held. All `GET`s of the route's
    /// resources are hashed, and answered with 304 if the client has the body already, whether they
    /// are willing to wait or not. The tag is the same on all servers and after a restart.
    #[cfg(feature = "etag")]
    #[must_use]
    pub fn hash_bodies(mut self, max_bytes: u64) -> Self {
        self.rules().hash = Some(max_bytes);
        self
    }

    fn rules(&mut self) -> &mut Rules {
        Arc::make_mut(&mut self.rules)
    }
}

impl<R> Clone for WatchLayer<R> {
    fn clone(&self) -> Self {
        Self { route: Arc::clone(&self.route), rules: Arc::clone(&self.rules) }
    }
}

impl<R> fmt::Debug for WatchLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchLayer").field("hub", &self.rules.settings.hub).finish_non_exhaustive()
    }
}

impl<S, R> Layer<S> for WatchLayer<R> {
    type Service = Watch<S, R>;

    fn layer(&self, inner: S) -> Watch<S, R> {
        Watch { inner, layer: self.clone() }
    }
}

/// Watches the resources of a service. Made by [`WatchLayer`], which has an example.
pub struct Watch<S, R> {
    inner: S,
    layer: WatchLayer<R>,
}

impl<S: Clone, R> Clone for Watch<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for Watch<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

/// What becomes of a request.
#[allow(clippy::large_enum_variant, reason = "on its way into a box")]
enum Taken {
    Pass,
    Answer(Response<ReplyBody>),
    Evaluate(Evaluation),
}

impl<R: Route> WatchLayer<R> {
    fn take(&self, parts: &Parts) -> Taken {
        if parts.method != Method::GET {
            return Taken::Pass;
        }
        let is_conditional = parts.headers.contains_key(IF_NONE_MATCH);
        let wish = if is_conditional { poll::wish(parts) } else { Ok(None) };
        let may_wait = !matches!(wish, Ok(None));
        if !may_wait && self.rules.hash.is_none() {
            return Taken::Pass;
        }
        let channels: Vec<Channel> = match self.route.route(parts) {
            Routed::Poll(channel) => vec![channel],
            Routed::PollAny(channels) => channels,
            Routed::Refuse(response) if may_wait => {
                return Taken::Answer(response.map(ReplyBody::from));
            }
            Routed::Invalid(invalid) if may_wait => return self.invalid(&invalid),
            Routed::Pass | Routed::Refuse(_) | Routed::Invalid(_) => return Taken::Pass,
        };
        match wish {
            Ok(wish) if has_body(&parts.headers) && wish.is_some() => self.invalid(&unread_body()),
            Ok(wish) => Taken::Evaluate(Evaluation::new(
                channels,
                parts.version,
                wish,
                Arc::clone(&self.rules),
            )),
            Err(invalid) => self.invalid(&invalid),
        }
    }

    fn invalid(&self, invalid: &Invalid) -> Taken {
        Taken::Answer(self.rules.settings.replies.invalid(invalid))
    }
}

impl<S, R, B, ResBody> Service<Request<B>> for Watch<S, R>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    R: Route,
    B: Default,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = WatchFuture<S, B, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        match self.layer.take(&parts) {
            Taken::Pass => WatchFuture::pass(self.inner.call(Request::from_parts(parts, body))),
            Taken::Answer(response) => WatchFuture::ready(response),
            Taken::Evaluate(evaluation) => {
                // The clone that was asked whether it is ready is the one that is called.
                let next = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, next);
                WatchFuture::watch(inner, parts, body, evaluation)
            }
        }
    }
}
