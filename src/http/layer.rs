//! The layer, and the middleware that it makes.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::ResponseBody,
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

    /// Replaces the answer with events, or with a gap. It gets as many events as the JSON reply.
    ///
    /// To this and every other replaced answer the header fields that all answers have are added:
    /// `longpoll-cursor`, and unless they are set `cache-control` and `x-content-type-options`.
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
            .field("settings", &self.endpoint.settings)
            .finish_non_exhaustive()
    }
}

/// Answers polls in front of a service. Made by [`LongPollLayer`].
///
/// See the [module docs](super).
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
    ResBody: Body,
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
                let version = parts.version;
                let future = self.inner.call(Request::from_parts(parts, body));
                ResponseFuture::inner(future, Arc::clone(&endpoint.settings), version)
            }
            Taken::Answer(response) => ResponseFuture::ready(response),
            // The request ends here: a parked poll keeps nothing of it.
            Taken::Held(held) => ResponseFuture::held(held),
        }
    }
}
