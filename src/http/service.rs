//! Polls as a service of their own.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW, request::Parts};
use tower_service::Service;

use super::{
    body::ReplyBody,
    endpoint::{Held, Taken},
    layer::LongPollLayer,
    reply::{finish, status},
    route::{Route, Routed},
};
use crate::hub::Hub;

/// Answers polls, and nothing else: 404 for other paths, 405 for other methods.
///
/// For routers that mount a service on a path, such as axum's `nest_service`; the route sees what
/// they leave of the path. See the [module docs](super) for what is a poll and how it is answered.
/// Settings are those of [`LongPollLayer`], by [`LongPollLayer::into_service`].
///
/// ```
/// use axum::{Router, body::Body, http::Request};
/// use tower::ServiceExt;
/// use tower_longpoll::{Hub, LongPollService, PathRoute};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let polls = LongPollService::new(Hub::new(), PathRoute::new("/{channel}")?);
/// let app: Router = Router::new().nest_service("/events", polls);
/// let poll = |path| Request::get(path).body(Body::empty());
/// assert_eq!(app.clone().oneshot(poll("/events/quiet?wait=0")?).await?.status(), 204);
/// assert_eq!(app.oneshot(poll("/events/a/b")?).await?.status(), 404);
/// # Ok(())
/// # }
/// ```
pub struct LongPollService<R> {
    polls: LongPollLayer<R>,
}

impl<R> LongPollService<R> {
    /// A service that answers the polls of `route` from `hub`.
    pub fn new(hub: Hub, route: R) -> Self {
        LongPollLayer::new(hub, route).into()
    }
}

impl<R> From<LongPollLayer<R>> for LongPollService<R> {
    fn from(polls: LongPollLayer<R>) -> Self {
        Self { polls }
    }
}

impl<R: Route, B> Service<Request<B>> for LongPollService<R> {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = PollFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> PollFuture {
        let (parts, _) = request.into_parts();
        let endpoint = &self.polls.endpoint;
        let ready = |response| Kind::Ready(Some(Box::new(response)));
        PollFuture(match endpoint.take(&parts) {
            Taken::Held(held) => Kind::Held(held),
            Taken::Answer(response) => ready(response),
            Taken::Pass => ready(not_a_poll(&*endpoint.route, parts)),
        })
    }
}

/// 405 if only the method is wrong, else 404.
fn not_a_poll(route: &impl Route, mut parts: Parts) -> Response<ReplyBody> {
    if std::mem::replace(&mut parts.method, Method::GET) != Method::GET
        && !matches!(route.route(&parts), Routed::Pass)
    {
        return finish(not_allowed(HeaderValue::from_static("GET")));
    }
    finish(status(StatusCode::NOT_FOUND))
}

pub(super) fn not_allowed(allowed: HeaderValue) -> Response<ReplyBody> {
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

impl<R> Clone for LongPollService<R> {
    fn clone(&self) -> Self {
        Self { polls: self.polls.clone() }
    }
}

impl<R> fmt::Debug for LongPollService<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongPollService").field("polls", &self.polls).finish()
    }
}

/// The response of [`LongPollService`]. Dropping it lets the poll go.
///
/// [`LongPollService`] has an example.
#[must_use = "a future does nothing unless it is polled"]
pub struct PollFuture(Kind);

enum Kind {
    Held(Held),
    /// None once it was returned. Boxed, so that parked polls are not larger for it.
    Ready(Option<Box<Response<ReplyBody>>>),
}

impl Future for PollFuture {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match &mut self.0 {
            Kind::Held(held) => ready!(held.poll(cx)),
            Kind::Ready(response) => match response.take() {
                Some(response) => *response,
                None => return Poll::Pending,
            },
        }))
    }
}

impl fmt::Debug for PollFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFuture").finish_non_exhaustive()
    }
}
