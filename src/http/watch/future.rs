//! The life of a request that is watched.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request, response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::evaluation::{Evaluation, Look};
use crate::{
    http::{
        ahead::Ahead,
        body::{ReplyBody, ResponseBody},
    },
    outcome::Waited,
    turns::NextTurn,
    wait::Wait,
};

pin_project! {
    /// The response of [`Watch`](super::Watch). Dropping it lets the request go.
    /// [`WatchLayer`](super::WatchLayer) has an example.
    pub struct WatchFuture<S, B, ResBody>
    where
        S: Service<Request<B>>,
        ResBody: Body,
    {
        #[pin]
        kind: Kind<S, B, S::Future, ResBody>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<S, B, F, ResBody: Body> {
        // Not watched.
        Pass { #[pin] future: F },
        // Boxed, so that what passes is no larger for it.
        Watch { watching: Pin<Box<Watching<S, B, F, ResBody>>> },
        // None once it was returned.
        Ready { response: Option<Response<ReplyBody>> },
    }
}

impl<S, B, ResBody> WatchFuture<S, B, ResBody>
where
    S: Service<Request<B>>,
    ResBody: Body,
{
    pub(super) fn pass(future: S::Future) -> Self {
        Self { kind: Kind::Pass { future } }
    }

    /// `inner` is ready.
    pub(super) fn watch(inner: S, parts: request::Parts, body: B, evaluation: Evaluation) -> Self {
        let (body, stage) = (Some(body), Stage::Call { is_ready: true });
        let watching = Watching { inner, parts, body, evaluation, stage };
        Self { kind: Kind::Watch { watching: Box::pin(watching) } }
    }

    pub(super) fn ready(response: Response<ReplyBody>) -> Self {
        Self { kind: Kind::Ready { response: Some(response) } }
    }
}

impl<S, B, ResBody> Future for WatchFuture<S, B, ResBody>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: Default,
    ResBody: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Pass { future } => {
                Poll::Ready(Ok(ready!(future.poll(cx))?.map(ResponseBody::inner)))
            }
            KindProjection::Watch { watching } => watching.as_mut().poll(cx),
            KindProjection::Ready { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response.map(ResponseBody::reply))),
                None => Poll::Pending,
            },
        }
    }
}

impl<S, B, ResBody> fmt::Debug for WatchFuture<S, B, ResBody>
where
    S: Service<Request<B>>,
    ResBody: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// A request that is watched.
    struct Watching<S, B, F, ResBody: Body> {
        inner: S,
        parts: request::Parts,
        // For the first run.
        body: Option<B>,
        evaluation: Evaluation,
        #[pin]
        stage: Stage<F, ResBody>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, ResBody: Body> {
        // The handler is to run, as soon as the inner service is ready.
        Call { is_ready: bool },
        // The handler is at work, and the request registered.
        Run { #[pin] future: F },
        // The body of the answer is read, to be hashed.
        Read { head: Option<response::Parts>, body: Option<Ahead<ResBody>> },
        // The client knows the answer; the next touch is waited for.
        Parked { wait: Wait },
        // Touched, but too soon after the last run.
        Rest { pause: Wait },
        // Touched, but others are at work.
        Queue { next: NextTurn },
        // The answer was returned.
        Done,
    }
}

impl<S, B, ResBody> Watching<S, B, S::Future, ResBody>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: Default,
    ResBody: Body<Data = Bytes>,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<ResBody, S::Error>> {
        let answer = ready!(self.as_mut().advance(cx));
        // After an error, too, nothing is left registered and no turn taken.
        let mut this = self.project();
        this.evaluation.release();
        this.stage.set(Stage::Done);
        Poll::Ready(answer)
    }

    fn advance(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<ResBody, S::Error>> {
        let (mut this, mut runs) = (self.project(), 0);
        let evaluation = this.evaluation;
        loop {
            let response = match this.stage.as_mut().project() {
                StageProjection::Call { is_ready } => {
                    if !*is_ready {
                        match this.inner.poll_ready(cx)? {
                            Poll::Ready(()) => {}
                            Poll::Pending => return evaluation.poll_end(cx).map(Ok),
                        }
                    }
                    if runs > 0 {
                        // A handler that touches its own channel would keep the thread.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    runs += 1;
                    // Invariant: registered before the handler looks, so that no touch is missed.
                    evaluation.register(cx);
                    let body = this.body.take().unwrap_or_default();
                    let future = this.inner.call(Request::from_parts(this.parts.clone(), body));
                    this.stage.set(Stage::Run { future });
                    continue;
                }
                StageProjection::Run { future } => {
                    let (head, body) = ready!(future.poll(cx))?.into_parts();
                    if evaluation.is_to_be_hashed(&head, &body) {
                        let (head, body) = (Some(head), Some(Ahead::new(body)));
                        this.stage.set(Stage::Read { head, body });
                        continue;
                    }
                    Response::from_parts(head, ResponseBody::inner(body))
                }
                StageProjection::Read { head, body } => {
                    if let (Some(head), Some(body)) = (&mut *head, &mut *body) {
                        ready!(evaluation.poll_hash(head, body, cx));
                    }
                    let (Some(head), Some(body)) = (head.take(), body.take()) else {
                        return Poll::Pending;
                    };
                    Response::from_parts(head, ResponseBody::read(body))
                }
                StageProjection::Parked { wait } => {
                    let waited = ready!(Pin::new(wait).poll(cx));
                    if is_over(&waited) {
                        return Poll::Ready(Ok(evaluation.end(&waited)));
                    }
                    this.stage.set(Stage::Rest { pause: evaluation.rest() });
                    continue;
                }
                StageProjection::Rest { pause } => {
                    // However it ends, there is something to look at.
                    ready!(Pin::new(pause).poll(cx));
                    this.stage.set(Stage::Queue { next: evaluation.queue() });
                    continue;
                }
                StageProjection::Queue { next } => {
                    let Poll::Ready(turn) = Pin::new(next).poll(cx) else {
                        return evaluation.poll_end(cx).map(Ok);
                    };
                    evaluation.begin(turn);
                    this.stage.set(Stage::Call { is_ready: false });
                    continue;
                }
                StageProjection::Done => return Poll::Pending,
            };
            match evaluation.look(this.parts, response) {
                Look::Answer(response) => return Poll::Ready(Ok(response)),
                Look::Held(wait) => this.stage.set(Stage::Parked { wait }),
            }
        }
    }
}

type Answer<ResBody, E> = Result<Response<ResponseBody<ResBody>>, E>;

/// Whether there is nothing to look at any more.
fn is_over(waited: &Waited) -> bool {
    match waited {
        Waited::Events(_) | Waited::Deleted { .. } | Waited::Touched { .. } => false,
        Waited::TimedOut { .. }
        | Waited::Superseded { .. }
        | Waited::Drained { .. }
        | Waited::Refused { .. } => true,
    }
}
