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
        hold::in_place_of,
        poll::{Applied, Wish},
        reply::{CURSOR, Reply, close},
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
    /// Ends with the hold, when the handler is to run again but cannot yet.
    pause: Option<Wait>,
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
        Self {
            channels,
            version,
            rules,
            deadline,
            applied,
            ticket: Ticket::None,
            turn: None,
            pause: None,
            rested: None,
            known: None,
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.map(Deadline::remaining).unwrap_or_default()
    }

    /// From now on, a touch is noticed.
    pub(super) fn register(&mut self, cx: &mut Context<'_>) {
        if self.deadline.is_none() {
            return;
        }
        // Its place is for the wait.
        self.cancel_pause();
        let wait = self.rules.settings.hub.wait(&self.channels).hold(self.remaining());
        // Only that there are events matters.
        let mut wait = wait.max_events(1);
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
        if !etag::is_known(&request.headers, response.status(), response.headers()) {
            return Look::Answer(self.finish(response));
        }
        let is_first = self.known.is_none();
        self.known = Some(etag::not_modified(response.into_parts().0));
        match std::mem::replace(&mut self.ticket, Ticket::None) {
            Ticket::Wait(wait) => Look::Held(wait),
            Ticket::Over(refused @ Waited::Refused { .. }) if is_first => {
                let replies = &self.rules.settings.replies;
                let mut reply = replies.waited(refused, Reply::Raw, self.version);
                // There is no position to go on from but the entity tag.
                reply.headers_mut().remove(CURSOR);
                let own = self.known.take().unwrap_or_default();
                Look::Answer(in_place_of(own, reply).map(ResponseBody::reply))
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

    /// The handler is to run again: from now on [`Evaluation::poll_end`] may be asked.
    pub(super) fn queue(&mut self) -> NextTurn {
        self.pause = Some(self.rules.settings.hub.pause(self.remaining()));
        self.rules.turns.next()
    }

    /// The answer if the hold ends before the handler can run.
    pub(super) fn poll_end<B: Body>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Response<ResponseBody<B>>> {
        let Some(pause) = &mut self.pause else { return Poll::Pending };
        let waited = ready!(Pin::new(pause).poll(cx));
        Poll::Ready(self.end(&waited))
    }

    /// Gives up what the hub and others have kept for the request.
    pub(super) fn release(&mut self) {
        self.turn = None;
        self.cancel_pause();
        if let Ticket::Wait(mut wait) = std::mem::replace(&mut self.ticket, Ticket::None) {
            wait.cancel();
        }
    }

    fn cancel_pause(&mut self) {
        if let Some(mut pause) = self.pause.take() {
            pause.cancel();
        }
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
