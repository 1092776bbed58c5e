//! The stream: one request at a time, and what its answer brings.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    answer::{self, Answer, Fault},
    body::{End, Reading},
    error::{ClientError, Failure},
    progress::Progress,
    received::Received,
    subscription::Subscription,
    timer::Timer,
};

pin_project! {
    /// The events of some channels, from [`Subscription::over`].
    ///
    /// It never ends by itself: its last item is the error that ends it. How it goes on after
    /// everything else is told in the [module docs](super). Dropping it at any moment drops the
    /// request that is under way.
    ///
    /// It needs a tokio runtime with its time driver enabled.
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct EventStream<S, B, RB>
    where
        S: Service<Request<B>>,
    {
        service: S,
        course: Course,
        #[pin]
        state: State<S::Future, RB>,
        body: PhantomData<fn() -> B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, RB> {
        // Nothing is under way: the next request is sent when the service is ready.
        Idle,
        // A request is under way, and the timer is its limit. Dropping it cancels it.
        Asked { #[pin] future: F, at: Instant, is_probe: bool },
        // The body of an answer is being read, and the timer is the limit of its next frame.
        Reading { #[pin] reading: Reading<RB>, is_quick: bool },
        // The timer runs until the next request.
        Resting,
        // The error was returned.
        Ended,
    }
}

/// What follows a step.
enum Next<F, RB> {
    State(State<F, RB>),
    Answered { answer: Answer, is_quick: bool },
    Failed(Failure, Option<u64>),
    End(ClientError),
}

/// An empty answer to a poll that was to be held comes too soon below this.
const QUICK: Duration = Duration::from_millis(100);

impl<S, B, RB> EventStream<S, B, RB>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(subscription: Subscription, service: S) -> Self {
        let (course, state) = (Course::new(subscription), State::Idle);
        Self { service, course, state, body: PhantomData }
    }

    /// Where the stream stands: everything up to there was handed out. A stream
    /// [`since`](Subscription::since) there, in another process perhaps, yields what comes next,
    /// and nothing twice. None until the first answer, unless the subscription says where to begin.
    pub fn cursor(&self) -> Option<&str> {
        self.course.progress.cursor()
    }
}

impl<S, B, RB> Stream for EventStream<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    B: Default,
    RB: Body,
{
    type Item = Result<Received, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let course = this.course;
        loop {
            if let Some(received) = course.progress.next() {
                return Poll::Ready(Some(Ok(received)));
            }
            let next = match this.state.as_mut().project() {
                StateProjection::Ended => return Poll::Ready(None),
                StateProjection::Resting => {
                    ready!(course.timer.poll(cx));
                    Next::State(State::Idle)
                }
                StateProjection::Idle => match ready!(this.service.poll_ready(cx)) {
                    Ok(()) => course.ask(|request| this.service.call(request)),
                    Err(_) => Next::End(ClientError::ServiceGone),
                },
                StateProjection::Asked { future, at, is_probe } => match future.poll(cx) {
                    Poll::Ready(Ok(response)) => course.read(response, *at, *is_probe),
                    Poll::Ready(Err(_)) => Next::Failed(Failure::Unreachable, None),
                    Poll::Pending => {
                        ready!(course.timer.poll(cx));
                        Next::Failed(Failure::TimedOut, None)
                    }
                },
                StateProjection::Reading { mut reading, is_quick } => {
                    let margin = course.subscription.margin;
                    let polled = reading.as_mut().poll(&mut course.timer, margin, cx);
                    let (end, body) = ready!(polled);
                    match (end, answer::read(&reading.head, body)) {
                        (End::CutOff, _) => Next::Failed(Failure::CutOff, None),
                        (End::Late, _) => Next::Failed(Failure::TimedOut, None),
                        (End::TooLarge, _) => {
                            let max_bytes = course.subscription.max_body_bytes;
                            Next::End(ClientError::TooLarge { max_bytes })
                        }
                        (_, Ok(answer)) => Next::Answered { answer, is_quick: *is_quick },
                        (_, Err(Fault::Temporary(failure, after))) => Next::Failed(failure, after),
                        (_, Err(Fault::Final(error))) => Next::End(error),
                    }
                }
            };
            match course.follow(next) {
                Ok(state) => this.state.set(state),
                Err(error) => {
                    this.state.set(State::Ended);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// All that outlives a request.
struct Course {
    subscription: Subscription,
    progress: Progress,
    timer: Timer,
    /// Requests that failed, in a row.
    failures: u32,
    /// Empty answers that came too soon, in a row.
    quick: u32,
}

impl Course {
    fn new(mut subscription: Subscription) -> Self {
        let progress = Progress::new(subscription.since.take());
        Self { subscription, progress, timer: Timer::default(), failures: 0, quick: 0 }
    }

    fn ask<F, RB, B: Default>(&mut self, call: impl FnOnce(Request<B>) -> F) -> Next<F, RB> {
        let cursor = self.progress.cursor();
        let is_probe = cursor.is_none();
        let Some(request) = self.subscription.request(cursor) else {
            return Next::End(ClientError::Address);
        };
        let at = self.timer.set(self.subscription.limit());
        Next::State(State::Asked { future: call(request), at, is_probe })
    }

    fn read<F, RB>(&mut self, response: Response<RB>, at: Instant, is_probe: bool) -> Next<F, RB> {
        let (head, body) = response.into_parts();
        let now = self.timer.set(self.subscription.margin);
        let is_quick = !is_probe && now - at < QUICK;
        let reading = Reading::new(head, body, self.subscription.max_body_bytes);
        Next::State(State::Reading { reading, is_quick })
    }

    fn follow<F, RB>(&mut self, next: Next<F, RB>) -> Result<State<F, RB>, ClientError> {
        match next {
            Next::State(state) => Ok(state),
            Next::Answered { answer, is_quick } => {
                let is_quick = is_quick && answer.events.is_empty();
                if self.progress.accept(answer).is_err() {
                    return self.rest(Failure::Unreadable, None);
                }
                self.failures = 0;
                self.quick = if is_quick { self.quick.saturating_add(1) } else { 0 };
                // One is no pattern: a drain, or a touch, ends a poll at any moment.
                if self.quick < 2 {
                    return Ok(State::Idle);
                }
                self.timer.set(self.subscription.backoff.pause(self.quick - 1));
                Ok(State::Resting)
            }
            Next::Failed(failure, seconds) => self.rest(failure, seconds),
            Next::End(ClientError::Deleted { channel, cursor: None }) => {
                let cursor = self.progress.cursor().map(str::to_owned);
                Err(ClientError::Deleted { channel, cursor })
            }
            Next::End(error) => Err(error),
        }
    }

    fn rest<F, RB>(
        &mut self,
        failure: Failure,
        seconds: Option<u64>,
    ) -> Result<State<F, RB>, ClientError> {
        let settings = &self.subscription;
        self.failures = self.failures.saturating_add(1);
        if settings.give_up_after.is_some_and(|most| self.failures >= most) {
            return Err(ClientError::GaveUp { last: failure });
        }
        let told = seconds.map(|told| Duration::from_secs(told).min(settings.max_retry_after));
        // No pause at all would ask a server that is busy again and again.
        let told = told.filter(|told| !told.is_zero());
        let pause = told.unwrap_or_else(|| settings.backoff.pause(self.failures));
        self.timer.set(pause);
        if let Some(handler) = &settings.on_failure {
            handler(failure, pause);
        }
        Ok(State::Resting)
    }
}

impl<S, B, RB> fmt::Debug for EventStream<S, B, RB>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Asked { .. } => "asked",
            State::Reading { .. } => "reading",
            State::Resting => "resting",
            State::Ended => "ended",
        };
        let mut out = f.debug_struct("EventStream");
        out.field("subscription", &self.course.subscription).field("cursor", &self.cursor());
        out.field("state", &state).field("failures", &self.course.failures).finish_non_exhaustive()
    }
}
