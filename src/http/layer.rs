//! The layer, and the middleware that it makes.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::ResponseBody,
    damping::Damping,
    endpoint::{Endpoint, Settings, Taken},
    future::ResponseFuture,
    reply::{Replies, Reply},
    route::{Invalid, Route},
    service::LongPollService,
};
use crate::{
    cursor::Cursor,
    hub::Hub,
    outcome::{Batch, Refused},
};

/// Answers polls in front of any service; everything else passes through untouched.
///
/// See the [module docs](super) for what is a poll and how it is answered.
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use tower::ServiceExt;
/// use tower_longpoll::{Hub, LongPollLayer, PathRoute};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let polls = LongPollLayer::new(Hub::new(), PathRoute::new("/events/{channel}")?)
///     .max_hold(Duration::from_secs(30))
///     .supersede_by(|parts| Some(parts.headers.get("x-tab")?.to_str().ok()?.into()))
///     .on_timeout(|_cursor| http::Response::new("nothing yet".into()));
/// let app: Router = Router::new().route("/", get(async || "a page")).layer(polls);
///
/// let page = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(page.status(), 200);
/// let poll = Request::get("/events/quiet?wait=0").body(Body::empty())?;
/// let answer = app.oneshot(poll).await?;
/// assert!(answer.headers().contains_key("longpoll-cursor")); // in replaced answers, too
/// # Ok(())
/// # }
/// ```
pub struct LongPollLayer<R> {
    pub(super) endpoint: Arc<Endpoint<R>>,
}

impl<R> LongPollLayer<R> {
    /// A layer that answers the polls of `route` from `hub`.
    pub fn new(hub: Hub, route: R) -> Self {
        Self { endpoint: Arc::new(Endpoint::new(hub, route)) }
    }

    /// How events are answered. Default: [`Reply::Raw`].
    #[must_use]
    pub fn reply(mut self, reply: Reply) -> Self {
        self.replies().reply = reply;
        self
    }

    /// How long a poll is held that does not say. Default: the hub's hold. Zero: it is answered at
    /// once. More than `max_hold` counts as that.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.settings().hold = hold;
        self
    }

    /// The longest hold that a client can ask for; more counts as this. Default: 60 seconds. The
    /// hub's own `max_hold` holds, too.
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.settings().max_hold = max_hold;
        self
    }

    /// By how much a hold is shortened at most, at random, so that polls that began together do not
    /// end together. Default: 10 percent. More than 100 counts as 100.
    #[must_use]
    pub fn jitter(mut self, percent: u8) -> Self {
        self.settings().jitter_percent = percent;
        self
    }

    /// When clients that are refused for now should come back: `retry-after` is a random number
    /// from this to twice this, in whole seconds. Default: 2 seconds; at least one.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.replies().retry_after = delay.as_secs().max(1);
        self
    }

    /// Of polls of the route with the same key, only the newest is served: an older one that is
    /// still parked is answered as if its hold had run out. Default: all are served; so are those
    /// for which `key` returns none.
    ///
    /// The hub's keys are all of one kind: use a prefix if they come from several places, such as
    /// [`Hold::supersede_by`](super::Hold::supersede_by). A key stands for one client, such as a
    /// tab of a browser, not for all those of a user: two that poll again as soon as they are
    /// superseded would end each other without pause. At most as many bytes as a channel name; a
    /// poll with a longer one is refused with 400.
    #[must_use]
    pub fn supersede_by<F>(mut self, key: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        self.settings().supersede_by = Some(Arc::new(key));
        self
    }

    /// Slows clients down that poll again and again without going on: a poll with the same key,
    /// channels and cursor as another less than `within` ago is answered that long after the other.
    /// Nothing is lost by it. Default: zero, which is off; polls for which `key` returns none are
    /// never slowed down.
    ///
    /// A poll without a cursor is parked at once, but held for the rest of `within` at least if
    /// nothing comes. 16,384 clients are remembered; who is pushed out by others is not slowed
    /// down.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_longpoll::{Hub, LongPollLayer};
    ///
    /// let layer = LongPollLayer::new(Hub::new(), ())
    ///     .damp_by(Duration::from_secs(1), |parts| {
    ///         Some(parts.headers.get("authorization")?.to_str().ok()?.into())
    ///     });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn damp_by<F>(mut self, within: Duration, key: F) -> Self
    where
        F: Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    {
        let damping = (!within.is_zero()).then(|| Damping::new(within, Arc::new(key)));
        self.settings().damping = damping.map(Arc::new);
        self
    }

    /// How much earlier a held gRPC response goes out than its `grpc-timeout` says, so that neither
    /// side's own timer is first. Default: 500 milliseconds; at most half of the timeout.
    #[must_use]
    pub fn grpc_margin(mut self, margin: Duration) -> Self {
        self.settings().grpc_margin = margin;
        self
    }

    /// Replaces the answer with events, or with a gap. It gets as many events as the JSON reply.
    ///
    /// To this and every other replaced answer the header fields that all answers have are added:
    /// `longpoll-cursor`, and unless they are set `cache-control` and `x-content-type-options`.
    ///
    /// ```
    /// use tower_longpoll::{Hub, LongPollLayer};
    ///
    /// let layer = LongPollLayer::new(Hub::new(), ()).on_events(|batch| {
    ///     let lines = batch.iter().flat_map(|entry| [&entry.payload()[..], b"\n"]);
    ///     http::Response::new(lines.collect::<Vec<_>>().concat().into())
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn on_events<F>(mut self, answer: F) -> Self
    where
        F: Fn(&Batch) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.replies().on_events = Some(Arc::new(answer));
        self
    }

    /// Replaces the answer when the hold has run out. It should not be a 408, which browsers repeat
    /// by themselves.
    #[must_use]
    pub fn on_timeout<F>(mut self, answer: F) -> Self
    where
        F: Fn(Cursor) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.replies().on_timeout = Some(Arc::new(answer));
        self
    }

    /// Replaces the answer when a channel of the poll was deleted.
    #[must_use]
    pub fn on_deleted<F>(mut self, answer: F) -> Self
    where
        F: Fn(Cursor) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.replies().on_deleted = Some(Arc::new(answer));
        self
    }

    /// Replaces the answer when the hub drains while the poll is parked.
    #[must_use]
    pub fn on_drained<F>(mut self, answer: F) -> Self
    where
        F: Fn(Cursor) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.replies().on_drained = Some(Arc::new(answer));
        self
    }

    /// Replaces the answer when the hub cannot or will not hold the poll.
    ///
    /// ```
    /// use tower_longpoll::{Hub, LongPollLayer};
    ///
    /// let layer = LongPollLayer::new(Hub::new(), ()).on_refused(|reason| {
    ///     let mut response = http::Response::new(reason.to_string().into());
    ///     *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    ///     response
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn on_refused<F>(mut self, answer: F) -> Self
    where
        F: Fn(&Refused) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.replies().on_refused = Some(Arc::new(answer));
        self
    }

    /// Replaces the answer when the poll is not understood.
    #[must_use]
    pub fn on_invalid<F>(mut self, answer: F) -> Self
    where
        F: Fn(&Invalid) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.replies().on_invalid = Some(Arc::new(answer));
        self
    }

    /// A service of its own with the same settings: for `nest_service`, so that other routes pay
    /// nothing.
    ///
    /// [`LongPollService`] has an example.
    pub fn into_service(self) -> LongPollService<R> {
        LongPollService::from(self)
    }

    fn replies(&mut self) -> &mut Replies {
        &mut self.settings().replies
    }

    fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut Arc::make_mut(&mut self.endpoint).settings)
    }
}

impl<S, R> Layer<S> for LongPollLayer<R> {
    type Service = LongPoll<S, R>;

    fn layer(&self, inner: S) -> LongPoll<S, R> {
        LongPoll { inner, layer: self.clone() }
    }
}

impl<R> Clone for LongPollLayer<R> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint) }
    }
}

impl<R> fmt::Debug for LongPollLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongPollLayer")
            .field("hub", &self.endpoint.settings.hub)
            .field("replies", &self.endpoint.settings.replies)
            .finish_non_exhaustive()
    }
}

/// Answers polls in front of a service. Made by [`LongPollLayer`].
///
/// See the [module docs](super).
///
/// [`LongPollLayer`] has an example.
pub struct LongPoll<S, R> {
    inner: S,
    layer: LongPollLayer<R>,
}

impl<S: Clone, R> Clone for LongPoll<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for LongPoll<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongPoll").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

impl<S, R, B, ResBody> Service<Request<B>> for LongPoll<S, R>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    R: Route,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let endpoint = &self.layer.endpoint;
        match endpoint.take(&parts) {
            Taken::Pass => {
                let settings = Arc::clone(&endpoint.settings);
                let asked = settings.asked(&parts);
                let future = self.inner.call(Request::from_parts(parts, body));
                ResponseFuture::inner(future, settings, asked)
            }
            Taken::Answer(response) => ResponseFuture::ready(response),
            // The request ends here: a parked poll keeps nothing of it.
            Taken::Held(held) => ResponseFuture::held(held),
        }
    }
}
