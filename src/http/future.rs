//! The future of the layer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{
    body::{ReplyBody, ResponseBody},
    endpoint::Held,
};

pin_project! {
    /// The response of [`LongPoll`](super::LongPoll): the inner service's, or that of a poll, which
    /// is parked meanwhile. Dropping it lets the poll go.
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<F> {
        Inner { #[pin] future: F },
        Held { held: Held },
        // None once it was returned.
        Ready { response: Option<Response<ReplyBody>> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn inner(future: F) -> Self {
        Self { kind: Kind::Inner { future } }
    }

    pub(super) fn held(held: Held) -> Self {
        Self { kind: Kind::Held { held } }
    }

    pub(super) fn ready(response: Response<ReplyBody>) -> Self {
        Self { kind: Kind::Ready { response: Some(response) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match self.project().kind.project() {
            KindProjection::Inner { future } => {
                return Poll::Ready(Ok(ready!(future.poll(cx))?.map(ResponseBody::inner)));
            }
            KindProjection::Held { held } => ready!(held.poll(cx)),
            KindProjection::Ready { response } => match response.take() {
                Some(response) => response,
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Ok(response.map(ResponseBody::reply)))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
