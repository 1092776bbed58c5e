//! What is known of a request that is watched, and what is made of its handler's answers.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode, Version, header::ETAG, request, response};
use http_body::Body;

use super::{Rules, etag};
use crate::{
    channel::Channel,
    http::{
        ahead::Ahead,
        body::{ReplyBody, ResponseBody},
        poll::{Applied, Wish},
        reply::{Reply, close},
    },
    hub::Deadline,
    outcome::{Refused, Waited},
    turns::{NextTurn, Turn},
    wait::Wait,
};

/// A request between its handler's runs.
pub(super) struct Evaluation {
    channels: Vec<Channel>,
    version: Version,
    rules: Arc<Rules>,
    /// When the hold ends; none for a request that is not willing to wait.
    deadline: Option<Deadline>,
    applied: Option<Applied>,
    ticket: Ticket,
    /// Held while the handler runs again.
    turn: Option<Turn>,
    /// When the handler may run again.
    rested: Option<Deadline>,
    /// What goes out when the hold is over: the 304 of the last answer that the client knows.
    known: Option<Response<()>>,
}

/// Whether a touch will be noticed.
enum Ticket {
    /// It will.
    Wait(Wait),
    /// It will not: the hold is over, or was refused.
    Over(Waited),
    /// Nobody cares.
    None,
}

/// What is made of an answer.
pub(super) enum Look<B: Body> {
    /// It goes out, or a 304 in its place.
    Answer(Response<ResponseBody<B>>),
    /// The client knows it, and waits for another.
    Held(Wait),
}

impl Evaluation {
    pub(super) fn new(
        channels: Vec<Channel>,
        version: Version,
        wish: Option<Wish>,
        rules: Arc<Rules>,
    ) -> Self {
        let settings = &rules.settings;
        let granted = wish.map(|wish| (wish, settings.granted(Some(wish.wait))));
        let deadline = granted.map(|(_, hold)| settings.hub.deadline(settings.jittered(hold)));
        let applied = granted.and_then(|(wish, hold)| wish.applied(hold));
        let (ticket, turn, rested, known) = (Ticket::None, None, None, None);
        Self { channels, version, rules, deadline, applied, ticket, turn, rested, known }
    }

    fn remaining(&self) -> Duration {
        self.deadline.map(Deadline::remaining).unwrap_or_default()
    }

    /// From now on, a touch is noticed.
    pub(super) fn register(&mut self, cx: &mut Context<'_>) {
        if self.deadline.is_none() {
            return;
        }
        let mut wait = self.rules.settings.hub.wait(&self.channels).hold(self.remaining());
        self.ticket = match Pin::new(&mut wait).poll(cx) {
            Poll::Pending => Ticket::Wait(wait),
            Poll::Ready(waited) => Ticket::Over(waited),
        };
    }

    pub(super) fn is_to_be_hashed(&self, head: &response::Parts, body: &impl Body) -> bool {
        let is_plain = head.status == StatusCode::OK && !head.headers.contains_key(ETAG);
        let max = self.rules.hash.filter(|_| is_plain);
        max.is_some_and(|max| body.size_hint().upper().is_some_and(|upper| upper <= max))
    }

    /// Sets the entity tag of a body, if all of it can be read.
    pub(super) fn poll_hash<B>(
        &self,
        head: &mut response::Parts,
        body: &mut Ahead<B>,
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        B: Body<Data = Bytes>,
    {
        if ready!(body.poll_read(cx, self.rules.hash.unwrap_or_default())) {
            etag::set(&mut head.headers, body);
        }
        Poll::Ready(())
    }

    /// Looks at the handler's answer.
    pub(super) fn look<B: Body>(
        &mut self,
        request: &request::Parts,
        response: Response<ResponseBody<B>>,
    ) -> Look<B> {
        self.turn = None;
        self.rested = Some(self.rules.settings.hub.deadline(self.rules.floor));
        let ticket = std::mem::replace(&mut self.ticket, Ticket::None);
        if !etag::is_known(&request.headers, response.status(), response.headers()) {
            if let Ticket::Wait(mut wait) = ticket {
                wait.cancel();
            }
            return Look::Answer(self.finish(response));
        }
        let is_first = self.known.is_none();
        self.known = Some(etag::not_modified(response.into_parts().0));
        match ticket {
            Ticket::Wait(wait) => Look::Held(wait),
            Ticket::Over(refused @ Waited::Refused { .. }) if is_first => {
                let replies = &self.rules.settings.replies;
                let response = replies.waited(&refused, Reply::Raw, self.version);
                Look::Answer(response.map(ResponseBody::reply))
            }
            Ticket::Over(waited) => Look::Answer(self.end(&waited)),
            Ticket::None => Look::Answer(self.not_modified()),
        }
    }

    /// A pause until the handler may run again, at the longest until the hold ends.
    pub(super) fn rest(&self) -> Wait {
        let rest = self.rested.map(Deadline::remaining).unwrap_or_default();
        self.rules.settings.hub.pause(rest.min(self.remaining()))
    }

    /// The queue for a turn, and a pause until the hold ends.
    pub(super) fn queue(&self) -> (NextTurn, Wait) {
        (self.rules.turns.next(), self.rules.settings.hub.pause(self.remaining()))
    }

    pub(super) fn begin(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// The answer when the hold is over.
    pub(super) fn end<B: Body>(&mut self, waited: &Waited) -> Response<ResponseBody<B>> {
        let mut response = self.not_modified();
        let drains = match waited {
            Waited::Drained { .. } => true,
            Waited::Refused { reason, .. } => matches!(reason, Refused::Draining | Refused::Closed),
            _ => false,
        };
        if drains {
            close(response.headers_mut(), self.version);
        }
        response
    }

    fn not_modified<B: Body>(&mut self) -> Response<ResponseBody<B>> {
        let known = self.known.take().unwrap_or_else(|| Response::new(()));
        self.finish(known.map(|()| ResponseBody::reply(ReplyBody::default())))
    }

    fn finish<B>(&self, mut response: Response<B>) -> Response<B> {
        response.headers_mut().extend(self.applied.map(Applied::field));
        response
    }
}
