//! The future of the layer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    body::{ReplyBody, ResponseBody},
    endpoint::{Asked, Held, Settings, unread_body},
    hold::{self, Wished, in_place_of},
    reply::{CURSOR, cursor_value},
};

pin_project! {
    /// The response of [`LongPoll`](super::LongPoll): the inner service's, or that of a poll, which
    /// is parked meanwhile. Dropping it lets the poll go.
    /// [`LongPollLayer`](super::LongPollLayer) has an example.
    pub struct ResponseFuture<F, B: Body> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<F, B: Body> {
        // The inner service has not answered yet. Left for `Response` if it wants its answer held.
        Inner { #[pin] future: F, settings: Arc<Settings>, asked: Asked },
        // A poll of the route is parked.
        Held { held: Held },
        // A response is parked, and nothing of the handler that made it is left. Boxed, so that
        // polls of the route are not larger for it.
        Response { held: Box<(Held, Option<Response<ResponseBody<B>>>)> },
        // None once it was returned. Boxed as well.
        Ready { response: Option<Box<Response<ReplyBody>>> },
    }
}

impl<F, B: Body> ResponseFuture<F, B> {
    pub(super) fn inner(future: F, settings: Arc<Settings>, asked: Asked) -> Self {
        Self { kind: Kind::Inner { future, settings, asked } }
    }

    pub(super) fn held(held: Held) -> Self {
        Self { kind: Kind::Held { held } }
    }

    pub(super) fn ready(response: Response<ReplyBody>) -> Self {
        Self { kind: Kind::Ready { response: Some(Box::new(response)) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        if let KindProjection::Inner { future, settings, asked } = kind.as_mut().project() {
            let Wished { response, wish, is_grpc } = hold::wish(ready!(future.poll(cx))?, cx);
            let Some(wish) = wish.filter(|_| asked.may_wait) else {
                return Poll::Ready(Ok(response));
            };
            if asked.has_body {
                let mut refusal = settings.replies.invalid(&unread_body());
                let cursor = cursor_value(settings.hub.cursor().unmoved(wish.since));
                refusal.headers_mut().insert(CURSOR, cursor);
                let refusal = in_place_of(response, refusal).map(ResponseBody::reply);
                return Poll::Ready(Ok(refusal));
            }
            let held = settings.hold(wish, asked, is_grpc);
            kind.set(Kind::Response { held: Box::new((held, Some(response))) });
        }
        let response = match kind.project() {
            KindProjection::Inner { .. } => return Poll::Pending,
            KindProjection::Response { held } => {
                let (held, own) = &mut **held;
                let waited = ready!(held.poll_waited(cx));
                let Some(own) = own.take() else { return Poll::Pending };
                return Poll::Ready(Ok(hold::answer(held, waited, own)));
            }
            KindProjection::Held { held } => ready!(held.poll(cx)),
            KindProjection::Ready { response } => match response.take() {
                Some(response) => *response,
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Ok(response.map(ResponseBody::reply)))
    }
}

impl<F, B: Body> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom), target_pointer_width = "64"))]
mod tests {
    use std::{convert::Infallible, future::Ready, mem::size_of};

    use super::*;
    use crate::trace::Observed;

    type Inner = Response<ReplyBody>;

    /// What the layer makes of every request, and a parked poll keeps.
    #[test]
    fn a_response_future_has_no_more_bytes_than_it_needs() {
        // The wait (80), what is waited out before it (8), the settings (8), the preference to
        // acknowledge (8), the kind of reply, the version, and whether it is gRPC (8 in all).
        let most = 112 + size_of::<Observed>(); // Nothing more, if nobody observes.
        assert!(size_of::<Held>() <= most, "{}", size_of::<Held>());
        // In front of a framework's boxed future (16) the largest is a poll of the route.
        type Boxed = Pin<Box<dyn Future<Output = Result<Inner, Infallible>> + Send>>;
        let boxed = size_of::<ResponseFuture<Boxed, ReplyBody>>();
        assert!(boxed <= most, "{boxed}");
        // A larger one comes with the settings (8), and the version, the deadline and what else is
        // kept of its request (32).
        type Large = Ready<Result<[u64; 64], Infallible>>;
        let large = size_of::<ResponseFuture<Large, ReplyBody>>();
        assert!(large <= size_of::<Large>() + 48, "{large}");
    }
}
